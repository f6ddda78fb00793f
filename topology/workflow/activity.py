"""Activity: none --schedule--> scheduled --start--> started --complete, fail, cancel--> none.

A started attempt that fails or times out is backing_off until the next one is scheduled, as long
as its retry policy allows; `activity_end.py` decides that. Any phase can end by its deadlines
(`activity_due.py`) or be cancelled; the commands of the workflow stand in `activity_schedule.py`,
the folds in `activity_folds.py`. Here is what workers ask, by token or by ids.

A start is a private fact: the history hears of an activity when it closes.
"""

from schemas.errors import InvalidArgument, NotFound, Stale
from schemas.temporal import common, service
from topology import requests
from topology.decision import Rows
from topology.own_work import HandBack, StartTask
from topology.turn import Turn
from topology.workflow import (
    activity_end,
    activity_offer,
    execution,
    failures,
    limits,
    workflow_task,
)
from topology.workflow.facts import ActivityHandedBack, ActivityHeartbeat, ActivityStarted
from topology.workflow.state import Activity

Completed = (
    service.RespondActivityTaskCompletedRequest | service.RespondActivityTaskCompletedByIdRequest
)
Failed = service.RespondActivityTaskFailedRequest | service.RespondActivityTaskFailedByIdRequest
Canceled = (
    service.RespondActivityTaskCanceledRequest | service.RespondActivityTaskCanceledByIdRequest
)
Beat = service.RecordActivityTaskHeartbeatRequest | service.RecordActivityTaskHeartbeatByIdRequest
ById = (
    service.RespondActivityTaskCompletedByIdRequest
    | service.RespondActivityTaskFailedByIdRequest
    | service.RespondActivityTaskCanceledByIdRequest
    | service.RecordActivityTaskHeartbeatByIdRequest
)

RESULT_TOO_LARGE = "Complete result exceeds size limit."
HEARTBEAT_TOO_LARGE = "Heartbeat details exceed size limit."
_GONE = "invalid activityID or activity already timed out or invoking workflow is completed"
_NOT_ASKED = "unable to mark activity as canceled without activity being request canceled first"


# -- own work


def start(turn: Turn, ask: StartTask) -> None:
    """Give an attempt to a poll; the same poll gets the same answer again (M1)."""
    pending = _offered(turn, ask)
    if pending.phase == "scheduled":
        turn.record(ActivityStarted(ask.scheduled_event_id, ask.poll_id, ask.identity, turn.now))
    elif pending.phase != "started" or pending.poll_id != ask.poll_id:
        raise Stale(f"expected activity {ask.scheduled_event_id} to wait, found {pending.phase}")
    row, started = turn.execution, turn.state.activities[ask.scheduled_event_id]

    def answer(rows: Rows) -> bytes:
        return activity_offer.poll_answer(row, started, rows)

    turn.reply("started", answer)


def hand_back(turn: Turn, ask: HandBack) -> None:
    """Undo a start whose poller is gone (M2): the attempt is offered again under a new stamp."""
    pending = _offered(turn, ask)
    if pending.phase != "started" or pending.poll_id != ask.poll_id:
        raise Stale(f"expected activity {ask.scheduled_event_id} with that poll, found another")
    turn.record(ActivityHandedBack(ask.scheduled_event_id, turn.now))
    activity_offer.offer(turn, turn.state.activities[ask.scheduled_event_id])
    turn.reply("handed_back")


def _offered(turn: Turn, ask: StartTask | HandBack) -> Activity:
    row = turn.execution
    if row.status != execution.RUNNING:
        raise Stale(f"expected run {row.run_id} to be open, found it closed")
    pending = turn.state.activities.get(ask.scheduled_event_id)
    if pending is None or (pending.attempt, pending.stamp) != (ask.attempt, ask.stamp):
        raise Stale(f"expected activity {ask.scheduled_event_id} as offered, found {pending}")
    return pending


# -- what a worker reports, by token


def complete(turn: Turn, request: service.RespondActivityTaskCompletedRequest) -> None:
    """RespondActivityTaskCompleted."""
    _complete(turn, _named(turn, request.task_token), request)


def fail(turn: Turn, request: service.RespondActivityTaskFailedRequest) -> None:
    """RespondActivityTaskFailed."""
    _fail(turn, _named(turn, request.task_token), request)


def cancel(turn: Turn, request: service.RespondActivityTaskCanceledRequest) -> None:
    """RespondActivityTaskCanceled."""
    _cancel(turn, _named(turn, request.task_token), request)


def heartbeat(turn: Turn, request: service.RecordActivityTaskHeartbeatRequest) -> None:
    """RecordActivityTaskHeartbeat."""
    _beat(turn, _named(turn, request.task_token), request)


# -- the same by workflow id and activity id


def complete_by_id(turn: Turn, request: service.RespondActivityTaskCompletedByIdRequest) -> None:
    """RespondActivityTaskCompletedById; the activity need not have started."""
    _complete(turn, _named_by_id(turn, request), request)


def fail_by_id(turn: Turn, request: service.RespondActivityTaskFailedByIdRequest) -> None:
    """RespondActivityTaskFailedById; the activity need not have started."""
    _fail(turn, _named_by_id(turn, request), request)


def cancel_by_id(turn: Turn, request: service.RespondActivityTaskCanceledByIdRequest) -> None:
    """RespondActivityTaskCanceledById."""
    _cancel(turn, _started(_named_by_id(turn, request)), request)


