"""What each fact does to a pending activity. Total: nothing is refused or asked for here.

The Started event changes nothing: it is written together with the event that ends the activity,
and the start itself was the private fact ActivityStarted.
"""

from msgspec.structs import replace

from schemas.instants import instant_of, span_of
from schemas.temporal import history
from topology.workflow.facts import (
    ActivityHandedBack,
    ActivityHeartbeat,
    ActivityOffered,
    ActivityRetried,
    ActivityStarted,
)
from topology.workflow.retry import SPAN_MAX, policy_of
from topology.workflow.state import Activity, Run


def on_scheduled(run: Run, event: history.HistoryEvent, batch_id: int) -> Run:
    """ActivityTaskScheduled: the first attempt waits for a worker."""
    given = event.activity_task_scheduled_event_attributes
    at = instant_of(event.event_time)
    total = min(span_of(given.schedule_to_close_timeout), SPAN_MAX)
    return _with(
        run,
        Activity(
            scheduled_event_id=event.event_id,
            scheduled_batch_id=batch_id,
            activity_id=given.activity_id,
            activity_type=given.activity_type.name,
            queue=given.task_queue.name,
            first_scheduled_at=at,
            schedule_to_close_timeout=total,
            schedule_to_start_timeout=span_of(given.schedule_to_start_timeout),
            start_to_close_timeout=span_of(given.start_to_close_timeout),
            heartbeat_timeout=span_of(given.heartbeat_timeout),
            retry=policy_of(given.retry_policy),
            expires_at=at + total if total else 0,
            priority=given.priority.SerializeToString(),
            scheduled_at=at,
        ),
    )


def on_attempt_started(run: Run, fact: ActivityStarted) -> Run:
    """ActivityStarted: a worker has the attempt."""
    started = replace(
        run.activities[fact.scheduled_event_id],
        phase="started",
        started_at=fact.started_at,
        poll_id=fact.poll_id,
        identity=fact.identity,
    )
    return _with(run, started)


def on_handed_back(run: Run, fact: ActivityHandedBack) -> Run:
    """ActivityHandedBack: the attempt waits for a worker again, under a new stamp."""
    waiting = run.activities[fact.scheduled_event_id]
    waiting = replace(
        waiting, phase="scheduled", scheduled_at=fact.scheduled_at, stamp=waiting.stamp + 1
    )
    return _with(run, waiting)


def on_heartbeat(run: Run, fact: ActivityHeartbeat) -> Run:
    """ActivityHeartbeat: the worker lives; the newest details are kept, none included."""
    beating = run.activities[fact.scheduled_event_id]
    return _with(
        run, replace(beating, heartbeat_at=fact.heartbeat_at, heartbeat_details=fact.details)
    )


def on_retried(run: Run, fact: ActivityRetried) -> Run:
    """ActivityRetried: the next attempt waits for the end of its backoff."""
    retried = replace(
        run.activities[fact.scheduled_event_id],
        phase="backing_off",
        attempt=fact.attempt,
        scheduled_at=fact.scheduled_at,
        last_failure=fact.failure,
        last_completed_at=fact.completed_at,
    )
    return _with(run, retried)


def on_offered(run: Run, fact: ActivityOffered) -> Run:
    """ActivityOffered: the attempt waits for a worker."""
    return _with(run, replace(run.activities[fact.scheduled_event_id], phase="scheduled"))


def on_cancel_requested(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """ActivityTaskCancelRequested: remembered, if the activity has not ended already."""
    given = event.activity_task_cancel_requested_event_attributes
    pending = run.activities.get(given.scheduled_event_id)
    if pending is None:
        return run
    return _with(run, replace(pending, cancel_requested_event_id=event.event_id))


def on_started_recorded(run: Run, _event: history.HistoryEvent, _batch_id: int) -> Run:
    """ActivityTaskStarted: the history now tells of the start."""
    return run


def on_closed(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """ActivityTaskCompleted, Failed, TimedOut, Canceled: the activity is no longer pending."""
    name = event.WhichOneof("attributes")
    assert name is not None, "expected an event with attributes"
    scheduled_event_id = getattr(event, name).scheduled_event_id
    activities = {
        each: pending for each, pending in run.activities.items() if each != scheduled_event_id
    }
    return replace(run, activities=activities)


def _with(run: Run, changed: Activity) -> Run:
    activities = {**run.activities, changed.scheduled_event_id: changed}
    return replace(run, activities=activities)
