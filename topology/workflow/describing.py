"""How a run is shown wherever it is described: to clients, and to its archive."""

from schemas.instants import duration_of, timestamp_of
from schemas.temporal import history, workflow
from topology.decision import Rows
from topology.workflow import keys
from topology.workflow.state import Run


def first_event(run: Run, rows: Rows) -> history.HistoryEvent:
    """Return the event that began a run."""
    batch = rows.get(keys.batch_key(run.execution.run_id, 1)) or b""
    return history.History.FromString(batch).events[0]


def describe_execution(
    run: Run, started: history.HistoryEvent, shown: workflow.WorkflowExecutionInfo
) -> None:
    """Show a run as a list does."""
    row = run.execution
    given = started.workflow_execution_started_event_attributes
    shown.execution.workflow_id = row.workflow_id
    shown.execution.run_id = row.run_id
    shown.type.name = row.workflow_type
    shown.start_time.CopyFrom(timestamp_of(row.started_at))
    shown.execution_time.CopyFrom(timestamp_of(row.execution_at))
    if row.closed_at:
        shown.close_time.CopyFrom(timestamp_of(row.closed_at))
        shown.execution_duration.CopyFrom(duration_of(max(row.closed_at - row.execution_at, 0)))
    shown.status = row.status  # type: ignore[assignment]  # enums travel as ints
    shown.history_length = row.next_event_id - 1
    shown.history_size_bytes = row.history_bytes
    shown.state_transition_count = row.transition_count
    shown.task_queue = row.queue
    shown.first_run_id = row.first_run_id
    shown.root_execution.workflow_id = row.root_workflow_id or row.workflow_id
    shown.root_execution.run_id = row.root_run_id or row.run_id
    if row.parent_run_id:
        shown.parent_namespace_id = given.parent_workflow_namespace_id
        shown.parent_execution.CopyFrom(given.parent_workflow_execution)
    shown.memo.SetInParent()  # there even if empty: the Go SDK reads through them
    shown.search_attributes.SetInParent()
    shown.memo.MergeFromString(run.memo)
    shown.search_attributes.MergeFromString(run.search_attributes)
    if given.HasField("priority"):
        shown.priority.CopyFrom(given.priority)