def heartbeat_by_id(turn: Turn, request: service.RecordActivityTaskHeartbeatByIdRequest) -> None:
    """RecordActivityTaskHeartbeatById."""
    _beat(turn, _started(_named_by_id(turn, request)), request)


# -- answers


def cancel_requested_reply(request: Beat) -> bytes:
    """Return the answer to a heartbeat whose worker should stop."""
    if isinstance(request, service.RecordActivityTaskHeartbeatRequest):
        return service.RecordActivityTaskHeartbeatResponse(
            cancel_requested=True
        ).SerializeToString()
    return service.RecordActivityTaskHeartbeatByIdResponse(
        cancel_requested=True
    ).SerializeToString()


def cut_reply(request: Failed) -> bytes:
    """Return the answer to a worker whose failure was too large: what became of it."""
    found = []
    if request.last_heartbeat_details.ByteSize() > limits.BLOB_BYTES_MAX:
        found.append(failures.of_server(HEARTBEAT_TOO_LARGE, is_final=True))
    if request.failure.ByteSize() > limits.BLOB_BYTES_MAX:
        found.append(failures.within_event(request.failure))
    if isinstance(request, service.RespondActivityTaskFailedRequest):
        return service.RespondActivityTaskFailedResponse(failures=found).SerializeToString()
    return service.RespondActivityTaskFailedByIdResponse(failures=found).SerializeToString()


# -- inside


def _named(turn: Turn, packed: bytes) -> Activity:
    """Return the started activity that a token names; refuse a token that is no longer good."""
    token = workflow_task.token_of(packed)
    named = common.WorkflowExecution(workflow_id=token.workflow_id, run_id=token.run_id)
    run = execution.locate_open(turn, named)
    pending = run.activities.get(token.scheduled_event_id)
    if pending is None or (pending.attempt, pending.stamp) != (token.attempt, token.stamp):
        raise NotFound(_GONE)
    return _started(pending)


def _named_by_id(turn: Turn, request: ById) -> Activity:
    """Return the activity of an open run that a request names by its activity id."""
    activity_id = request.activity_id
    if not activity_id:
        raise InvalidArgument("ActivityId is not set on request.")
    if not request.workflow_id:  # no workflow: an activity of its own, and there is none
        raise NotFound(f"activity not found for ID: {activity_id}")
    named = common.WorkflowExecution(workflow_id=request.workflow_id, run_id=request.run_id)
    run = execution.locate_open(turn, named)
    for pending in run.activities.values():
        if pending.activity_id == activity_id:
            return pending
    raise NotFound(
        f"cannot find pending activity with ActivityID {activity_id}, "
        "check workflow execution history for more details"
    )


def _started(pending: Activity) -> Activity:
    if pending.phase != "started":
        raise NotFound(_GONE)
    return pending


def _complete(turn: Turn, pending: Activity, request: Completed) -> None:
    result = request.result if request.HasField("result") else None
    if result is not None and result.ByteSize() > limits.BLOB_BYTES_MAX:
        too_large = failures.of_server(RESULT_TOO_LARGE, is_final=True)
        activity_end.fail(turn, pending, too_large, identity=request.identity)
    else:
        activity_end.complete(turn, pending, result, identity=request.identity)
    workflow_task.schedule_if_idle(turn)
    turn.reply("done", requests.empty_response(turn.ask.method))


def _fail(turn: Turn, pending: Activity, request: Failed) -> None:
    details = request.last_heartbeat_details
    is_cut = max(details.ByteSize(), request.failure.ByteSize()) > limits.BLOB_BYTES_MAX
    if request.HasField("last_heartbeat_details") and details.ByteSize() <= limits.BLOB_BYTES_MAX:
        pending = _record_beat(turn, pending, details)
    failed = failures.within_event(request.failure) if request.HasField("failure") else None
    if activity_end.fail(turn, pending, failed, identity=request.identity):
        workflow_task.schedule_if_idle(turn)
    turn.reply("cut" if is_cut else "done", cut_reply(request))


def _cancel(turn: Turn, pending: Activity, request: Canceled) -> None:
    if not pending.cancel_requested_event_id:
        raise InvalidArgument(_NOT_ASKED)
    details = request.details if request.HasField("details") else None
    activity_end.record_canceled(turn, pending, details, identity=request.identity)
    workflow_task.schedule_if_idle(turn)
    turn.reply("done", requests.empty_response(turn.ask.method))


def _beat(turn: Turn, pending: Activity, request: Beat) -> None:
    """Record progress, and tell the worker whether it should stop."""
    if request.details.ByteSize() > limits.BLOB_BYTES_MAX:
        too_large = failures.of_server(HEARTBEAT_TOO_LARGE, is_final=True)
        activity_end.fail(turn, pending, too_large, identity=request.identity)
        workflow_task.schedule_if_idle(turn)
        should_stop = True
    else:
        should_stop = _record_beat(turn, pending, request.details).cancel_requested_event_id != 0
    if should_stop:
        turn.reply("cancel_requested", cancel_requested_reply(request))
    else:
        turn.reply("done", requests.empty_response(turn.ask.method))


def _record_beat(turn: Turn, pending: Activity, details: common.Payloads) -> Activity:
    scheduled_event_id = pending.scheduled_event_id
    turn.record(ActivityHeartbeat(scheduled_event_id, turn.now, details.SerializeToString()))
    return turn.state.activities[scheduled_event_id]
