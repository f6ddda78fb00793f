"""How long a closed run is kept, and what has to happen before it goes."""

import pytest
from msgspec.structs import replace

from schemas.errors import FailedPrecondition, NotFound, Stale
from schemas.instants import DAY, SECOND
from tests.support.core import NAMESPACE, Desk
from tests.support.core_words import complete
from topology.decision import StateFact
from topology.namespace.archival import ENABLED, Archival
from topology.own_work import Archived, Expire


def close(desk: Desk, *, archive: str = "") -> str:
    """Run a workflow to its end in a namespace that archives there; return its run id."""
    if archive:
        desk.archive_to(archive)
    run_id = desk.start()
    desk.step(complete())
    return run_id


def facts(desk: Desk) -> list[str]:
    """Return the private facts of the newest transition by name."""
    _, changes = desk.log[-1]
    return [each.name for each in changes[0].facts if isinstance(each, StateFact)]


def test_the_retention_that_held_at_the_close_counts(desk: Desk) -> None:
    """Neither the retention at the start of a run counts, nor a later one."""
    run_id = desk.start()
    desk.be_in(replace(NAMESPACE, retention=3 * DAY))
    desk.step(complete())
    desk.be_in(replace(NAMESPACE, retention=9 * DAY))
    row = desk.run(run_id).execution
    assert row.keep_until == row.closed_at + 3 * DAY
    assert not row.awaits_archive


def test_v5_a_closed_run_is_reported_archived_once(desk: Desk) -> None:
    """The report is a fact of the run; saying it again is answered and records nothing."""
    run_id = close(desk, archive="file:///a")
    assert desk.run(run_id).execution.awaits_archive
    desk.ask("Archived", Archived(run_id))
    assert facts(desk) == ["RunArchived"]
    assert not desk.run(run_id).execution.awaits_archive
    transitions = len(desk.log)
    desk.ask("Archived", Archived(run_id))
    assert len(desk.log) == transitions


def test_v5_a_report_about_a_run_that_is_gone_is_no_news(desk: Desk) -> None:
    """A report that comes after the deletion is answered, so that it is not repeated for ever."""
    desk.ask("Archived", Archived(desk.new_id()))
    assert desk.log == []


def test_v5_an_open_run_cannot_be_archived(desk: Desk) -> None:
    """A report about an open run is refused."""
    run_id = desk.start()
    with desk.refused(FailedPrecondition, f"expected run {run_id} to be closed, found it open"):
        desk.ask("Archived", Archived(run_id))


@pytest.mark.parametrize("kind", ["history_archival", "visibility_archival"])
def test_either_archive_holds_the_deletion_back(desk: Desk, kind: str) -> None:
    """A run waits for its archive where the history, the record or both go to one."""
    desk.be_in(replace(NAMESPACE, **{kind: Archival(ENABLED, "file:///a")}))
    run_id = desk.start()
    desk.step(complete())
    assert desk.run(run_id).execution.awaits_archive


def test_a_closed_run_is_deleted_when_its_retention_is_over(desk: Desk) -> None:
    """Not before; then nobody finds it, and its workflow id is free."""
    run_id = close(desk)
    desk.pass_time(DAY / SECOND - 1)
    assert desk.expire() == []
    desk.pass_time(1)
    assert desk.expire() == [run_id]
    assert desk.runs() == []
    with desk.refused(NotFound, "workflow not found for ID: w"):
        desk.terminate()
    assert desk.start() != run_id


def test_v5_retention_waits_for_the_archive(desk: Desk) -> None:
    """However late: the run goes once it is reported archived, and not before."""
    run_id = close(desk, archive="s3://b/p")
    desk.pass_time(30 * DAY / SECOND)
    assert desk.expire() == []
    desk.ask("Archived", Archived(run_id))
    assert desk.expire() == [run_id]


def test_many_runs_go_in_one_transition(desk: Desk) -> None:
    """So many expired runs as are asked for at once are deleted by one record, oldest first."""
    closed = []
    for number in range(5):
        closed.append(desk.start(f"w{number}"))
        desk.step(complete())
    desk.pass_time(2 * DAY / SECOND)
    transitions = len(desk.log)
    assert desk.expire(limit=3) == closed[:3]
    assert len(desk.log) == transitions + 1
    assert desk.expire(limit=3) == closed[3:]


def test_an_older_run_goes_without_its_successor(desk: Desk) -> None:
    """The newest run of a workflow id stays when the retention of the one before is over."""
    first = close(desk)
    desk.pass_time(DAY / SECOND / 2)
    second = desk.start()
    desk.step(complete())
    desk.pass_time(DAY / SECOND / 2)
    assert desk.expire() == [first]
    assert desk.described().workflow_execution_info.execution.run_id == second
    desk.pass_time(DAY / SECOND)
    assert desk.expire() == [second]


def test_a_wake_up_that_finds_the_run_gone_is_stale(desk: Desk) -> None:
    """What was due and is deleted already is dropped."""
    run_id = close(desk)
    desk.delete()
    with desk.refused(Stale, "expected closed runs whose retention is over, found none"):
        desk.ask("Expire", Expire((run_id,)))
