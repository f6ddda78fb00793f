"""Workflow tasks: attempts, transient ones, timeouts, answers that come too late."""

from typing import Any

import pytest

from schemas.errors import NotFound, Stale
from schemas.instants import MINUTE, SECOND
from schemas.temporal import enums
from tests.support.core import Desk
from tests.support.core_scene import Scene, golden, names
from tests.support.core_words import complete, marker, sec, timer
from topology.workflow.workflow_task import timeout_of

Cause = enums.WorkflowTaskFailedCause
BAD_CODE = {
    "cause": Cause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
    "failure": {
        "message": "bad code",
        "source": "Worker",
        "application_failure_info": {"type": "Oops"},
    },
}


def last_task(scene: Scene, title: str = "poll") -> None:
    """Show the next task, complete the workflow with it, show the history."""
    task = scene.poll()
    scene.answer(title, task)
    scene.reply(task, complete())
    scene.history()


def test_failing_again_adds_nothing_to_the_history(scene: Scene) -> None:
    """Attempts 2 and 3 are transient: seen by SDKs while they last, written when one completes."""
    scene.start()
    scene.fail_task(scene.poll(), **BAD_CODE)
    scene.history()
    scene.describe()
    task = scene.poll()
    scene.answer("poll attempt 2", task)
    scene.history()
    scene.attempt("fail attempt 2", lambda: scene.fail_task(task, **BAD_CODE))
    scene.history()
    last_task(scene, "poll attempt 3")
    assert golden("task_failed_then_ok") == scene.record()


def test_new_events_make_a_transient_task_normal(scene: Scene) -> None:
    """A signal while attempt 3 waits: attempt 1 again, with a Scheduled event."""
    scene.start()
    scene.fail_task(scene.poll(), **BAD_CODE)
    scene.fail_task(scene.poll(), **BAD_CODE)
    scene.signal()
    scene.history()
    last_task(scene)
    assert golden("task_failed_then_signal") == scene.record()


def test_a_task_times_out_and_its_answer_is_late(scene: Scene) -> None:
    """The next attempt completes; the first worker is told NOT_FOUND."""
    scene.start(workflow_task_timeout=sec(1))
    stale = scene.poll()
    task = scene.poll()
    scene.answer("poll attempt 2", task)
    scene.attempt("stale reply", lambda: scene.reply(stale, complete()))
    scene.history()
    scene.reply(task, complete())
    scene.history()
    assert golden("task_timeout_then_retry") == scene.record()


def test_a_second_timeout_with_news_is_a_first_attempt(scene: Scene) -> None:
    """A signal came while the second attempt was out."""
    scene.start(workflow_task_timeout=sec(1))
    scene.poll()
    scene.poll()
    scene.signal()
    last_task(scene)
    assert golden("task_timeout_twice") == scene.record()


def test_buffered_events_follow_the_failure(scene: Scene) -> None:
    """They get their ids then, and the next task is a normal one."""
    scene.start()
    task = scene.poll()
    scene.signal()
    scene.fail_task(task, **BAD_CODE)
    last_task(scene)
    assert golden("buffered_then_task_failed") == scene.record()


def test_an_answer_counts_once(desk: Desk) -> None:
    """The same completion again finds no task."""
    desk.start()
    task = desk.poll()
    desk.reply(task, timer("t", 60))
    with desk.refused(NotFound, "Workflow task not found."):
        desk.reply(task, timer("t", 60))


