"""COMMANDS: what a worker may want when it completes a workflow task, in the worker's order.

All or nothing: the first bad command drops what the completion did so far; the task fails with
its cause and the worker is told (temporal-core 2.3). A close command must be the last one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from schemas import event_types as on
from schemas.errors import InvalidArgument, NotFound
from schemas.temporal import command, enums, failure, history, service
from topology.decision import ReplyBody, Rows
from topology.turn import Turn
from topology.workflow import (
    activity_offer,
    activity_schedule,
    buffering,
    chain,
    child_workflow,
    close_commands,
    execution,
    external_workflow,
    histories,
    limits,
    search_attributes,
    timer,
    unbuilt_commands,
    workflow_task,
)
from topology.workflow.bad_command import BadCommand, check_blob, event_of
from topology.workflow.facts import HeartbeatsContinued
from topology.workflow.state import Activity

_Type = enums.CommandType
_Cause = enums.WorkflowTaskFailedCause

_FIELDS = service.RespondWorkflowTaskCompletedResponse.DESCRIPTOR.fields_by_name
_WORKFLOW_TASK = _FIELDS["workflow_task"].number
_ACTIVITY_TASKS = _FIELDS["activity_tasks"].number

_UNHANDLED = _Cause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
_BAD_MARKER = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES


# -- ask


def complete(turn: Turn, request: service.RespondWorkflowTaskCompletedRequest) -> None:
    """RespondWorkflowTaskCompleted: the worker's commands become events."""
    task = workflow_task.named(turn, workflow_task.token_of(request.task_token))
    _check_sequence(request)
    if _is_heartbeat(request) and turn.now > task.first_scheduled_at + limits.TASK_HEARTBEATS_MAX:
        workflow_task.time_out(turn)
        turn.reply("heartbeat_over", heartbeat_over())
        return
    try:
        with turn.attempt():
            _carry_out(turn, request)
    except BadCommand as bad:
        text = cause_text(bad)
        if task.is_transient and bad.cause != _UNHANDLED:
            raise InvalidArgument(text) from bad  # nothing is written; the task will time out
        _refuse(turn, request, bad, text)
        turn.reply(f"refused:{text}", InvalidArgument(text))
        return
    turn.reply("done", _answer(turn, _start_eager(turn, request)))


def heartbeat_over() -> NotFound:
    """Return the answer to a worker that has asked for more time for too long."""
    return NotFound("workflow task heartbeat timeout")


def _is_heartbeat(request: service.RespondWorkflowTaskCompletedRequest) -> bool:
    """Whether a worker only asks for more time: local activities run."""
    return request.force_create_new_workflow_task and not request.commands and not request.messages


def fail(turn: Turn, request: service.RespondWorkflowTaskFailedRequest) -> None:
    """RespondWorkflowTaskFailed: the worker could not run the workflow's code."""
    workflow_task.named(turn, workflow_task.token_of(request.task_token))
    given = history.WorkflowTaskFailedEventAttributes(
        cause=request.cause, identity=request.identity, binary_checksum=request.binary_checksum
    )
    if request.HasField("failure"):
        given.failure.CopyFrom(request.failure)
    if request.cause == _Cause.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE:
        execution.terminate_run(
            turn, reason="GrpcMessageTooLarge", details=None, identity="history-service"
        )
    else:
        workflow_task.fail(turn, given)
    turn.reply("done", service.RespondWorkflowTaskFailedResponse().SerializeToString())


def cause_text(bad: BadCommand) -> str:
    """Return `<CauseInCamelCase>: detail`, the text SDKs match."""
    name = _Cause.Name(bad.cause).removeprefix("WORKFLOW_TASK_FAILED_CAUSE_")  # type: ignore[arg-type]  # enums are ints
    camel = name.title().replace("_", "")
    return f"{camel}: {bad.message}" if bad.message else camel


def _check_sequence(request: service.RespondWorkflowTaskCompletedRequest) -> None:
    """Refuse a batch that cannot be: unknown types, or something behind a close command."""
    for index, each in enumerate(request.commands):
        if each.command_type not in COMMANDS:
            raise InvalidArgument(f"unknown command type: {_type_name(each)}")
        if each.command_type in _CLOSING and index != len(request.commands) - 1:
            raise InvalidArgument(
                f"invalid command sequence: [{', '.join(map(_type_name, request.commands))}], "
                f"command {_type_name(each)} must be the last command."
            )


def _type_name(each: command.Command) -> str:
    if each.command_type not in _Type.values():
        return str(each.command_type)
    name = _Type.Name(each.command_type)
    return name.removeprefix("COMMAND_TYPE_").title().replace("_", "")


def _carry_out(turn: Turn, request: service.RespondWorkflowTaskCompletedRequest) -> None:
    task = turn.execution.task
    assert task is not None, "expected a workflow task to complete"
    completed_id = workflow_task.record_completed(turn, request)
    workflow_task.stick(turn, request.sticky_attributes)
    turn.is_holding = True
    news = turn.state.buffered  # what came while the worker was busy; ends made below are no news
    for each in request.commands:
        if each.command_type in _CLOSING and any(event in news for event in turn.state.buffered):
            raise BadCommand(_UNHANDLED)
        COMMANDS[each.command_type](turn, each, completed_id)
    turn.is_holding = False
    if request.commands and request.commands[-1].command_type in _CLOSING:
        return  # the run is closed; where a next one began, the turn is on that
    has_new_events = buffering.flush(turn)
    if not has_new_events and not request.force_create_new_workflow_task:
        return
    if request.return_new_workflow_task:
        workflow_task.schedule_inline(turn, request.identity)
    else:
        workflow_task.schedule_if_idle(turn)
    if _is_heartbeat(request):
        turn.record(HeartbeatsContinued(task.first_scheduled_at))


