"""Closed runs that wait for their archive: found in order, with their histories, until reported."""

from typing import TypeVar

import msgspec
import pytest
from msgspec.structs import replace

from schemas.errors import FailedPrecondition, NotFound
from schemas.temporal import history, workflow
from tests.support.core import NAMESPACE, Desk
from tests.support.core_words import complete
from topology.namespace.archival import ENABLED, Archival
from topology.own_work import (
    Archived,
    AsideRun,
    Backlog,
    Batches,
    ReadBacklog,
    ReadClosedRun,
    ReadWaiting,
    SetAside,
    WaitingPage,
    WaitingRun,
)

ARCHIVING = replace(
    NAMESPACE,
    history_archival=Archival(ENABLED, "file:///h"),
    visibility_archival=Archival(ENABLED, "file:///v"),
)
OTHER = replace(ARCHIVING, id="00000000-0000-4000-8000-00000000000e", name="other")

T = TypeVar("T")


def close(desk: Desk) -> str:
    """Run a workflow to its end; return its run id."""
    run_id = desk.start()
    desk.step(complete())
    return run_id


def asked(desk: Desk, method: str, request: object, kind: type[T]) -> T:
    """Return the answer of a read."""
    return msgspec.msgpack.decode(desk.read(method, request), type=kind)


def waiting(desk: Desk, **asked_for: object) -> WaitingPage:
    """Return what waits."""
    return asked(desk, "Waiting", ReadWaiting(**asked_for), WaitingPage)  # type: ignore[arg-type]


def ids(runs: tuple[WaitingRun, ...] | tuple[AsideRun, ...]) -> list[str]:
    """Return which runs these are."""
    return [each.run_id for each in runs]


@pytest.fixture
def archiving(desk: Desk) -> Desk:
    """A desk in a namespace that archives."""
    desk.be_in(ARCHIVING)
    return desk


def test_v5_closed_runs_wait_until_they_are_reported(archiving: Desk) -> None:
    """The oldest first; an open run does not wait, and an archived one no more."""
    first, second = close(archiving), close(archiving)
    archiving.start()
    assert ids(waiting(archiving).runs) == [first, second]
    archiving.ask("Archived", Archived(first))
    assert ids(waiting(archiving).runs) == [second]
    archiving.check()


def test_runs_of_a_namespace_without_archive_do_not_wait(desk: Desk) -> None:
    """Nothing is written for them."""
    close(desk)
    assert waiting(desk) == WaitingPage(())


def test_a_waiting_run_comes_with_its_history_and_its_record(archiving: Desk) -> None:
    """Everything that an archive is made of is in one answer."""
    close(archiving)
    (found,) = waiting(archiving).runs
    assert (found.history_uri, found.visibility_uri) == ("file:///h", "file:///v")
    events = [
        event
        for batch in found.history.batches
        for event in history.History.FromString(batch).events
    ]
    assert events == archiving.events()
    shown = workflow.WorkflowExecutionInfo.FromString(found.execution)
    assert shown.history_length == found.last_event_id == len(events)
    assert shown.close_time == events[-1].event_time


def test_a_long_history_comes_in_parts(archiving: Desk) -> None:
    """Each part begins where the one before it ended, and none is empty."""
    run_id = close(archiving)
    (found,) = waiting(archiving, history_bytes=1).runs
    parts = list(found.history.batches)
    behind = found.history.next_event_id
    while behind:
        ask = ReadClosedRun(run_id, behind, history_bytes=1)
        part = asked(archiving, "ClosedRun", ask, Batches)
        assert len(part.batches) == 1
        parts += part.batches
        behind = part.next_event_id
    (whole,) = waiting(archiving).runs
    assert len(parts) > 2
    assert tuple(parts) == whole.history.batches


def test_pages_are_bounded_by_runs_and_by_bytes(archiving: Desk) -> None:
    """And go on where the one before them ended."""
    expected = [close(archiving) for _ in range(3)]
    for bound in ({"runs_count": 1}, {"history_bytes": 1}):
        found: list[str] = []
        page = waiting(archiving, **bound)
        while True:
            assert len(page.runs) == 1
            found += ids(page.runs)
            if not page.after:
                break
            page = waiting(archiving, after=page.after, **bound)
        assert found == expected


def test_a_namespace_whose_archive_is_away_is_passed_over(archiving: Desk) -> None:
    """What waits behind its runs is found all the same."""
    close(archiving)
    close(archiving)
    archiving.be_in(OTHER)
    other = close(archiving)
    assert ids(waiting(archiving, passed_over=(ARCHIVING.id,)).runs) == [other]
    both = (ARCHIVING.id, OTHER.id)
    assert waiting(archiving, passed_over=both) == WaitingPage(())


def test_v5_a_refused_run_is_set_aside_with_its_reason(archiving: Desk) -> None:
    """It waits no more, is not archived, and is tried again when somebody says so."""
    poison, fine = close(archiving), close(archiving)
    archiving.ask("SetAside", SetAside(poison, "history was mutated"))
    assert ids(waiting(archiving).runs) == [fine]
    assert archiving.run(poison).execution.awaits_archive
    backlog = asked(archiving, "Backlog", ReadBacklog(), Backlog)
    assert backlog.waiting == {ARCHIVING.id: 1}
    assert [(each.run_id, each.reason) for each in backlog.set_aside] == [
        (poison, "history was mutated")
    ]
    transitions = len(archiving.log)
    archiving.ask("SetAside", SetAside(poison, "history was mutated"))
    assert len(archiving.log) == transitions
    archiving.ask("SetAside", SetAside(poison, ""))
    assert ids(waiting(archiving).runs) == [poison, fine]
    archiving.check()


def test_a_set_aside_run_that_is_archived_after_all_is_done(archiving: Desk) -> None:
    """Nothing of it is left in the backlog."""
    run_id = close(archiving)
    archiving.ask("SetAside", SetAside(run_id, "no"))
    archiving.ask("Archived", Archived(run_id))
    assert asked(archiving, "Backlog", ReadBacklog(), Backlog) == Backlog({}, 0, ())


def test_an_open_run_cannot_be_set_aside(archiving: Desk) -> None:
    """Only closed runs wait."""
    run_id = archiving.start()
    with archiving.refused(
        FailedPrecondition, f"expected run {run_id} to be closed, found it open"
    ):
        archiving.ask("SetAside", SetAside(run_id, "no"))


def test_the_backlog_is_counted_up_to_a_bound(archiving: Desk) -> None:
    """Counting a backlog of days must not hold the partition up."""
    first = close(archiving)
    close(archiving)
    backlog = asked(archiving, "Backlog", ReadBacklog(counted_max=1), Backlog)
    assert backlog.waiting == {ARCHIVING.id: 1}
    assert backlog.oldest_closed_at == archiving.run(first).execution.closed_at


def test_more_of_a_run_that_is_gone_is_not_found(archiving: Desk) -> None:
    """It was deleted meanwhile."""
    run_id = archiving.new_id()
    with pytest.raises(NotFound, match=f"expected closed run {run_id}, found none"):
        archiving.read("ClosedRun", ReadClosedRun(run_id, 1))
