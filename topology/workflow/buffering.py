"""The buffer: events that come while a workflow task is out get their ids when it is back.

EventBuffered applies an event to the state at once (its activity is closed, its timer has fired);
the flush only numbers it. Ends of activities and children go last (temporal-core 2.5).
"""

from typing import Any

from msgspec.structs import replace

from schemas import event_types as on
from schemas.temporal import history
from topology.turn import Turn
from topology.workflow import limits
from topology.workflow.facts import BufferedDropped, BufferFlushed, EventBuffered
from topology.workflow.state import Attached, Run

_LAST: dict[int, str] = {
    on.ACTIVITY_TASK_COMPLETED: "activity_task_completed_event_attributes",
    on.ACTIVITY_TASK_FAILED: "activity_task_failed_event_attributes",
    on.ACTIVITY_TASK_TIMED_OUT: "activity_task_timed_out_event_attributes",
    on.ACTIVITY_TASK_CANCELED: "activity_task_canceled_event_attributes",
    on.CHILD_WORKFLOW_EXECUTION_COMPLETED: "child_workflow_execution_completed_event_attributes",
    on.CHILD_WORKFLOW_EXECUTION_FAILED: "child_workflow_execution_failed_event_attributes",
    on.CHILD_WORKFLOW_EXECUTION_CANCELED: "child_workflow_execution_canceled_event_attributes",
    on.CHILD_WORKFLOW_EXECUTION_TERMINATED: (
        "child_workflow_execution_terminated_event_attributes"
    ),
    on.CHILD_WORKFLOW_EXECUTION_TIMED_OUT: "child_workflow_execution_timed_out_event_attributes",
}
"""The types that go last, and where their started event id stands."""


def flush(turn: Turn) -> bool:
    """Number the buffered events, in Temporal's order; tell whether there were any."""
    waiting = turn.state.buffered
    if not waiting:
        return False
    events = [history.HistoryEvent.FromString(each) for each in waiting]
    turn.record(BufferFlushed(len(events)))
    started: dict[int, int] = {}
    for event in sorted(events, key=lambda each: each.event_type in _LAST):
        if field := _LAST.get(event.event_type):
            ended = getattr(event, field)
            ended.started_event_id = started.get(_begun_by(ended), ended.started_event_id)
        event_id = turn.record_numbered(event)
        if event.event_type == on.ACTIVITY_TASK_STARTED:
            started[_begun_by(event.activity_task_started_event_attributes)] = event_id
        elif event.event_type == on.CHILD_WORKFLOW_EXECUTION_STARTED:
            started[_begun_by(event.child_workflow_execution_started_event_attributes)] = event_id
    return True


def _begun_by(attributes: Any) -> int:
    """Return the id of the event that asked for an activity or a child."""
    field = "scheduled_event_id"
    if field not in attributes.DESCRIPTOR.fields_by_name:
        field = "initiated_event_id"
    return int(getattr(attributes, field))


def is_over(run: Run) -> bool:
    """Whether more waits than a buffer may hold (temporal-core 2.5)."""
    waiting = run.buffered
    if len(waiting) > limits.BUFFERED_EVENTS_MAX:
        return True
    return bool(waiting) and sum(map(len, waiting)) > limits.BUFFERED_BYTES_MAX


def drop_fired(turn: Turn, timer_id: str) -> int:
    """Take a buffered TimerFired back; return its started event id, 0 where there is none."""
    for index, waiting in enumerate(turn.state.buffered):
        event = history.HistoryEvent.FromString(waiting)
        fired = event.timer_fired_event_attributes
        if event.event_type == on.TIMER_FIRED and fired.timer_id == timer_id:
            turn.record(BufferedDropped(index))
            return fired.started_event_id
    return 0


def on_buffered(run: Run, fact: EventBuffered) -> Run:
    """EventBuffered: it waits (its entity's fold has been applied already)."""
    return _with_buffered(run, (*run.buffered, fact.event))


def on_dropped(run: Run, fact: BufferedDropped) -> Run:
    """BufferedDropped: it does not wait any more."""
    left = run.buffered[: fact.index] + run.buffered[fact.index + 1 :]
    return _with_buffered(run, left)


def on_flushed(run: Run, fact: BufferFlushed) -> Run:
    """BufferFlushed: the next events of buffered types were applied before."""
    run = _with_buffered(run, ())
    return replace(run, execution=replace(run.execution, flushing_count=fact.count))


def on_numbered(run: Run, event: history.HistoryEvent) -> Run:
    """An event that was applied when it was buffered now has its id."""
    row = run.execution
    attached = row.attached
    if event.event_type == on.WORKFLOW_EXECUTION_OPTIONS_UPDATED:
        given = event.workflow_execution_options_updated_event_attributes.attached_request_id
        attached = tuple(
            Attached(given, event.event_id) if each.request_id == given else each
            for each in attached
        )
    row = replace(row, flushing_count=row.flushing_count - 1, attached=attached)
    return replace(run, execution=row)


def _with_buffered(run: Run, buffered: tuple[bytes, ...]) -> Run:
    row = replace(run.execution, buffered_count=len(buffered))
    return replace(run, execution=row, buffered=buffered)