def _start_eager(
    turn: Turn, request: service.RespondWorkflowTaskCompletedRequest
) -> list[Activity]:
    """Start the activities that the worker takes along."""
    wanted = [each.schedule_activity_task_command_attributes for each in request.commands]
    if not any(activity_schedule.is_eager(turn, each) for each in wanted):
        return []
    if turn.execution.status != execution.RUNNING:
        return []
    started = [
        activity_schedule.start_eager(turn, each, identity=request.identity)
        for each in wanted
        if activity_schedule.is_eager(turn, each)
    ]
    return [each for each in started if each is not None]


def _answer(turn: Turn, eager: list[Activity]) -> ReplyBody:
    """Return how to build the answer: the next workflow task, activities that go along."""
    run = turn.state
    row = run.execution
    is_inline = row.task is not None and row.task.poll_id == workflow_task.INLINE_POLL_ID
    if not is_inline and not eager:
        return b""

    def answer(rows: Rows) -> bytes:
        parts = [
            histories.field(_ACTIVITY_TASKS, activity_offer.poll_answer(row, each, rows))
            for each in eager
        ]
        if is_inline:
            first = row.previous_started_event_id + 1
            task = histories.workflow_task_answer(run, rows, first_event_id=first)
            parts.append(histories.field(_WORKFLOW_TASK, task))
        return b"".join(parts)

    return answer


def _refuse(
    turn: Turn,
    request: service.RespondWorkflowTaskCompletedRequest,
    bad: BadCommand,
    text: str,
) -> None:
    given = history.WorkflowTaskFailedEventAttributes(identity=request.identity)
    given.cause = bad.cause  # type: ignore[assignment]  # enums travel as ints
    given.failure.CopyFrom(
        failure.Failure(message=text, server_failure_info=failure.ServerFailureInfo())
    )
    given.binary_checksum = request.binary_checksum
    if not bad.terminates:
        return workflow_task.fail(turn, given)
    workflow_task.record_failed(turn, given)
    buffering.flush(turn)
    return execution.terminate_run(turn, reason=text, details=None, identity="history-service")


# -- the other commands


def _schedule_activity(turn: Turn, each: command.Command, completed_id: int) -> None:
    wanted = each.schedule_activity_task_command_attributes
    activity_schedule.schedule(turn, wanted, each, completed_id)


def _request_cancel_activity(turn: Turn, each: command.Command, completed_id: int) -> None:
    wanted = each.request_cancel_activity_task_command_attributes
    activity_schedule.request_cancel(turn, wanted, each, completed_id)


def _start_timer(turn: Turn, each: command.Command, completed_id: int) -> None:
    timer.start(turn, each.start_timer_command_attributes, each, completed_id)


def _cancel_timer(turn: Turn, each: command.Command, completed_id: int) -> None:
    timer.cancel(turn, each.cancel_timer_command_attributes, each, completed_id)


def _record_marker(turn: Turn, each: command.Command, completed_id: int) -> None:
    wanted = each.record_marker_command_attributes
    if not wanted.marker_name:
        raise BadCommand(_BAD_MARKER, "MarkerName is not set on RecordMarkerCommand.")
    size_bytes = sum(
        len(name.encode()) + details.ByteSize() for name, details in wanted.details.items()
    )
    check_blob(size_bytes, _BAD_MARKER, "RecordMarkerCommandAttributes.Details")
    event = event_of(turn, each, on.MARKER_RECORDED)
    given = event.marker_recorded_event_attributes
    given.marker_name = wanted.marker_name
    for name, details in wanted.details.items():
        given.details[name].CopyFrom(details)
    if wanted.HasField("header"):
        given.header.CopyFrom(wanted.header)
    if wanted.HasField("failure"):
        given.failure.CopyFrom(wanted.failure)
    given.workflow_task_completed_event_id = completed_id
    turn.record(event)


Carry = Callable[[Turn, Any, int], None]

COMMANDS: Mapping[int, Carry] = {
    _Type.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK: _schedule_activity,
    _Type.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK: _request_cancel_activity,
    _Type.COMMAND_TYPE_START_TIMER: _start_timer,
    _Type.COMMAND_TYPE_CANCEL_TIMER: _cancel_timer,
    _Type.COMMAND_TYPE_RECORD_MARKER: _record_marker,
    _Type.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: search_attributes.upsert,
    _Type.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES: search_attributes.modify_properties,
    _Type.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION: child_workflow.start,
    _Type.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION: external_workflow.ask_signal,
    _Type.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION: external_workflow.ask_cancel,
    _Type.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION: close_commands.complete,
    _Type.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION: close_commands.fail,
    _Type.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION: close_commands.cancel,
    _Type.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION: chain.continue_as_new,
    _Type.COMMAND_TYPE_PROTOCOL_MESSAGE: unbuilt_commands.protocol_message,
    _Type.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION: unbuilt_commands.schedule_nexus_operation,
    _Type.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION: unbuilt_commands.cancel_nexus_operation,
}

_CLOSING = frozenset(
    {
        _Type.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        _Type.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        _Type.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
        _Type.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
    }
)
