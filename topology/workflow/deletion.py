"""Deleting runs: by request at once, or once their retention is over (`retention.py`).

An open run is terminated first and goes soon after, so that who waits for its end still sees it. A
deleted run is found by nobody from then on. Its rows may be many: they are erased later, in
bounded steps and outside the log, for nobody reads them (`streams/log/erasing.py`).
"""

from typing import Final

from schemas.errors import Stale
from schemas.instants import SECOND
from schemas.temporal import service
from topology.decision import Change
from topology.turn import Turn, state_fact
from topology.workflow import execution
from topology.workflow.facts import DeletionAsked, RunDeleted
from topology.workflow.state import Execution

GRACE: Final = SECOND
"""How long a run that had to be terminated for it is still there, ns."""
_REASON: Final = "Delete workflow execution"
_SERVER: Final = "history-service"


def delete(turn: Turn, request: service.DeleteWorkflowExecutionRequest) -> None:
    """DeleteWorkflowExecution."""
    run = execution.locate(turn, request.workflow_execution)
    if run.execution.status == execution.RUNNING:
        execution.terminate_run(turn, reason=_REASON, details=None, identity=_SERVER)
        turn.record(DeletionAsked(turn.now + GRACE))
    else:
        turn.record(RunDeleted())
    turn.reply("done", service.DeleteWorkflowExecutionResponse().SerializeToString())


def remove(turn: Turn) -> None:
    """Delete the run in focus at once, whatever it is at."""
    if turn.execution.status == execution.RUNNING:
        execution.terminate_run(turn, reason=_REASON, details=None, identity=_SERVER)
    turn.record(RunDeleted())


def expired(row: Execution, now: int) -> Change:
    """Return the deletion of a run whose retention is over; raises Stale where it is not."""
    is_closed = row.status != execution.RUNNING
    if not is_closed or row.awaits_archive or row.keep_until > now:
        raise Stale(f"expected the retention of run {row.run_id} to be over")
    fact = state_fact(RunDeleted())
    return Change("workflow", row.namespace_id, row.workflow_id, row.run_id, [fact])
