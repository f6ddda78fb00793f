"""Workflow task, the folds: what each fact about it does to the state. Asks: `workflow_task.py`."""

from msgspec.structs import replace

from schemas.instants import instant_of, span_of
from schemas.temporal import enums, history
from topology.workflow.facts import (
    CompletionRefused,
    HeartbeatsContinued,
    StickySet,
    WorkflowTaskDropped,
    WorkflowTaskHandedBack,
    WorkflowTaskMoved,
    WorkflowTaskScheduled,
    WorkflowTaskStarted,
)
from topology.workflow.state import Run, WorkflowTask

_STICKY = enums.TaskQueueKind.TASK_QUEUE_KIND_STICKY


def on_scheduled(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowTaskScheduled: the task waits for a worker."""
    row = run.execution
    given = event.workflow_task_scheduled_event_attributes
    at = instant_of(event.event_time)
    first_at = row.task.first_scheduled_at if row.task else at
    task = WorkflowTask(
        scheduled_event_id=event.event_id,
        attempt=given.attempt,
        scheduled_at=at,
        first_scheduled_at=first_at,
        timeout=span_of(given.start_to_close_timeout),
        stamp=row.task_stamp + 1,
        is_transient=False,
    )
    if given.task_queue.kind == _STICKY:
        queue, start_timeout = given.task_queue.name, row.sticky_timeout
        task = replace(task, queue=queue, start_timeout=start_timeout)
    row = replace(row, task=task, task_stamp=task.stamp, task_attempt=given.attempt)
    return replace(run, execution=row)


def on_started(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowTaskStarted: a worker has it."""
    row = run.execution
    assert row.task is not None, "expected a scheduled workflow task"
    given = event.workflow_task_started_event_attributes
    task = replace(
        row.task,
        started_event_id=event.event_id,
        started_at=instant_of(event.event_time),
        poll_id=given.request_id,
        identity=given.identity,
        history_bytes=given.history_size_bytes,
        continue_reasons=tuple(given.suggest_continue_as_new_reasons),
    )
    return replace(run, execution=replace(row, task=task))


def on_completed(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowTaskCompleted: none is open; the next one is a first attempt."""
    started = event.workflow_task_completed_event_attributes.started_event_id
    row = replace(
        run.execution,
        task=None,
        task_attempt=1,
        previous_started_event_id=started,
        is_closing=False,
    )
    return replace(run, execution=row)


def on_failed(run: Run, _event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowTaskFailed: none is open; the next one is another attempt."""
    return _ended_publicly(run)


def on_timed_out(run: Run, _event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowTaskTimedOut: none is open; the next one is another attempt."""
    return _ended_publicly(run)


def on_scheduled_transient(run: Run, fact: WorkflowTaskScheduled) -> Run:
    """A transient task waits; its ids are those its events would get now."""
    row = run.execution
    task = WorkflowTask(
        scheduled_event_id=row.next_event_id,
        attempt=fact.attempt,
        scheduled_at=fact.scheduled_at,
        first_scheduled_at=fact.scheduled_at,
        timeout=fact.timeout,
        stamp=row.task_stamp + 1,
        is_transient=True,
    )
    row = replace(row, task=task, task_stamp=task.stamp, task_attempt=fact.attempt)
    return replace(run, execution=row)


def on_heartbeats_continued(run: Run, fact: HeartbeatsContinued) -> Run:
    """The task belongs to an older chain of heartbeats."""
    row = run.execution
    assert row.task is not None, "expected the next workflow task of the chain"
    task = replace(row.task, first_scheduled_at=fact.first_scheduled_at)
    return replace(run, execution=replace(row, task=task))


def on_taken(run: Run, fact: WorkflowTaskStarted) -> Run:
    """A worker has the transient task."""
    row = run.execution
    assert row.task is not None, "expected a transient workflow task"
    task = replace(
        row.task,
        started_event_id=row.task.scheduled_event_id + 1,
        started_at=fact.started_at,
        poll_id=fact.poll_id,
        identity=fact.identity,
        history_bytes=fact.history_bytes,
        continue_reasons=fact.continue_reasons,
    )
    return replace(run, execution=replace(row, task=task))


def on_dropped(run: Run, fact: WorkflowTaskDropped) -> Run:
    """The transient task ended; the next one is another attempt."""
    return _ended(run, fact.attempt)


def on_sticky_set(run: Run, fact: StickySet) -> Run:
    """Where the next workflow tasks go."""
    row = replace(run.execution, sticky_queue=fact.queue, sticky_timeout=fact.start_timeout)
    return replace(run, execution=row)


def on_moved(run: Run, fact: WorkflowTaskMoved) -> Run:
    """The task waits on the run's own queue."""
    row = run.execution
    assert row.task is not None, "expected a workflow task that waits"
    task = replace(
        row.task,
        queue="",
        start_timeout=0,
        scheduled_at=fact.scheduled_at,
        stamp=row.task_stamp + 1,
    )
    return replace(run, execution=replace(row, task=task, task_stamp=task.stamp))


def on_handed_back(run: Run, fact: WorkflowTaskHandedBack) -> Run:
    """The transient task waits again under a new stamp."""
    row = run.execution
    assert row.task is not None, "expected a transient workflow task"
    task = replace(
        row.task,
        stamp=row.task_stamp + 1,
        scheduled_at=fact.scheduled_at,
        started_event_id=0,
        started_at=0,
        poll_id="",
        identity="",
    )
    return replace(run, execution=replace(row, task=task, task_stamp=task.stamp))


def on_completion_refused(run: Run, _fact: CompletionRefused) -> Run:
    """The run wants to close: until it does, signals are refused while its task is out."""
    return replace(run, execution=replace(run.execution, is_closing=True))


def _ended_publicly(run: Run) -> Run:
    """A sticky worker may have lost its cache: the same attempt again, on the run's own queue."""
    row = run.execution
    if not row.sticky_queue:
        return _ended(run, row.task_attempt + 1)
    run = _ended(run, row.task_attempt)
    return replace(run, execution=replace(run.execution, sticky_queue="", sticky_timeout=0))


def _ended(run: Run, attempt: int) -> Run:
    return replace(run, execution=replace(run.execution, task=None, task_attempt=attempt))
