"""External workflow: none --ask--> initiated --answered--> none, for signals and cancel requests.

Both sides stand here: what a workflow asks of another one, what the other does, and what comes of
it. A workflow cannot ask itself; its target is then "not found" at once (golden external_signal).
"""

from typing import Literal

from msgspec.structs import replace

from schemas import event_types as on
from schemas.errors import NamespaceNotFound, NotFound, Rejected, Stale
from schemas.temporal import command, common, enums, history, service
from topology import forwards
from topology.effects import Quote
from topology.turn import Turn
from topology.workflow import cancellation, execution, signal, workflow_task
from topology.workflow.bad_command import BadCommand, check_blob
from topology.workflow.state import External, Run

Initiated = (
    history.SignalExternalWorkflowExecutionInitiatedEventAttributes
    | history.RequestCancelExternalWorkflowExecutionInitiatedEventAttributes
)

_Cause = enums.WorkflowTaskFailedCause
_SIGNAL_BAD = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES
_CANCEL_BAD = (
    _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES
)
_NOT_FOUND = "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND"
_SIGNAL_FAILED = "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_"
_CANCEL_FAILED = "CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_"
_SignalFailed = enums.SignalExternalWorkflowExecutionFailedCause
_CancelFailed = enums.CancelExternalWorkflowExecutionFailedCause
_SIGNAL_NOT_FOUND = _SignalFailed.Value(_SIGNAL_FAILED + _NOT_FOUND)
_SIGNAL_LIMIT = _SignalFailed.Value(_SIGNAL_FAILED + "SIGNAL_COUNT_LIMIT_EXCEEDED")
_CANCEL_NOT_FOUND = _CancelFailed.Value(_CANCEL_FAILED + _NOT_FOUND)


# -- ask, of the workflow that wants something


def ask_signal(turn: Turn, each: command.Command, completed_id: int) -> None:
    """SignalExternalWorkflowExecution."""
    wanted = each.signal_external_workflow_execution_command_attributes
    target = wanted.execution
    _check_signal(turn, wanted)
    event = turn.event(on.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED)
    given = event.signal_external_workflow_execution_initiated_event_attributes
    given.namespace = wanted.namespace
    given.namespace_id = turn.execution.namespace_id
    given.workflow_execution.CopyFrom(target)
    given.signal_name = wanted.signal_name
    given.control = wanted.control
    given.child_workflow_only = wanted.child_workflow_only
    if wanted.HasField("input"):
        given.input.CopyFrom(wanted.input)
    if wanted.HasField("header"):
        given.header.CopyFrom(wanted.header)
    given.workflow_task_completed_event_id = completed_id
    if each.HasField("user_metadata"):
        event.user_metadata.CopyFrom(each.user_metadata)
    event_id = turn.record(event)
    if target.workflow_id == turn.execution.workflow_id:
        return signal_answered(turn, _of(turn, event_id), _SIGNAL_NOT_FOUND)
    asked = forwards.SignalExternal(
        sender_namespace=turn.execution.namespace,
        sender_workflow_id=turn.execution.workflow_id,
        sender_run_id=turn.execution.run_id,
        request_id=turn.new_id(),
    )
    return _forward(turn, asked, _of(turn, event_id))


def ask_cancel(turn: Turn, each: command.Command, completed_id: int) -> None:
    """RequestCancelExternalWorkflowExecution."""
    wanted = each.request_cancel_external_workflow_execution_command_attributes
    _check_cancel(turn, wanted)
    event = turn.event(on.REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED)
    given = event.request_cancel_external_workflow_execution_initiated_event_attributes
    given.namespace = wanted.namespace
    given.namespace_id = turn.execution.namespace_id
    given.workflow_execution.workflow_id = wanted.workflow_id
    given.workflow_execution.run_id = wanted.run_id
    given.control = wanted.control
    given.child_workflow_only = wanted.child_workflow_only
    given.reason = wanted.reason
    given.workflow_task_completed_event_id = completed_id
    event_id = turn.record(event)
    if wanted.workflow_id == turn.execution.workflow_id:
        return cancel_answered(turn, _of(turn, event_id), _CANCEL_NOT_FOUND)
    asked = forwards.CancelExternal(
        sender_namespace=turn.execution.namespace,
        sender_workflow_id=turn.execution.workflow_id,
        sender_run_id=turn.execution.run_id,
        request_id=turn.new_id(),
    )
    return _forward(turn, asked, _of(turn, event_id))


# -- ask, of the workflow that is wanted


def receive_signal(turn: Turn, ask: forwards.SignalExternal) -> None:
    """Be signalled by another workflow, and tell it how that went."""
    event = history.HistoryEvent.FromString(ask.event)
    given = event.signal_external_workflow_execution_initiated_event_attributes
    cause = 0
    try:
        run = execution.locate_open(turn, given.workflow_execution)
        _check_child(run, ask.sender_run_id, only=given.child_workflow_only)
        request = service.SignalWorkflowExecutionRequest(
            signal_name=given.signal_name, request_id=ask.request_id, identity="history-service"
        )
        if given.HasField("input"):
            request.input.CopyFrom(given.input)
        if given.HasField("header"):
            request.header.CopyFrom(given.header)
        sender = common.WorkflowExecution(
            workflow_id=ask.sender_workflow_id, run_id=ask.sender_run_id
        )
        signal.receive(turn, request, sender=sender)
    except NotFound:
        cause = _SIGNAL_NOT_FOUND
    except Rejected:
        cause = _SIGNAL_LIMIT
    told = forwards.ExternalSignaled(
        run_id=ask.sender_run_id, initiated_event_id=event.event_id, cause=cause
    )
    _answer(turn, ask, told)


