"""A closed run: kept --retention is over--> deleted; where it is to be archived, not before that.

How long it is kept, and where it is archived, is what its namespace said when it closed; it is
recorded then, so a later change of the namespace counts for later closes only.
"""

from msgspec.structs import replace

from schemas.errors import FailedPrecondition
from topology.own_work import Archived, SetAside
from topology.turn import Turn
from topology.workflow.facts import (
    DeletionAsked,
    RunArchived,
    RunDeleted,
    RunKept,
    RunSetAside,
)
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
    if _awaits_archive(turn, ask.run_id):
        turn.record(RunArchived())
    turn.reply("archived", run_id=ask.run_id)


def set_aside(turn: Turn, ask: SetAside) -> None:
    """Take note that an archive refused a closed run, or that it shall be tried again."""
    if _awaits_archive(turn, ask.run_id) and turn.execution.archive_fault != ask.reason:
        turn.record(RunSetAside(ask.reason))
    turn.reply("set_aside", run_id=ask.run_id)


def _awaits_archive(turn: Turn, run_id: str) -> bool:
    """Turn to a closed run; whether it is there and not archived yet."""
    run = turn.focus(run_id)
    if run is None:
        return False
    if run.execution.status == _RUNNING:
        raise FailedPrecondition(f"expected run {run_id} to be closed, found it open")
    return run.execution.awaits_archive


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
            history_uri=fact.history_uri,
            visibility_uri=fact.visibility_uri,
        ),
    )


def on_archived(run: Run, _fact: RunArchived) -> Run:
    """RunArchived: the condition is met."""
    return _with(run, replace(run.execution, awaits_archive=False, archive_fault=""))


def on_set_aside(run: Run, fact: RunSetAside) -> Run:
    """RunSetAside: it waits for somebody, or for its archive again."""
    return _with(run, replace(run.execution, archive_fault=fact.reason))


def on_deletion_asked(run: Run, fact: DeletionAsked) -> Run:
    """DeletionAsked: neither the retention nor an archive counts any more."""
    return _with(run, replace(run.execution, keep_until=fact.at, awaits_archive=False))


def on_deleted(run: Run, _fact: RunDeleted) -> Run:
    """RunDeleted: nobody finds it any more."""
    return replace(run, is_deleted=True)


def _with(run: Run, row: Execution) -> Run:
    return replace(run, execution=row)
