"""Activities as the real server has them: the scripts of the golden recordings."""

from typing import Any

from google.protobuf.message import Message

from schemas.temporal import common, service
from tests.support.core import NAMESPACE, Desk, MemoryRows
from tests.support.core_scene import Scene, golden, names
from tests.support.core_words import (
    QUICK,
    activity,
    cancel_activity,
    complete,
    fail,
    failed,
    sec,
    timer,
    val,
    vals,
)
from topology.core import Core
from topology.decision import Ask


def test_schedule_poll_complete(scene: Scene) -> None:
    """The start is written with the end; Describe shows it before."""
    scene.start()
    scene.step(activity(header={"fields": {"h": val(1)}}, summary="sum"))
    scene.describe()
    task = scene.poll_activity()
    scene.answer("poll activity", task)
    scene.describe()
    scene.history()
    scene.answer("complete", scene.finish_activity(task, val("out")))
    workflow_task = scene.poll()
    scene.answer("poll", workflow_task)
    scene.reply(workflow_task, complete())
    scene.history()
    scene.attempt("complete again", lambda: scene.finish_activity(task))
    assert scene.record() == golden("activity_ok")


def test_timeouts_and_policy_are_filled_in(scene: Scene) -> None:
    """Timeouts are deduced from each other and capped by the run's; a policy is always there."""
    scene.start(workflow_run_timeout=sec(100))
    scene.step(
        activity("close", schedule_to_close_timeout=sec(20), start_to_close_timeout=None),
        activity("start"),
        activity("beat", heartbeat_timeout=sec(50)),
        activity("long", start_to_close_timeout=sec(500)),
        activity("all", schedule_to_close_timeout=sec(20), schedule_to_start_timeout=sec(30)),
        activity("retry", retry_policy={"initial_interval": sec(3), "maximum_attempts": 7}),
        activity("priority", priority={"priority_key": 1}),
    )
    scene.history(after=4)
    assert scene.record() == golden("activity_defaults")


def test_retries_keep_heartbeat_details(scene: Scene) -> None:
    """Details survive failed attempts, and those of the failed attempt itself win."""
    scene.start()
    scene.step(activity(retry_policy=QUICK, heartbeat_timeout=sec(10)))
    task = scene.poll_activity()
    scene.answer("heartbeat", scene.beat(task, val(1)))
    scene.beat(task, val(2))
    scene.answer("fail", scene.fail_activity(task, failure=failed()))
    task = scene.poll_activity()
    scene.answer("poll attempt 2", task)
    scene.describe()
    scene.fail_activity(task, failure=failed(), last_heartbeat_details=vals(3))
    task = scene.poll_activity()
    scene.answer("poll attempt 3", task)
    scene.history(after=4)
    scene.finish_activity(task, val("out"))
    scene.finish(after=4)
    assert scene.record() == golden("activity_retry_then_ok")


def test_describe_shows_the_backoff(scene: Scene) -> None:
    """A delay that the failure asks for takes the place of the policy's."""
    scene.start()
    slow = {"initial_interval": sec(50)}
    scene.step(activity("a"), activity("b", "b-tq", retry_policy=slow))
    scene.fail_activity(scene.poll_activity(), failure=failed("later", next_retry_delay=sec(40)))
    scene.fail_activity(scene.poll_activity("b-tq"), failure=failed())
    scene.describe()
    scene.history(after=4)
    assert scene.record() == golden("activity_retry_backoff_described")


def test_the_last_attempt_fails_the_activity(scene: Scene) -> None:
    """The last failure is in the end, the one before it in the start."""
    scene.start()
    scene.step(activity(retry_policy=QUICK | {"maximum_attempts": 2}))
    scene.fail_activity(scene.poll_activity(), failure=failed("one"))
    scene.fail_activity(scene.poll_activity(), failure=failed("two", details=vals("d")))
    scene.step(fail())
    scene.history(after=4)
    assert scene.record() == golden("activity_retry_exhausted")


