"""Closing a run: the one place where its last event is recorded, how long it is kept, who is told.

Pending children meet their parent close policy at every close; the parent of the run hears of it
only when no next run of the chain follows (temporal-core 2.7).
"""

from schemas.temporal import history
from topology import forwards
from topology.effects import Quote
from topology.turn import Turn
from topology.workflow import child_workflow, retention
from topology.workflow.facts import RunMeasured


def close(turn: Turn, event: history.HistoryEvent, *, has_next: bool) -> None:
    """Record the closing event of the run in focus."""
    event_id = turn.record(event)
    closed = turn.execution
    turn.record(RunMeasured(closed.history_bytes, closed.transition_count))
    retention.keep(turn)
    child_workflow.apply_close_policies(turn)
    row = turn.execution
    if has_next or not row.parent_run_id:
        return
    told = forwards.ChildClosed(
        parent_run_id=row.parent_run_id,
        initiated_event_id=row.parent_initiated_event_id,
        run_id=row.run_id,
    )
    quote = Quote(row.run_id, row.last_batch_id, event_id)
    turn.request(
        forwards.forward(
            told, namespace=row.parent_namespace, workflow_id=row.parent_workflow_id, quote=quote
        )
    )