def receive_cancel(turn: Turn, ask: forwards.CancelExternal) -> None:
    """Be asked to end by another workflow, and tell it how that went."""
    event = history.HistoryEvent.FromString(ask.event)
    given = event.request_cancel_external_workflow_execution_initiated_event_attributes
    cause = 0
    try:
        run = execution.locate(turn, given.workflow_execution)
        _check_child(run, ask.sender_run_id, only=given.child_workflow_only)
        cancellation.receive(
            turn,
            cause=given.reason,
            identity="history-service",
            external=(ask.sender_workflow_id, ask.sender_run_id, event.event_id),
        )
    except NotFound:
        cause = _CANCEL_NOT_FOUND
    told = forwards.ExternalCancelRequested(
        run_id=ask.sender_run_id, initiated_event_id=event.event_id, cause=cause
    )
    _answer(turn, ask, told)


# -- ask, of the workflow that wanted something: the answer


def on_signal_answer(turn: Turn, ask: forwards.ExternalSignaled) -> None:
    """The target of a signal answered."""
    signal_answered(turn, _pending(turn, ask.run_id, ask.initiated_event_id), ask.cause)
    workflow_task.schedule_if_idle(turn)
    turn.reply("signal_answered")


def on_cancel_answer(turn: Turn, ask: forwards.ExternalCancelRequested) -> None:
    """The target of a cancel request answered."""
    cancel_answered(turn, _pending(turn, ask.run_id, ask.initiated_event_id), ask.cause)
    workflow_task.schedule_if_idle(turn)
    turn.reply("cancel_answered")


def signal_answered(turn: Turn, external: External, cause: int) -> None:
    """Record how a signal to another workflow ended."""
    if cause:
        event = turn.event(on.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED)
        failed = event.signal_external_workflow_execution_failed_event_attributes
        failed.cause = cause  # type: ignore[assignment]  # enums travel as ints
        _name(turn, failed, external)
        failed.control = external.control
    else:
        event = turn.event(on.EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)
        done = event.external_workflow_execution_signaled_event_attributes
        _name(turn, done, external)
        done.control = external.control
    turn.record(event)


