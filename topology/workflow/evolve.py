"""EVENTS and PRIVATE: everything that can happen to a run, and the function that folds it.

Folding is total: it never rejects, requests or reads a clock; a fact carries all it needs. Old
meaning is kept by version (`FOLD_VERSION`), not edited. This file only points.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from schemas import event_types as on
from schemas.temporal import history
from topology.decision import HistoryFact, StateFact
from topology.workflow import (
    activity_folds,
    buffering,
    cancellation,
    child_workflow,
    execution,
    external_workflow,
    facts,
    retention,
    search_attributes,
    signal,
    timer,
    workflow_task_folds,
)
from topology.workflow.facts import EventBuffered, Private, RunOpened
from topology.workflow.histories import begins_batch
from topology.workflow.state import Run

__all__ = [
    "EVENTS",
    "PRIVATE",
    "begins_batch",
    "fold",
    "is_buffered",
    "on_event",
    "on_private",
    "on_touched",
]

EventFold = Callable[[Run, history.HistoryEvent, int], Run]
PrivateFold = Callable[[Run, Any], Run]

EVENTS: Mapping[int, EventFold] = {
    on.WORKFLOW_EXECUTION_STARTED: execution.on_started,
    on.WORKFLOW_EXECUTION_COMPLETED: execution.on_closed,
    on.WORKFLOW_EXECUTION_FAILED: execution.on_closed,
    on.WORKFLOW_EXECUTION_TIMED_OUT: execution.on_closed,
    on.WORKFLOW_EXECUTION_CANCELED: execution.on_closed,
    on.WORKFLOW_EXECUTION_TERMINATED: execution.on_closed,
    on.WORKFLOW_EXECUTION_CONTINUED_AS_NEW: execution.on_closed,
    on.WORKFLOW_EXECUTION_OPTIONS_UPDATED: execution.on_options_updated,
    on.WORKFLOW_EXECUTION_SIGNALED: signal.on_signaled,
    on.WORKFLOW_EXECUTION_CANCEL_REQUESTED: cancellation.on_cancel_requested,
    on.WORKFLOW_TASK_SCHEDULED: workflow_task_folds.on_scheduled,
    on.WORKFLOW_TASK_STARTED: workflow_task_folds.on_started,
    on.WORKFLOW_TASK_COMPLETED: workflow_task_folds.on_completed,
    on.WORKFLOW_TASK_TIMED_OUT: workflow_task_folds.on_timed_out,
    on.WORKFLOW_TASK_FAILED: workflow_task_folds.on_failed,
    on.ACTIVITY_TASK_SCHEDULED: activity_folds.on_scheduled,
    on.ACTIVITY_TASK_STARTED: activity_folds.on_started_recorded,
    on.ACTIVITY_TASK_COMPLETED: activity_folds.on_closed,
    on.ACTIVITY_TASK_FAILED: activity_folds.on_closed,
    on.ACTIVITY_TASK_TIMED_OUT: activity_folds.on_closed,
    on.ACTIVITY_TASK_CANCELED: activity_folds.on_closed,
    on.ACTIVITY_TASK_CANCEL_REQUESTED: activity_folds.on_cancel_requested,
    on.MARKER_RECORDED: execution.on_marker_recorded,
    on.UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: search_attributes.on_upserted,
    on.WORKFLOW_PROPERTIES_MODIFIED: search_attributes.on_properties_modified,
    on.START_CHILD_WORKFLOW_EXECUTION_INITIATED: child_workflow.on_initiated,
    on.START_CHILD_WORKFLOW_EXECUTION_FAILED: child_workflow.on_ended,
    on.CHILD_WORKFLOW_EXECUTION_STARTED: child_workflow.on_started,
    on.CHILD_WORKFLOW_EXECUTION_COMPLETED: child_workflow.on_ended,
    on.CHILD_WORKFLOW_EXECUTION_FAILED: child_workflow.on_ended,
    on.CHILD_WORKFLOW_EXECUTION_CANCELED: child_workflow.on_ended,
    on.CHILD_WORKFLOW_EXECUTION_TIMED_OUT: child_workflow.on_ended,
    on.CHILD_WORKFLOW_EXECUTION_TERMINATED: child_workflow.on_ended,
    on.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: external_workflow.on_signal_initiated,
    on.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED: external_workflow.on_answered,
    on.EXTERNAL_WORKFLOW_EXECUTION_SIGNALED: external_workflow.on_answered,
    on.REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: (
        external_workflow.on_cancel_initiated
    ),
    on.REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED: external_workflow.on_answered,
    on.EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED: external_workflow.on_answered,
    on.TIMER_STARTED: timer.on_started,
    on.TIMER_FIRED: timer.on_closed,
    on.TIMER_CANCELED: timer.on_closed,
}

PRIVATE: Mapping[type[Private], PrivateFold] = {
    facts.EventBuffered: buffering.on_buffered,
    facts.BufferFlushed: buffering.on_flushed,
    facts.BufferedDropped: buffering.on_dropped,
    facts.RequestTaken: signal.on_request_taken,
    facts.WorkflowTaskScheduled: workflow_task_folds.on_scheduled_transient,
    facts.HeartbeatsContinued: workflow_task_folds.on_heartbeats_continued,
    facts.WorkflowTaskStarted: workflow_task_folds.on_taken,
    facts.StickySet: workflow_task_folds.on_sticky_set,
    facts.WorkflowTaskMoved: workflow_task_folds.on_moved,
    facts.WorkflowTaskDropped: workflow_task_folds.on_dropped,
    facts.WorkflowTaskHandedBack: workflow_task_folds.on_handed_back,
    facts.CompletionRefused: workflow_task_folds.on_completion_refused,
    facts.BackoffEnded: execution.on_backoff_ended,
    facts.DueQuarantined: execution.on_due_quarantined,
    facts.RunKept: retention.on_kept,
    facts.RunArchived: retention.on_archived,
    facts.RunSetAside: retention.on_set_aside,
    facts.RunMeasured: execution.on_measured,
    facts.DeletionAsked: retention.on_deletion_asked,
    facts.RunDeleted: retention.on_deleted,
    facts.ActivityStarted: activity_folds.on_attempt_started,
    facts.ActivityHandedBack: activity_folds.on_handed_back,
    facts.ActivityHeartbeat: activity_folds.on_heartbeat,
    facts.ActivityRetried: activity_folds.on_retried,
    facts.ActivityOffered: activity_folds.on_offered,
}

BUFFERED = frozenset(
    {
        on.WORKFLOW_EXECUTION_SIGNALED,
        on.WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        on.WORKFLOW_EXECUTION_OPTIONS_UPDATED,
        on.ACTIVITY_TASK_STARTED,
        on.ACTIVITY_TASK_COMPLETED,
        on.ACTIVITY_TASK_FAILED,
        on.ACTIVITY_TASK_TIMED_OUT,
        on.ACTIVITY_TASK_CANCELED,
        on.TIMER_FIRED,
        on.START_CHILD_WORKFLOW_EXECUTION_FAILED,
        on.CHILD_WORKFLOW_EXECUTION_STARTED,
        on.CHILD_WORKFLOW_EXECUTION_COMPLETED,
        on.CHILD_WORKFLOW_EXECUTION_FAILED,
        on.CHILD_WORKFLOW_EXECUTION_CANCELED,
        on.CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
        on.CHILD_WORKFLOW_EXECUTION_TERMINATED,
        on.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
        on.EXTERNAL_WORKFLOW_EXECUTION_SIGNALED,
        on.REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
        on.EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
    }
)
"""Events of these types get no id while a workflow task is out (temporal-core 2.5)."""


def is_buffered(event_type: int) -> bool:
    """Whether events of a type wait while a workflow task is out."""
    return event_type in BUFFERED


def on_event(run: Run, event: history.HistoryEvent, *, size: int, batch_id: int) -> Run:
    """Fold a numbered public event of `size` bytes in the batch that begins at `batch_id`."""
    if run.execution.flushing_count and event.event_type in BUFFERED:
        run = buffering.on_numbered(run, event)
        if event.event_type == on.CHILD_WORKFLOW_EXECUTION_STARTED:
            run = child_workflow.on_started_numbered(run, event)
    else:
        run = EVENTS[event.event_type](run, event, batch_id)
    row = run.execution
    row = replace(
        row,
        next_event_id=event.event_id + 1,
        last_batch_id=batch_id,
        history_bytes=row.history_bytes + size,
    )
    return replace(run, execution=row)


def on_touched(run: Run) -> Run:
    """Count a transition that touches a run that was there before."""
    row = run.execution
    return replace(run, execution=replace(row, transition_count=row.transition_count + 1))


def on_private(run: Run | None, fact: Private) -> Run:
    """Fold a private fact; only RunOpened has no run yet."""
    if run is None:
        assert isinstance(fact, RunOpened), f"expected RunOpened, found {fact}"
        return execution.on_opened(fact)
    if isinstance(fact, EventBuffered):  # applied now, numbered at the flush
        event = history.HistoryEvent.FromString(fact.event)
        run = EVENTS[event.event_type](run, event, 0)
    return PRIVATE[type(fact)](run, fact)


def fold(run: Run | None, recorded: list[HistoryFact | StateFact]) -> Run:
    """Fold the facts of one run in one transition, as recovery does."""
    batch_id = 0
    if run is not None:
        run = on_touched(run)
    for fact in recorded:
        if isinstance(fact, StateFact):
            run = on_private(run, _read_private(fact))
            continue
        assert run is not None, f"expected RunOpened first, found event {fact.event_id}"
        if begins_batch(fact.event_type) or not batch_id:
            batch_id = fact.event_id
        event = history.HistoryEvent.FromString(fact.body)
        run = on_event(run, event, size=len(fact.body), batch_id=batch_id)
    assert run is not None, "expected facts, found none"
    return run


def _read_private(fact: StateFact) -> Private:
    return _decoders[fact.name](fact.body)


_kinds: tuple[type[Private], ...] = (RunOpened, *PRIVATE)
_decoders: dict[str, Callable[[bytes], Private]] = {
    kind.__name__: msgspec.msgpack.Decoder(kind).decode for kind in _kinds
}