def test_what_is_not_retried(scene: Scene) -> None:
    """Not retried: the flag, the list of types, no time left."""
    scene.start()
    late = {"schedule_to_close_timeout": sec(5), "retry_policy": {"initial_interval": sec(60)}}
    scene.step(
        activity("flag", "a"),
        activity("type", "b", retry_policy={"non_retryable_error_types": ["Fatal"]}),
        activity("late", "c", **late),
    )
    scene.fail_activity(scene.poll_activity("a"), failure=failed("a", is_final=True))
    scene.fail_activity(scene.poll_activity("b"), failure=failed("b", "Fatal"))
    scene.fail_activity(scene.poll_activity("c"), failure=failed("c"))
    scene.finish(after=4)
    assert scene.record() == golden("activity_non_retryable")


def test_cancel_before_start(scene: Scene) -> None:
    """What no worker has is cancelled at once, and the workflow hears of it."""
    scene.start()
    scene.step(activity())
    scene.signal()
    scene.step(cancel_activity(5))
    scene.finish(after=4)
    assert scene.record() == golden("activity_cancel_before_start")


def test_cancel_while_running(scene: Scene) -> None:
    """A worker hears of the cancel by heartbeat, and may answer with cancelled only then."""
    scene.start()
    scene.step(activity(heartbeat_timeout=sec(10)))
    task = scene.poll_activity()

    def cancelled() -> common.Payloads:
        return scene.cancel_activity(task, details=vals("d"))

    scene.attempt("cancelled without request", cancelled)
    scene.signal()
    scene.step(cancel_activity(5))
    scene.describe()
    scene.answer("heartbeat", scene.beat(task, val(1)))
    scene.attempt("cancelled", cancelled)
    scene.finish(after=4)
    assert scene.record() == golden("activity_cancel_running")


def test_no_retry_after_a_cancel_request(scene: Scene) -> None:
    """A failed attempt is the last one; success still counts."""
    scene.start()
    scene.step(activity("a"), activity("b", "b"))
    one, two = scene.poll_activity(), scene.poll_activity("b")
    scene.signal()
    scene.step(cancel_activity(5), cancel_activity(6))
    scene.fail_activity(one, failure=failed())
    scene.finish_activity(two, val("still"))
    scene.finish(after=4)
    assert scene.record() == golden("activity_cancel_then_fail")


def test_answers_by_id(scene: Scene) -> None:
    """The same asks by workflow id and activity id; an activity need not have started."""
    scene.start()
    scene.step(*(activity(each, f"{each}-tq") for each in ("a", "b", "c", "d")))
    for each in ("a", "b", "c"):
        scene.poll_activity(f"{each}-tq")

    def by_id(title: str, method: str, activity_id: str, workflow_id: str = "w", **more: object):  # noqa: ANN202
        def call() -> object:
            fields = {"workflow_id": workflow_id, "activity_id": activity_id}
            return scene.call(f"{method}ById", to=workflow_id, **fields, **more)

        scene.attempt(title, call)

    completed = "RespondActivityTaskCompleted"
    by_id("heartbeat", "RecordActivityTaskHeartbeat", "a", details=vals(1))
    by_id("complete", completed, "a", result=vals("r"))
    by_id("fail", "RespondActivityTaskFailed", "b", failure=failed("no", is_final=True))
    by_id("cancelled", "RespondActivityTaskCanceled", "c")
    by_id("never started", completed, "d")
    by_id("unknown activity", completed, "z")
    scene.attempt(
        "unknown workflow",
        lambda: scene.call(f"{completed}ById", to="nobody", workflow_id="nobody", activity_id="a"),
    )
    by_id("no activity id", completed, "")
    by_id("no workflow id", completed, "a", workflow_id="")
    scene.finish(after=4)
    assert scene.record() == golden("activity_by_id")


def test_answers_after_the_workflow_closed(scene: Scene) -> None:
    """Nothing is taken for a closed run."""
    scene.start()
    scene.step(activity())
    task = scene.poll_activity()
    scene.signal()
    scene.step(complete())
    scene.attempt("heartbeat", lambda: scene.beat(task))
    scene.attempt("complete", lambda: scene.finish_activity(task))
    scene.attempt("fail", lambda: scene.fail_activity(task))
    method = "RespondActivityTaskCompletedById"
    scene.attempt("by id", lambda: scene.call(method, activity_id="1", workflow_id="w"))
    scene.history(after=4)
    assert scene.record() == golden("activity_after_workflow_closed")


