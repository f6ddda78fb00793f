"""What happens while a workflow task is out is written when it is back."""

from tests.support.core_scene import Scene, golden
from tests.support.core_words import activity, complete, failed, marker, sec, timer, val


def test_ends_of_activities_go_last(scene: Scene) -> None:
    """Commands first, then the buffer in its order, then the ends of activities."""
    scene.start()
    scene.step(activity(), timer("t", 1))
    scene.signal("before")
    task = scene.poll()
    scene.finish_activity(scene.poll_activity(), val("out"))
    scene.signal("one")
    scene.cancel()
    scene.pass_time(1.5)
    scene.signal("two")
    scene.history(after=4)
    scene.describe()
    scene.reply(task, marker("m"))
    scene.history(after=4)
    scene.answer("poll", scene.poll())
    assert scene.record() == golden("buffered_order")


def test_a_failed_task_is_followed_by_the_buffer(scene: Scene) -> None:
    """The events follow the failure and the next task is a normal one."""
    scene.start()
    task = scene.poll()
    scene.signal()
    cause = "WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE"
    scene.fail_task(task, cause=cause, failure=failed("bad code"))
    last_task(scene)
    assert scene.record() == golden("buffered_then_task_failed")


def test_a_lost_task_is_followed_by_the_buffer(scene: Scene) -> None:
    """A task times out with events buffered."""
    scene.start(workflow_task_timeout=sec(1))
    scene.poll()
    scene.signal()
    last_task(scene)
    assert scene.record() == golden("buffered_then_task_timeout")


def last_task(scene: Scene) -> None:
    """Take the next task, write it, complete the workflow with it, write the history."""
    task = scene.poll()
    scene.answer("poll", task)
    scene.reply(task, complete())
    scene.history()
