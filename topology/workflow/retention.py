"""A closed run: kept --retention is over--> deleted; where it is to be archived, not before that.

How long it is kept, and where it is archived, is what its namespace said when it closed; it is
recorded then, so a later change of the namespace counts for later closes only.
"""

from msgspec.structs import replace

from schemas.errors import FailedPrecondition
from topology.own_work import Archived
from topology.turn import Turn
from topology.workflow.facts import RunArchived, RunKept
from topology.workflow.state import Execution, Run

_RUNNING = 1

# -- ask


def keep(turn: Turn) -> None:
    """Record how long the run in focus is kept, which has just closed."""
    namespace = turn.namespace
    turn.record(
        RunKept(
            retention=namespace.retention,
            history_uri=namespace.history_archival.target,
            visibility_uri=namespace.visibility_archival.target,
        )
    )


def on_archive_report(turn: Turn, ask: Archived) -> None:
    """Take note that a closed run is archived; what is known or gone is no news."""
    run = turn.focus(ask.run_id)
    if run is not None:
        if run.execution.status == _RUNNING:
            raise FailedPrecondition(f"expected run {ask.run_id} to be closed, found it open")
        if run.execution.awaits_archive:
            turn.record(RunArchived())
    turn.reply("archived", run_id=ask.run_id)


# -- fold


def on_kept(run: Run, fact: RunKept) -> Run:
    """RunKept: its deletion has an instant, and a condition."""
    row = run.execution
    return _with(
        run,
        replace(
            row,
            keep_until=row.closed_at + fact.retention,
            awaits_archive=bool(fact.history_uri or fact.visibility_uri),
        ),
    )


def on_archived(run: Run, _fact: RunArchived) -> Run:
    """RunArchived: the condition is met."""
    return _with(run, replace(run.execution, awaits_archive=False))


def _with(run: Run, row: Execution) -> Run:
    return replace(run, execution=row)