def test_what_is_too_large(scene: Scene) -> None:
    """Too large a result, heartbeat or failure fails the activity for good."""
    large = "x" * (2 * 1024 * 1024 + 1)
    scene.start()
    once = {"maximum_attempts": 1}
    scene.step(activity("a"), activity("b", "b"), activity("c", "c", retry_policy=once))
    task = scene.poll_activity()
    scene.attempt("result", lambda: scene.finish_activity(task, val(large)))
    beating = scene.poll_activity("b")
    scene.attempt("heartbeat", lambda: scene.beat(beating, val(large)))
    failing = scene.poll_activity("c")
    scene.attempt("failure", lambda: scene.fail_activity(failing, failure=failed(large)))
    scene.finish(after=4)
    assert scene.record() == golden("activity_result_too_large")


def test_a_workflow_may_close_with_the_activities_it_cancels(desk: Desk) -> None:
    """The end of an activity that nobody had is no news to the workflow that cancels it."""
    desk.start()
    desk.step(activity())
    desk.signal()
    desk.step(cancel_activity(5), complete())
    assert names(desk, after=8) == [
        "9 WorkflowTaskCompleted",
        "10 ActivityTaskCancelRequested",
        "11 WorkflowExecutionCompleted",
    ]


def test_l12_a_repeat_hears_what_the_first_one_heard() -> None:
    """The outcome's name is enough to tell a worker again to stop, or what was cut."""
    core = Core(MemoryRows())

    def again(method: str, request: Message, outcome: str) -> Any:
        packed = core.answer_again(Ask(method, NAMESPACE, "w", request), outcome, "")
        return getattr(service, f"{method}Response").FromString(packed)

    for method in ("RecordActivityTaskHeartbeat", "RecordActivityTaskHeartbeatById"):
        request = getattr(service, f"{method}Request")()
        assert again(method, request, "cancel_requested").cancel_requested
        assert not again(method, request, "done").cancel_requested
    large = failed("x" * (2 * 1024 * 1024 + 1))
    for method in ("RespondActivityTaskFailed", "RespondActivityTaskFailedById"):
        request = getattr(service, f"{method}Request")(failure=large)
        (cut,) = again(method, request, "cut").failures
        assert cut.message == "Failure exceeds size limit."


def test_an_eager_activity_comes_with_the_answer(desk: Desk) -> None:
    """It is started for who completes the task, and never offered."""
    desk.limit(eager_activities=True)
    desk.start()
    wanted = [activity("1", request_eager_execution=True), activity("2")]
    answer = desk.step(*wanted, timer("t", 60))
    (taken,) = answer.activity_tasks
    assert (taken.activity_id, taken.attempt, taken.input) == ("1", 1, vals("hi"))
    assert [each.scheduled_event_id for each in desk.offers] == [6]
    desk.finish_activity(taken, val("out"))
    assert names(desk, after=7) == [
        "8 ActivityTaskStarted",
        "9 ActivityTaskCompleted",
        "10 WorkflowTaskScheduled",
    ]


def test_an_eager_activity_comes_with_the_next_workflow_task(desk: Desk) -> None:
    """Both travel in one answer; a lost one times out as any started attempt."""
    desk.limit(eager_activities=True)
    desk.start()
    task = desk.poll()
    desk.signal()
    answer = desk.reply(
        task, activity("1", request_eager_execution=True), return_new_workflow_task=True
    )
    assert [each.activity_id for each in answer.activity_tasks] == ["1"]
    assert answer.workflow_task.started_event_id == 8
    desk.pass_time(11)
    assert desk.described().pending_activities[0].attempt == 2


def test_an_eager_activity_cancelled_at_once_never_starts(desk: Desk) -> None:
    """The commands of one completion are carried out first."""
    desk.limit(eager_activities=True)
    desk.start()
    answer = desk.step(activity("1", request_eager_execution=True), cancel_activity(5))
    assert not answer.activity_tasks


def test_eager_activities_are_off_by_default(desk: Desk) -> None:
    """As in Temporal's own settings."""
    desk.start()
    assert not desk.step(activity("1", request_eager_execution=True)).activity_tasks
    assert desk.poll_activity().activity_id == "1"
