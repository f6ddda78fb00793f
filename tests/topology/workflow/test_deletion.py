"""Deleting a workflow by request: open, closed, unknown; and what is left of it."""

import pytest

from schemas.errors import NotFound, Stale
from tests.support.core import Desk
from tests.support.core_words import activity, complete, timer
from topology.own_work import FireDue
from topology.workflow import keys


def left(desk: Desk) -> set[bytes]:
    """Return the kinds of rows that are there, but for what is to be erased."""
    erased = [
        prefix
        for key, _ in desk.rows.scan(keys.DELETED)
        for prefix in (key, *keys.prefixes_of_deleted(key))
    ]
    return {key[:1] for key in desk.rows.rows if not key.startswith(tuple(erased))}


def test_a_closed_run_is_gone_at_once(desk: Desk) -> None:
    """Its rows are out of reach, its workflow id is free, and deleting again is refused."""
    run_id = desk.start()
    desk.step(complete())
    desk.delete()
    assert left(desk) == set()
    with desk.refused(NotFound, "workflow not found for ID: w"):
        desk.delete()
    with desk.refused(
        NotFound,
        f'workflow execution not found for workflow ID "w" and run ID "{run_id}"',
    ):
        desk.delete(run_id=run_id)


def test_an_open_run_is_terminated_first_and_goes_soon_after(desk: Desk) -> None:
    """Whoever waits for its end sees it; a second later it is gone, pending things included."""
    desk.start()
    desk.step(activity(), timer("t", 60))
    desk.delete()
    last = desk.events()[-1]
    given = last.workflow_execution_terminated_event_attributes
    assert (given.reason, given.identity) == ("Delete workflow execution", "history-service")
    assert desk.expire() == []
    desk.pass_time(1)
    assert desk.expire() == [desk.run_id]
    assert left(desk) == set()


def test_deleting_a_run_that_is_about_to_go_takes_it_at_once(desk: Desk) -> None:
    """A repeat of the request need not wait for the second to pass."""
    desk.start()
    desk.delete()
    desk.delete()
    assert desk.runs() == []
    desk.pass_time(1)
    assert desk.expire() == []


def test_a_deletion_does_not_wait_for_an_archive(desk: Desk) -> None:
    """Who deletes a run that is not archived yet means it."""
    desk.archive_to("file:///a")
    desk.start()
    desk.delete()
    desk.pass_time(1)
    assert desk.expire() == [desk.run_id]


def test_an_older_run_is_deleted_by_its_run_id(desk: Desk) -> None:
    """The newest run stays as it is."""
    first = desk.start()
    desk.step(complete())
    second = desk.start()
    desk.delete(run_id=first)
    assert [run.execution.run_id for run in desk.runs()] == [second]
    desk.signal()


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_late_answer_of_a_worker_finds_nothing(desk: Desk, *, is_forgotten: bool) -> None:
    """Neither a task nor a timer of a deleted run brings it back."""
    desk.start()
    desk.step(activity())
    task = desk.poll_activity()
    desk.delete()
    desk.delete()
    if is_forgotten:
        desk.forget()
    with desk.refused(
        NotFound, f'workflow execution not found for workflow ID "w" and run ID "{desk.run_id}"'
    ):
        desk.finish_activity(task)
    with desk.refused(Stale, f"expected run {desk.run_id} to be open, found it gone"):
        desk.ask("FireDue", FireDue(desk.run_id))


def test_the_same_id_starts_anew(desk: Desk) -> None:
    """A start behind a deletion begins a history of its own, even where duplicates are refused."""
    desk.start()
    desk.step(complete())
    desk.delete()
    desk.start(workflow_id_reuse_policy=3)
    assert [event.event_id for event in desk.events()] == [1, 2]