def test_later_attempts_have_more_time() -> None:
    """From the fourth attempt on: 5, 10, 20 s and so on more, ten minutes at most."""
    more = [(timeout_of(10 * SECOND, attempt) - 10 * SECOND) // SECOND for attempt in range(1, 8)]
    assert [0, 0, 0, 5, 10, 20, 40] == more
    assert timeout_of(10 * SECOND, 60) == 610 * SECOND


def test_m1_the_same_poll_gets_the_same_task_again(desk: Desk) -> None:
    """Another poll is refused, and asking twice records once."""
    desk.start()
    offer = desk.offers.pop()
    first = desk.start_task(offer, poll_id="one")
    recorded = len(desk.log)
    assert first == desk.start_task(offer, poll_id="one")
    assert recorded == len(desk.log)
    with pytest.raises(Stale, match="expected task 2 to wait, found it started"):
        desk.start_task(offer, poll_id="two")


def test_m1_an_offer_of_a_closed_run_is_stale(desk: Desk) -> None:
    """History decides, whatever matching still holds."""
    desk.start()
    offer = desk.offers.pop()
    desk.terminate()
    with pytest.raises(Stale, match="to be open, found it closed"):
        desk.start_task(offer)


def test_m2_a_normal_task_handed_back_times_out_at_once(desk: Desk) -> None:
    """Its Started is public history, so its timeout is recorded, and the next attempt offered."""
    desk.start()
    offer = desk.offers.pop()
    desk.start_task(offer, poll_id="one")
    desk.hand_back(offer, poll_id="one")
    assert ["4 WorkflowTaskTimedOut", "5 WorkflowTaskScheduled"] == names(desk, after=3)
    assert [2] == [each.attempt for each in desk.offers]


def test_m2_a_transient_task_handed_back_waits_under_a_new_stamp(desk: Desk) -> None:
    """A late removal of the old offer cannot remove the new one."""
    desk.start()
    desk.fail_task(desk.poll(), **BAD_CODE)
    offer = desk.offers.pop()
    desk.start_task(offer, poll_id="one")
    desk.hand_back(offer, poll_id="one")
    (again,) = desk.offers
    assert (offer.attempt, offer.stamp + 1) == (again.attempt, again.stamp)
    with pytest.raises(Stale):
        desk.start_task(offer, poll_id="two")


def test_the_next_task_comes_with_the_answer(desk: Desk) -> None:
    """Asked for, and only what the worker has not seen yet."""
    desk.start()
    task = desk.poll()
    desk.signal("buffered")
    answer: Any = desk.reply(task, timer("t", 60), return_new_workflow_task=True)
    assert [4, 5, 6, 7, 8] == [event.event_id for event in answer.workflow_task.history.events]
    assert desk.offers == []
    desk.reply(answer.workflow_task, complete())


def test_history_behind_a_completed_transient_task_begins_at_a_batch(desk: Desk) -> None:
    """The inline task of a completed second attempt shows what follows it, whole."""
    desk.start()
    desk.fail_task(desk.poll(), **BAD_CODE)
    task = desk.poll()
    desk.signal("buffered")
    answer: Any = desk.reply(task, timer("t", 60), return_new_workflow_task=True)
    shown = [event.event_id for event in answer.workflow_task.history.events]
    assert [7, 8, 9, 10, 11] == shown


def test_a_worker_may_ask_for_more_time_for_half_an_hour(desk: Desk) -> None:
    """A chain of heartbeats ends with a timeout and a first attempt; a command begins it anew."""
    desk.start()
    task = desk.poll()
    began_at = desk.now
    while desk.now < began_at + 30 * MINUTE - 9 * SECOND:
        desk.pass_time(8)
        task = desk.reply(task, **HEARTBEAT).workflow_task
    desk.pass_time(9)
    with pytest.raises(NotFound, match="workflow task heartbeat timeout"):
        desk.reply(task, **HEARTBEAT)
    assert names(desk)[-2:] == [
        f"{task.started_event_id + 1} WorkflowTaskTimedOut",
        f"{task.started_event_id + 2} WorkflowTaskScheduled",
    ]


def test_a_command_begins_a_new_chain_of_heartbeats(desk: Desk) -> None:
    """Only a worker that does nothing else is cut off."""
    desk.start()
    task = desk.reply(desk.poll(), **HEARTBEAT).workflow_task
    for minutes in range(40):
        task = desk.reply(task, marker(f"m{minutes}"), **HEARTBEAT).workflow_task
        desk.pass_time(9)
        task = desk.reply(task, **HEARTBEAT).workflow_task
        desk.pass_time(9)
    assert task.attempt == 1


HEARTBEAT = {"force_create_new_workflow_task": True, "return_new_workflow_task": True}
