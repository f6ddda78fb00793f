"""Timers: fired, cancelled, and cancelled after they fired unseen."""

from schemas.instants import SECOND
from tests.support.core import Desk
from tests.support.core_scene import Scene, golden, names
from tests.support.core_words import cancel_timer, complete, timer


def test_timers_fire(scene: Scene) -> None:
    """Two timers, one after the other."""
    scene.start()
    scene.step(timer("b", 2), timer("a", 1), timer("m", 99, summary="long"))
    scene.step()
    scene.finish()
    assert scene.record() == golden("timer_fire")


def test_timers_are_cancelled(scene: Scene) -> None:
    """Cancel in a later task, and in the task that starts it; the id is free again."""
    scene.start()
    scene.step(timer("a", 60))
    scene.signal()
    scene.step(timer("b", 60), cancel_timer("a"), cancel_timer("b"), timer("b", 60))
    scene.history(after=4)
    assert scene.record() == golden("timer_cancel")


def test_a_cancel_takes_back_what_the_workflow_has_not_seen(scene: Scene) -> None:
    """A buffered TimerFired disappears, and the workflow may close."""
    scene.start()
    scene.step(timer("a", 1))
    scene.signal()
    task = scene.poll()
    scene.pass_time(1.7)
    scene.reply(task, cancel_timer("a"), complete())
    scene.history(after=4)
    assert scene.record() == golden("timer_cancel_after_fired")


def test_all_timers_that_are_due_fire_in_one_turn(desk: Desk) -> None:
    """By instant, then by the order they were started in; one workflow task."""
    desk.start()
    desk.step(timer("c", 2), timer("b", 1), timer("a", 1))
    recorded = len(desk.log)
    desk.now += 60 * SECOND
    desk.fire_due()
    assert len(desk.log) == recorded + 1
    fired = [e.timer_fired_event_attributes.timer_id for e in desk.events() if e.event_type == 18]
    assert fired == ["b", "a", "c"]
    assert names(desk, after=10) == ["11 WorkflowTaskScheduled"]


def test_a_timer_never_fires_early(desk: Desk) -> None:
    """Not a nanosecond before its instant."""
    desk.start()
    desk.step(timer("a", 1))
    at = desk.next_due_at()
    assert at is not None
    desk.now = at - 1
    desk.fire_due()
    assert names(desk, after=5) == []
    desk.now = at
    desk.fire_due()
    assert names(desk, after=5) == ["6 TimerFired", "7 WorkflowTaskScheduled"]


def test_a_timer_of_no_time_fires_half_a_second_later(desk: Desk) -> None:
    """As in Temporal it waits for the next look at timers (decision 0014)."""
    desk.start()
    desk.step(timer("t", 0))
    desk.fire_due()
    assert names(desk, after=5) == []
    desk.pass_time(0.5)
    assert names(desk, after=5) == ["6 TimerFired", "7 WorkflowTaskScheduled"]


def test_a_span_beyond_measure_is_capped(desk: Desk) -> None:
    """No timer waits longer than a hundred years."""
    desk.start()
    desk.step(timer("t", 1e11))
    started = desk.events()[4].timer_started_event_attributes
    assert started.start_to_fire_timeout.seconds == 36_525 * 86_400
