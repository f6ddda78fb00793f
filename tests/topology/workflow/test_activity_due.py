"""Deadlines of activities: which one fires, and what comes of it."""

from schemas.errors import NotFound, Stale
from schemas.instants import SECOND
from tests.support.core import ActivityTask, Desk
from tests.support.core_scene import Scene, golden, names
from tests.support.core_words import QUICK, activity, cancel_activity, complete, failed, sec, val
from topology.workflow.activity_deadlines import due_at
from topology.workflow.retry import RetryPolicy
from topology.workflow.state import Activity

GONE = "invalid activityID or activity already timed out or invoking workflow is completed"
ONCE = {"maximum_attempts": 1}


def test_schedule_to_start(scene: Scene) -> None:
    """Nobody polls: never retried, and no start is written."""
    scene.start()
    scene.step(activity(schedule_to_start_timeout=sec(1)))
    scene.finish(after=4)
    assert scene.record() == golden("activity_schedule_to_start_timeout")


def test_start_to_close(scene: Scene) -> None:
    """Started and not answered; then the late answers are refused."""
    scene.start()
    scene.step(activity(start_to_close_timeout=sec(1), retry_policy=ONCE))
    task = scene.poll_activity()
    scene.pass_time(2)
    scene.attempt("late", lambda: scene.finish_activity(task))
    scene.attempt("late heartbeat", lambda: scene.beat(task))
    scene.finish(after=4)
    assert scene.record() == golden("activity_start_to_close_timeout")


def test_heartbeat(scene: Scene) -> None:
    """One heartbeat, then silence: its details are in the failure."""
    scene.start()
    scene.step(activity(heartbeat_timeout=sec(1), retry_policy=ONCE))
    scene.beat(scene.poll_activity(), val("half"))
    scene.finish(after=4)
    assert scene.record() == golden("activity_heartbeat_timeout")


def test_schedule_to_close(scene: Scene) -> None:
    """Out of total time while the first attempt runs."""
    scene.start()
    scene.step(activity(schedule_to_close_timeout=sec(1)))
    scene.poll_activity()
    scene.finish(after=4)
    assert scene.record() == golden("activity_schedule_to_close_timeout")


def test_a_timeout_is_retried(scene: Scene) -> None:
    """The next attempt has the details of the silent one, whose token is stale."""
    scene.start()
    scene.step(activity(heartbeat_timeout=sec(1), retry_policy=QUICK))
    stale = scene.poll_activity()
    scene.beat(stale, val("half"))
    task = scene.poll_activity()
    scene.answer("poll attempt 2", task)
    scene.describe()
    scene.attempt("stale complete", lambda: scene.finish_activity(stale))
    scene.attempt("stale heartbeat", lambda: scene.beat(stale))
    scene.finish_activity(task)
    scene.finish(after=4)
    assert scene.record() == golden("activity_timeout_then_retry")


def test_a_final_timeout_has_the_failure_before_it_as_cause(desk: Desk) -> None:
    """A worker's failure is not forgotten when a later attempt runs out of total time."""
    desk.start()
    desk.step(activity(schedule_to_close_timeout=sec(2), retry_policy=QUICK))
    desk.fail_activity(desk.poll_activity(), failure=failed("first"))
    desk.poll_activity()
    desk.pass_time(3)
    timed_out = next(e for e in desk.events() if e.event_type == 14)
    late = timed_out.activity_task_timed_out_event_attributes.failure
    assert late.cause.message == "first"


def test_a_heartbeat_moves_the_deadline(desk: Desk) -> None:
    """As long as the worker reports, only start-to-close ends its attempt."""
    desk.start()
    desk.step(activity(heartbeat_timeout=sec(1), start_to_close_timeout=sec(3), retry_policy=ONCE))
    task = desk.poll_activity()
    for _ in range(4):
        desk.pass_time(0.7)
        desk.beat(task)
    assert names(desk, after=5) == []
    desk.pass_time(0.7)
    assert names(desk, after=6) == ["7 ActivityTaskTimedOut", "8 WorkflowTaskScheduled"]


def test_all_that_is_due_fires_in_one_turn_in_order(desk: Desk) -> None:
    """Late after an outage: everything due fires at once, by instant, with one workflow task."""
    desk.start()
    desk.step(
        activity("slow", schedule_to_start_timeout=sec(3)),
        activity("fast", schedule_to_start_timeout=sec(1)),
    )
    recorded = len(desk.log)
    desk.now += 10 * SECOND
    desk.fire_due()
    assert len(desk.log) == recorded + 1
    ended = [e.activity_task_timed_out_event_attributes for e in desk.events()[6:8]]
    assert [each.scheduled_event_id for each in ended] == [6, 5]
    assert names(desk, after=8) == ["9 WorkflowTaskScheduled"]


