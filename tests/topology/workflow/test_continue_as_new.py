"""Continue as new: when the next run begins."""

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
