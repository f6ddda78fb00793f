"""What becomes due in a run: its timeouts, its first task's backoff, activities, timers.

Every row has at most one due instant, a pure function of the row; `rows.py` keeps the due-ordered
keys in step with it. A wake-up that finds nothing due is stale.
"""

from schemas.errors import Stale
from topology.own_work import FireDue, QuarantineDue
from topology.turn import Turn
from topology.workflow import activity_due, chain, execution, timer, workflow_task
from topology.workflow.facts import DueQuarantined
from topology.workflow.state import Execution, Run


def is_armed(run: Run) -> bool:
    """Whether anything of the run may become due."""
    return run.execution.status == execution.RUNNING and not run.execution.quarantine


def execution_due_at(row: Execution) -> int:
    """Return when the run itself needs attention; 0: never."""
    task = row.task
    candidates = (
        row.run_expires_at,
        row.backoff_until,
        task.times_out_at if task else 0,
    )
    return min(filter(None, candidates), default=0)


def fire(turn: Turn, ask: FireDue) -> None:
    """Do all that is due in a run, in one turn."""
    run = turn.focus(ask.run_id)
    if run is None or not is_armed(run):
        raise Stale(f"expected run {ask.run_id} to be open, found it gone")
    row = run.execution
    if row.run_expires_at and row.run_expires_at <= turn.now:
        chain.time_out(turn)
    else:
        _fire_within(turn)
    if not turn.changes:
        raise Stale(f"expected something due in run {ask.run_id}, found nothing")
    turn.reply("fired")


def quarantine(turn: Turn, ask: QuarantineDue) -> None:
    """Never fire anything of a run again: doing so raised a bug (L13)."""
    if turn.focus(ask.run_id) is None:
        raise Stale(f"expected run {ask.run_id}, found none")
    turn.record(DueQuarantined(ask.reason))
    turn.reply("quarantined")


def _fire_within(turn: Turn) -> None:
    row = turn.execution
    if row.task is not None and 0 < row.task.times_out_at <= turn.now:
        workflow_task.time_out(turn)
    needs_task = False
    if row.backoff_until and row.backoff_until <= turn.now:
        execution.end_backoff(turn)
        needs_task = True
    needs_task |= activity_due.fire_due(turn)
    needs_task |= timer.fire_due(turn)
    if needs_task:
        workflow_task.schedule_if_idle(turn)
