"""Continue as new: when the next run begins."""

from schemas.instants import span_of
from tests.support.core import Desk
from tests.support.core_scene import Scene
from tests.support.core_words import sec, worker_command


def test_an_asked_backoff_is_recorded_and_waited_for(scene: Scene) -> None:
    """In the event as it was asked; the next run's first task waits for it."""
    first = scene.start()
    asked = worker_command("continue_as_new_workflow_execution", backoff_start_interval=sec(90))
    scene.step(asked)
    scene.history(run_id=first)
    scene.history()
    record = scene.record()
    assert '"backoffStartInterval":"90s"' in record
    assert '"firstWorkflowTaskBackoff":"90s"' in record
    assert "WorkflowTaskScheduled" not in record.rpartition("firstWorkflowTaskBackoff")[2]


def test_a_wait_does_not_count_as_the_life_of_a_run(desk: Desk) -> None:
    """A run that waited a second and continues at once: the next one waits for a second too."""
    desk.start()
    for _ in range(3):
        desk.step(worker_command("continue_as_new_workflow_execution"))
    given = desk.events()[0].workflow_execution_started_event_attributes
    assert span_of(given.first_workflow_task_backoff) > 0.9e9


def test_when_it_was_executed_stays_as_it_was(desk: Desk) -> None:
    """Describe's execution time is the start and its wait, also when the wait is over."""
    desk.start(workflow_start_delay=sec(60))
    before = desk.described().workflow_execution_info
    desk.pass_time(61)
    shown = desk.described().workflow_execution_info
    assert shown.execution_time == before.execution_time
    assert shown.execution_time.seconds - shown.start_time.seconds == 60