def cancel_answered(turn: Turn, external: External, cause: int) -> None:
    """Record how a cancel request to another workflow ended."""
    if cause:
        event = turn.event(on.REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED)
        failed = event.request_cancel_external_workflow_execution_failed_event_attributes
        failed.cause = cause  # type: ignore[assignment]  # enums travel as ints
        _name(turn, failed, external)
    else:
        event = turn.event(on.EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
        done = event.external_workflow_execution_cancel_requested_event_attributes
        _name(turn, done, external)
    turn.record(event)


# -- fold


def on_signal_initiated(run: Run, event: history.HistoryEvent, batch_id: int) -> Run:
    """SignalExternalWorkflowExecutionInitiated: it is on its way."""
    given = event.signal_external_workflow_execution_initiated_event_attributes
    return _with(run, event.event_id, batch_id, "signal", given=given)


def on_cancel_initiated(run: Run, event: history.HistoryEvent, batch_id: int) -> Run:
    """RequestCancelExternalWorkflowExecutionInitiated: it is on its way."""
    given = event.request_cancel_external_workflow_execution_initiated_event_attributes
    return _with(run, event.event_id, batch_id, "cancel", given=given)


def on_answered(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """Signalled, asked to cancel, or failed: it is pending no more."""
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    initiated = attributes.initiated_event_id
    externals = {key: each for key, each in run.externals.items() if key != initiated}
    return replace(run, externals=externals)


# -- inside


def _check_signal(
    turn: Turn, wanted: command.SignalExternalWorkflowExecutionCommandAttributes
) -> None:
    _check_namespace(turn, wanted.namespace)
    target, name = wanted.execution, wanted.signal_name
    on_command = "on SignalExternalWorkflowExecutionCommand."
    rest = f"Namespace={wanted.namespace} RunId={target.run_id}"
    if not target.workflow_id:
        text = f"WorkflowId is not set {on_command} {rest} SignalName={name}"
        raise BadCommand(_SIGNAL_BAD, text)
    if not name:
        text = f"SignalName is not set {on_command} WorkflowId={target.workflow_id} {rest}"
        raise BadCommand(_SIGNAL_BAD, text)
    if target.run_id and not _is_uuid(target.run_id):
        text = f"Invalid RunId set {on_command} WorkflowId={target.workflow_id} {rest}"
        raise BadCommand(_SIGNAL_BAD, f"{text} SignalName={name}")
    cause = _Cause.WORKFLOW_TASK_FAILED_CAUSE_PENDING_SIGNALS_LIMIT_EXCEEDED
    _check_room(turn, "signal", turn.limits.pending_signals_max_count, cause)
    carrier = "SignalExternalWorkflowExecutionCommandAttributes.Input"
    check_blob(wanted.input.ByteSize(), _SIGNAL_BAD, carrier)


def _check_cancel(
    turn: Turn, wanted: command.RequestCancelExternalWorkflowExecutionCommandAttributes
) -> None:
    _check_namespace(turn, wanted.namespace)
    on_command = "on RequestCancelExternalWorkflowExecutionCommand."
    if not wanted.workflow_id:
        rest = f"Namespace={wanted.namespace} RunId={wanted.run_id}"
        raise BadCommand(_CANCEL_BAD, f"WorkflowId is not set {on_command} {rest}")
    rest = f"WorkflowId={wanted.workflow_id} RunId={wanted.run_id} Namespace={wanted.namespace}"
    if wanted.run_id and not _is_uuid(wanted.run_id):
        raise BadCommand(_CANCEL_BAD, f"Invalid RunId set {on_command} {rest}")
    if _has_begun_child(turn, wanted.workflow_id):
        text = "Start and RequestCancel for child workflow is not allowed in same workflow task."
        raise BadCommand(_CANCEL_BAD, f"{text} {rest}")
    cause = _Cause.WORKFLOW_TASK_FAILED_CAUSE_PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED
    _check_room(turn, "cancel", turn.limits.pending_cancels_max_count, cause)


def _has_begun_child(turn: Turn, workflow_id: str) -> bool:
    """Whether the completion in hand starts a child of that id."""
    return any(
        child.workflow_id == workflow_id and child.initiated_batch_id == turn.batch_id
        for child in turn.state.children.values()
    )


def _check_namespace(turn: Turn, namespace: str) -> None:
    if namespace not in ("", turn.execution.namespace):
        raise NamespaceNotFound(namespace)


def _check_room(turn: Turn, kind: str, most: int, cause: int) -> None:
    pending = sum(each.kind == kind for each in turn.state.externals.values())
    if pending >= most:
        raise BadCommand(
            cause,
            f"the number of pending {_PENDING[kind]} external workflows, {pending}, "
            f"has reached the per-workflow limit of {most}",
        )


_PENDING = {"signal": "signals to", "cancel": "requests to cancel"}


def _is_uuid(text: str) -> bool:
    parts = text.split("-")
    is_shaped = [len(part) for part in parts] == [8, 4, 4, 4, 12]
    return is_shaped and all(char in "0123456789abcdefABCDEF" for part in parts for char in part)


def _check_child(run: Run, parent_run_id: str, *, only: bool) -> None:
    if only and run.execution.parent_run_id != parent_run_id:
        raise NotFound("workflow is not a child of the caller")


def _of(turn: Turn, event_id: int) -> External:
    return turn.state.externals[event_id]


def _pending(turn: Turn, run_id: str, initiated_event_id: int) -> External:
    run = turn.focus(run_id)
    if run is None or run.execution.status != execution.RUNNING:
        raise Stale(f"expected sender {run_id} to be open, found it closed")
    external = run.externals.get(initiated_event_id)
    if external is None:
        raise Stale(f"expected {initiated_event_id} to be pending, found it answered")
    return external


def _forward(turn: Turn, asked: forwards.Asked, external: External) -> None:
    row = turn.execution
    quote = Quote(row.run_id, external.initiated_batch_id, external.initiated_event_id)
    turn.request(
        forwards.forward(
            asked, namespace=row.namespace, workflow_id=external.workflow_id, quote=quote
        )
    )


def _answer(
    turn: Turn, ask: forwards.SignalExternal | forwards.CancelExternal, told: forwards.Asked
) -> None:
    turn.request(
        forwards.forward(told, namespace=ask.sender_namespace, workflow_id=ask.sender_workflow_id)
    )
    turn.reply("told", run_id="")


Answered = (
    history.SignalExternalWorkflowExecutionFailedEventAttributes
    | history.ExternalWorkflowExecutionSignaledEventAttributes
    | history.RequestCancelExternalWorkflowExecutionFailedEventAttributes
    | history.ExternalWorkflowExecutionCancelRequestedEventAttributes
)


def _name(turn: Turn, given: Answered, external: External) -> None:
    given.namespace = turn.execution.namespace
    given.namespace_id = turn.execution.namespace_id
    given.workflow_execution.workflow_id = external.workflow_id
    given.workflow_execution.run_id = external.run_id
    given.initiated_event_id = external.initiated_event_id


def _with(
    run: Run, event_id: int, batch_id: int, kind: Literal["signal", "cancel"], *, given: Initiated
) -> Run:
    external = External(
        initiated_event_id=event_id,
        initiated_batch_id=batch_id,
        kind=kind,
        workflow_id=given.workflow_execution.workflow_id,
        run_id=given.workflow_execution.run_id,
        control=given.control,
    )
    return replace(run, externals={**run.externals, event_id: external})