def test_a_backoff_that_ended_long_ago_may_be_out_of_time(desk: Desk) -> None:
    """Schedule-to-close counts while nothing runs; nothing stays due after a wake-up."""
    desk.start()
    policy = {"initial_interval": sec(2)}
    desk.step(activity(schedule_to_close_timeout=sec(5), retry_policy=policy))
    desk.fail_activity(desk.poll_activity(), failure=failed())
    desk.now += 60 * SECOND
    desk.fire_due()
    assert names(desk, after=5) == ["6 ActivityTaskTimedOut", "7 WorkflowTaskScheduled"]


def test_a_retry_is_offered_at_the_end_of_its_backoff(desk: Desk) -> None:
    """Not before; and the offer has the new attempt."""
    desk.start()
    desk.step(activity(retry_policy={"initial_interval": sec(2)}))
    (first,) = desk.offers
    desk.fail_activity(desk.poll_activity(), failure=failed())
    desk.pass_time(1.9)
    assert desk.offers == []
    desk.pass_time(0.2)
    (second,) = desk.offers
    assert (first.attempt, second.attempt) == (1, 2)
    assert second.scheduled_at == first.scheduled_at + 2 * SECOND + 2_000_000


def test_a_timeout_with_a_task_out_is_buffered(desk: Desk) -> None:
    """The workflow hears of it with its next task."""
    desk.start()
    desk.step(activity(start_to_close_timeout=sec(1), retry_policy=ONCE))
    desk.poll_activity()
    desk.signal()
    task = desk.poll()
    desk.pass_time(2)
    assert names(desk, after=8) == []
    desk.reply(task)
    assert names(desk, after=9) == [
        "10 ActivityTaskStarted",
        "11 ActivityTaskTimedOut",
        "12 WorkflowTaskScheduled",
    ]
    assert desk.events()[10].activity_task_timed_out_event_attributes.started_event_id == 10


def test_a_cancel_request_ends_retries_by_timeout(desk: Desk) -> None:
    """The retry state says why."""
    desk.start()
    desk.step(activity(start_to_close_timeout=sec(1)))
    desk.poll_activity()
    desk.signal()
    desk.step(cancel_activity(5))
    desk.pass_time(2)
    (ended,) = (e for e in desk.events() if e.event_type == 14)
    assert ended.activity_task_timed_out_event_attributes.retry_state == 7


def test_nothing_fires_in_a_closed_run(desk: Desk) -> None:
    """Closing disarms; the row stays for Describe."""
    desk.start()
    desk.step(activity(), complete())
    assert desk.next_due_at() is None
    assert len(desk.described().pending_activities) == 1


def test_the_first_deadline_of_each_phase() -> None:
    """The due instant is a pure function of the row."""
    scheduled = pending()
    assert due_at(scheduled) == 105
    assert due_at(pending(phase="started", started_at=104)) == 106
    assert due_at(pending(phase="started", started_at=104, heartbeat_at=107)) == 109
    assert due_at(pending(phase="started", started_at=104, heartbeat_at=114)) == 114
    assert due_at(pending(phase="backing_off", scheduled_at=110)) == 110
    assert due_at(pending(phase="started", started_at=119)) == 120


def pending(**more: object) -> Activity:
    """Return an activity with four timeouts, scheduled at 100."""
    fields: dict[str, object] = {
        "scheduled_event_id": 5,
        "scheduled_batch_id": 4,
        "activity_id": "1",
        "activity_type": "say",
        "queue": "tq",
        "first_scheduled_at": 100,
        "schedule_to_close_timeout": 20,
        "schedule_to_start_timeout": 5,
        "start_to_close_timeout": 10,
        "heartbeat_timeout": 2,
        "retry": RetryPolicy(1, 2.0, 100, 0),
        "expires_at": 120,
        "priority": b"",
        "scheduled_at": 100,
    }
    return Activity(**(fields | more))  # type: ignore[arg-type]  # checked by the struct's users


def test_l0_a_start_is_for_one_poll(desk: Desk) -> None:
    """The same poll gets the same answer again; another one is told that it is too late."""
    desk.start()
    desk.step(activity())
    (offer,) = desk.offers
    answer = desk.start_task(offer, poll_id=(poll_id := desk.new_id()))
    recorded = len(desk.log)
    assert desk.start_task(offer, poll_id=poll_id) == answer
    assert len(desk.log) == recorded
    with desk.refused(Stale, "expected activity 5 to wait, found started"):
        desk.start_task(offer)


def test_m2_a_start_that_reached_nobody_is_taken_back(desk: Desk) -> None:
    """The attempt is offered again under a new stamp; old offers and tokens are stale."""
    desk.start()
    desk.step(activity())
    (first,) = desk.offers
    desk.offers.clear()
    task = ActivityTask.FromString(desk.start_task(first, poll_id=(poll_id := desk.new_id())))
    desk.hand_back(first, poll_id=poll_id)
    (second,) = desk.offers
    assert (second.attempt, second.stamp) == (first.attempt, first.stamp + 1)
    with desk.refused(NotFound, GONE):
        desk.finish_activity(task)
    desk.finish_activity(desk.poll_activity(), val("out"))
    assert names(desk, after=5)[:2] == ["6 ActivityTaskStarted", "7 ActivityTaskCompleted"]
