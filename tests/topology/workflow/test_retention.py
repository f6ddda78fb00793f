"""How long a closed run is kept, and what has to happen before it goes."""

import pytest
from msgspec.structs import replace

from schemas.errors import FailedPrecondition
from schemas.instants import DAY
from tests.support.core import NAMESPACE, Desk
from tests.support.core_words import complete
from topology.decision import StateFact
from topology.namespace.archival import ENABLED, Archival
from topology.own_work import Archived


def close(desk: Desk, *, archive: str = "") -> str:
    """Run a workflow to its end in a namespace that archives there; return its run id."""
    if archive:
        desk.be_in(replace(NAMESPACE, history_archival=Archival(ENABLED, archive)))
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
