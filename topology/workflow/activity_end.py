"""How an attempt ends: another one follows, or the activity closes.

A closing event is written behind the Started event it refers to, which tells of the start when
the history needs it and not before (temporal-core 6, 18). Who found the end (a worker, a
deadline, the workflow) does not live here.
"""

from schemas import event_types as on
from schemas.instants import timestamp_of
from schemas.temporal import common, failure, history
from topology.turn import Turn
from topology.workflow import failures, retry
from topology.workflow.activity_deadlines import SCHEDULE_TO_CLOSE, SCHEDULE_TO_START
from topology.workflow.facts import ActivityRetried
from topology.workflow.state import Activity, Run

_NO_TIME_LEFT = (
    "Not enough time to schedule next retry before activity ScheduleToClose timeout, "
    "giving up retrying"
)
_ENDS = frozenset(
    {
        on.ACTIVITY_TASK_COMPLETED,
        on.ACTIVITY_TASK_FAILED,
        on.ACTIVITY_TASK_TIMED_OUT,
        on.ACTIVITY_TASK_CANCELED,
    }
)


def complete(
    turn: Turn, activity: Activity, result: common.Payloads | None, *, identity: str
) -> None:
    """Close an activity with a result; one that no worker had is started by who completes it."""
    event = turn.event(on.ACTIVITY_TASK_COMPLETED)
    given = event.activity_task_completed_event_attributes
    given.scheduled_event_id = activity.scheduled_event_id
    if activity.phase == "started":
        given.started_event_id = _record_started(turn, activity)
    else:
        given.started_event_id = _record_started_by(turn, activity, identity=identity)
    if result is not None:
        given.result.CopyFrom(result)
    given.identity = identity
    turn.record(event)


def fail(turn: Turn, activity: Activity, failed: failure.Failure | None, *, identity: str) -> bool:
    """End an attempt with a failure; tell whether the activity is closed."""
    verdict = _verdict(turn, activity, failed)
    if verdict.state == retry.IN_PROGRESS:
        _retry(turn, activity, failed, delay=verdict.delay)
        return False
    event = turn.event(on.ACTIVITY_TASK_FAILED)
    given = event.activity_task_failed_event_attributes
    given.scheduled_event_id = activity.scheduled_event_id
    given.started_event_id = _record_started(turn, activity)
    if failed is not None:
        given.failure.CopyFrom(failed)
    given.retry_state = verdict.state  # type: ignore[assignment]  # enums travel as ints
    given.identity = identity
    turn.record(event)
    return True


def time_out(turn: Turn, activity: Activity, timeout_type: int) -> bool:
    """End an attempt that took too long; tell whether the activity is closed."""
    late = failures.timed_out(timeout_type)
    verdict = _verdict(turn, activity, late)
    if verdict.state == retry.IN_PROGRESS:
        _retry(turn, activity, late, delay=verdict.delay)
        return False
    if verdict.state == retry.TIMEOUT and timeout_type != SCHEDULE_TO_START:
        late = failures.timed_out(SCHEDULE_TO_CLOSE, _NO_TIME_LEFT)
    if activity.heartbeat_details:
        details = late.timeout_failure_info.last_heartbeat_details
        details.ParseFromString(activity.heartbeat_details)
    if activity.last_failure:
        late.cause.ParseFromString(activity.last_failure)
    event = turn.event(on.ACTIVITY_TASK_TIMED_OUT)
    given = event.activity_task_timed_out_event_attributes
    given.scheduled_event_id = activity.scheduled_event_id
    given.started_event_id = _record_started(turn, activity)
    given.failure.CopyFrom(late)
    given.retry_state = verdict.state  # type: ignore[assignment]  # enums travel as ints
    turn.record(event)
    return True


def record_canceled(
    turn: Turn, activity: Activity, details: common.Payloads | None, *, identity: str
) -> None:
    """Close an activity as cancelled."""
    event = turn.event(on.ACTIVITY_TASK_CANCELED)
    given = event.activity_task_canceled_event_attributes
    given.scheduled_event_id = activity.scheduled_event_id
    given.started_event_id = _record_started(turn, activity)
    given.latest_cancel_requested_event_id = activity.cancel_requested_event_id
    if details is not None:
        given.details.CopyFrom(details)
    given.identity = identity
    turn.record(event)


def is_end_buffered(run: Run, scheduled_event_id: int) -> bool:
    """Whether an activity has ended without the workflow knowing it yet."""
    for waiting in run.buffered:
        event = history.HistoryEvent.FromString(waiting)
        if event.event_type in _ENDS:
            name = event.WhichOneof("attributes")
            if name and getattr(event, name).scheduled_event_id == scheduled_event_id:
                return True
    return False


def _verdict(turn: Turn, activity: Activity, failed: failure.Failure | None) -> retry.Verdict:
    if activity.cancel_requested_event_id:
        return retry.Verdict(retry.CANCEL_REQUESTED)
    if failed is not None and failed.timeout_failure_info.timeout_type in {
        SCHEDULE_TO_START,
        SCHEDULE_TO_CLOSE,
    }:
        return retry.Verdict(retry.TIMEOUT)
    chain = retry.Chain(activity.attempt, turn.now, activity.expires_at)
    return retry.after_failure(activity.retry, failed, chain)


def _retry(turn: Turn, activity: Activity, failed: failure.Failure | None, *, delay: int) -> None:
    kept = failures.within_row(failed).SerializeToString() if failed is not None else b""
    turn.record(
        ActivityRetried(
            scheduled_event_id=activity.scheduled_event_id,
            attempt=activity.attempt + 1,
            scheduled_at=turn.now + delay,
            failure=kept,
            completed_at=turn.now,
        )
    )


def _record_started(turn: Turn, activity: Activity) -> int:
    """Write the start of a running attempt; return its event id (0: none, or buffered)."""
    if activity.phase != "started":
        return 0
    event = turn.event(on.ACTIVITY_TASK_STARTED)
    event.event_time.CopyFrom(timestamp_of(activity.started_at))
    given = event.activity_task_started_event_attributes
    given.identity = activity.identity
    given.request_id = activity.poll_id
    return _record_start(turn, activity, event)


def _record_started_by(turn: Turn, activity: Activity, *, identity: str) -> int:
    """Write the start of an attempt that was completed before a worker had it."""
    event = turn.event(on.ACTIVITY_TASK_STARTED)
    event.activity_task_started_event_attributes.identity = identity
    return _record_start(turn, activity, event)


def _record_start(turn: Turn, activity: Activity, event: history.HistoryEvent) -> int:
    given = event.activity_task_started_event_attributes
    given.scheduled_event_id = activity.scheduled_event_id
    given.attempt = activity.attempt
    if activity.last_failure:
        given.last_failure.ParseFromString(activity.last_failure)
    return turn.record(event)
