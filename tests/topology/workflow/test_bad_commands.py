"""Worker commands that cannot be carried out: the texts and histories of the real server."""

import re

import pytest

from schemas.temporal import command, enums
from tests.support.core_scene import Scene, golden
from tests.support.core_words import (
    activity,
    cancel_activity,
    cancel_timer,
    complete,
    sec,
    timer,
    vals,
    worker_command,
)

BLOB_BYTES_MAX = 2 * 1024 * 1024
CONTINUE = "continue_as_new_workflow_execution"
CASES = re.split(r"\n(?=error|answer)", golden("bad_commands"))
"""One recorded case: the answer or error under its title, and the history behind it."""


def bare(kind: enums.CommandType.ValueType, **attributes: object) -> command.Command:
    """Return a command whose attributes do not belong to its type."""
    made = worker_command("cancel_timer", **attributes) if attributes else command.Command()
    made.command_type = kind
    return made


COMMANDS: dict[str, list[command.Command]] = {
    "activity without id": [activity("")],
    "activity without type": [activity(activity_type={})],
    "activity without queue": [activity(task_queue={})],
    "activity without timeouts": [activity(start_to_close_timeout=None)],
    "activity negative timeout": [activity(heartbeat_timeout=sec(-1))],
    "activity bad retry": [
        activity(retry_policy={"initial_interval": sec(1), "backoff_coefficient": 0.5})
    ],
    "activity id too long": [activity("x" * 1001)],
    "activity duplicate id": [activity("1"), activity("1")],
    "activity input too large": [activity(input=vals("x" * (BLOB_BYTES_MAX + 1)))],
    "cancel unknown activity": [cancel_activity(99)],
    "cancel activity zero": [cancel_activity(0)],
    "cancel activity twice": [activity("1"), cancel_activity(5), cancel_activity(5)],
    "timer without id": [timer("", 1)],
    "timer zero": [timer("t", 0)],
    "timer negative": [timer("t", -1)],
    "timer duplicate id": [timer("t", 60), timer("t", 60)],
    "cancel unknown timer": [cancel_timer("t")],
    "cancel timer without id": [cancel_timer("")],
    "fail without failure": [worker_command("fail_workflow_execution")],
    "complete not last": [complete(), timer("t", 60)],
    "complete twice": [complete(), complete()],
    "attributes missing": [bare(enums.CommandType.COMMAND_TYPE_START_TIMER)],
    "attributes of another type": [bare(enums.CommandType.COMMAND_TYPE_START_TIMER, timer_id="t")],
    "continue negative timeout": [worker_command(CONTINUE, workflow_run_timeout=sec(-1))],
    "continue bad retry": [
        worker_command(
            CONTINUE, retry_policy={"initial_interval": sec(1), "backoff_coefficient": 0.5}
        )
    ],
    "marker without name": [worker_command("record_marker", marker_name="")],
    "good then bad": [timer("t", 60), cancel_timer("u")],
}


@pytest.mark.parametrize("title", COMMANDS)
def test_bad_command(scene: Scene, title: str) -> None:
    """The completion is refused whole, and the history has what the real server's has."""
    (expected,) = (each for each in CASES if each.split(":", 1)[0].split(" ", 1)[1] == title)
    label = re.search(r"\nhistory (\w+) after 3:", expected)
    assert label is not None
    workflow_id = label[1]
    scene.start(workflow_id, queue=f"{workflow_id}-tq")
    task = scene.poll(f"{workflow_id}-tq")
    scene.attempt(title, lambda: scene.reply(task, *COMMANDS[title]))
    scene.history(workflow_id, after=3)
    assert scene.record() == expected


def test_a_second_cancel_of_a_running_activity_is_bad(scene: Scene) -> None:
    """Once it has been asked to stop, asking again is a mistake of the workflow's code."""
    scene.start()
    scene.step(activity())
    scene.poll_activity()
    scene.signal()
    scene.step(cancel_activity(5))
    scene.signal()
    task = scene.poll()
    scene.attempt("again", lambda: scene.reply(task, cancel_activity(5)))
    assert scene.record().split("message ")[1] == (
        '"BadRequestCancelActivityAttributes: invalid history builder state for action: '
        'add-activitytask-cancel-requested-event, ScheduledEventID: 5"'
    )


def test_no_more_than_2000_activities_are_pending(scene: Scene) -> None:
    """The limit fails the task; those that are pending stay."""
    scene.start()
    scene.step(*(activity(f"a{number}") for number in range(2_000)))
    scene.signal()
    task = scene.poll()
    scene.attempt("one more", lambda: scene.reply(task, activity("one more")))
    assert scene.record().split("message ")[1] == (
        '"PendingActivitiesLimitExceeded: the number of pending activities, 2000, '
        'has reached the per-workflow limit of 2000"'
    )
