"""Worker commands that cannot be carried out: the texts and histories of the real server."""

import re
from collections.abc import Callable

import pytest

from schemas.errors import InvalidArgument
from schemas.temporal import command, enums
from streams.attributes import SearchAttributes
from tests.support.core import Desk
from tests.support.core_scene import Scene, golden
from tests.support.core_words import (
    activity,
    cancel_activity,
    cancel_timer,
    complete,
    fail,
    sec,
    timer,
    val,
    vals,
    worker_command,
)

BLOB_BYTES_MAX = 2 * 1024 * 1024
TERMINATED = enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
CONTINUE = "continue_as_new_workflow_execution"
SIGNAL = "signal_external_workflow_execution"
CANCEL = "request_cancel_external_workflow_execution"
CHILD = "start_child_workflow_execution"
CASES = re.split(r"\n(?=error|answer)", golden("bad_commands"))
"""One recorded case: the answer or error under its title, and the history behind it."""


def bare(kind: enums.CommandType.ValueType, **attributes: object) -> command.Command:
    """Return a command whose attributes do not belong to its type."""
    made = worker_command("cancel_timer", **attributes) if attributes else command.Command()
    made.command_type = kind
    return made


def child(workflow_id: str, **more: object) -> command.Command:
    """Return StartChildWorkflowExecution."""
    fields = {"workflow_id": workflow_id, "workflow_type": {"name": "Child"}}
    return worker_command(CHILD, **(fields | more))


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
    "no command type": [command.Command()],
    "attributes missing": [bare(enums.CommandType.COMMAND_TYPE_START_TIMER)],
    "attributes of another type": [bare(enums.CommandType.COMMAND_TYPE_START_TIMER, timer_id="t")],
    "continue negative timeout": [worker_command(CONTINUE, workflow_run_timeout=sec(-1))],
    "continue bad retry": [
        worker_command(
            CONTINUE, retry_policy={"initial_interval": sec(1), "backoff_coefficient": 0.5}
        )
    ],
    "marker without name": [worker_command("record_marker", marker_name="")],
    "upsert nothing": [worker_command("upsert_workflow_search_attributes")],
    "modify nothing": [worker_command("modify_workflow_properties")],
    "signal without id": [worker_command(SIGNAL, signal_name="go")],
    "signal without name": [worker_command(SIGNAL, execution={"workflow_id": "nobody"})],
    "signal bad run id": [
        worker_command(SIGNAL, execution={"workflow_id": "nobody", "run_id": "x"}, signal_name="go")
    ],
    "cancel external without id": [worker_command(CANCEL)],
    "cancel external bad run id": [worker_command(CANCEL, workflow_id="nobody", run_id="x")],
    "child without id": [worker_command(CHILD, workflow_type={"name": "Child"})],
    "child without type": [worker_command(CHILD, workflow_id="c2")],
    "child negative timeout": [child("c5", workflow_run_timeout=sec(-1))],
    "child bad cron": [child("c6", cron_schedule="never")],
    "child unknown namespace": [child("c7", namespace="nowhere")],
    "child cancelled in the same task": [child("c8"), worker_command(CANCEL, workflow_id="c8")],
    "unknown message": [worker_command("protocol_message", message_id="nothing")],
    "unknown nexus endpoint": [
        worker_command("schedule_nexus_operation", endpoint="no", service="s", operation="o")
    ],
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


ROOM: dict[str, tuple[str, Callable[[int], command.Command]]] = {
    "PendingChildWorkflowsLimitExceeded: the number of pending child workflow executions": (
        "pending_children_max_count",
        lambda number: child(f"c{number}"),
    ),
    "PendingSignalsLimitExceeded: the number of pending signals to external workflows": (
        "pending_signals_max_count",
        lambda number: worker_command(
            SIGNAL, execution={"workflow_id": f"c{number}"}, signal_name="go"
        ),
    ),
    "PendingRequestCancelLimitExceeded: the number of pending requests to cancel external "
    "workflows": (
        "pending_cancels_max_count",
        lambda number: worker_command(CANCEL, workflow_id=f"c{number}"),
    ),
    "PendingActivitiesLimitExceeded: the number of pending activities": (
        "pending_activities_max_count",
        lambda number: activity(str(number)),
    ),
}
"""What a run may have many of, by how Temporal names one too many; its limit, and one more."""


@pytest.mark.parametrize("text", ROOM)
def test_no_more_are_pending_than_a_limit(desk: Desk, text: str) -> None:
    """Two are, a third is one too many; the task fails with Temporal's words."""
    limit, one_more = ROOM[text]
    desk.limit(**{limit: 2})
    desk.start()
    with pytest.raises(InvalidArgument) as refusal:
        desk.step(*map(one_more, range(3)))
    assert refusal.value.message == f"{text}, 2, has reached the per-workflow limit of 2"
    desk.step(*map(one_more, range(2)))


LARGE = "x" * (BLOB_BYTES_MAX + 1)
TOO_LARGE: dict[str, command.Command] = {
    "BadScheduleActivityAttributes: "
    "CompleteWorkflowExecutionCommandAttributes.Result exceeds size limit.": complete(LARGE),
    "BadFailWorkflowExecutionAttributes: "
    "FailWorkflowExecutionCommandAttributes.Failure exceeds size limit.": fail(LARGE),
    "BadRecordMarkerAttributes: RecordMarkerCommandAttributes.Details exceeds size limit.": (
        worker_command("record_marker", marker_name="m", details={"d": vals(LARGE)})
    ),
    "BadContinueAsNewAttributes: "
    "ContinueAsNewWorkflowExecutionCommandAttributes. Input exceeds size limit.": (
        worker_command(CONTINUE, input=vals(LARGE))
    ),
    "BadContinueAsNewAttributes: "
    "ContinueAsNewWorkflowExecutionCommandAttributes. Memo exceeds size limit.": (
        worker_command(CONTINUE, memo={"fields": {"m": val(LARGE)}})
    ),
    "BadStartChildExecutionAttributes: "
    "StartChildWorkflowExecutionCommandAttributes. Input exceeds size limit.": (
        child("c", input=vals(LARGE))
    ),
    "BadStartChildExecutionAttributes: "
    "StartChildWorkflowExecutionCommandAttributes.Memo exceeds size limit.": (
        child("c", memo={"fields": {"m": val(LARGE)}})
    ),
    "BadSignalWorkflowExecutionAttributes: "
    "SignalExternalWorkflowExecutionCommandAttributes.Input exceeds size limit.": (
        worker_command(SIGNAL, execution={"workflow_id": "c"}, signal_name="go", input=vals(LARGE))
    ),
    "BadSearchAttributes: UpsertWorkflowSearchAttributesCommandAttributes exceeds size limit.": (
        worker_command(
            "upsert_workflow_search_attributes",
            search_attributes={"indexed_fields": {"Kind": val(LARGE)}},
        )
    ),
    "BadModifyWorkflowPropertiesAttributes: "
    "ModifyWorkflowPropertiesCommandAttributes exceeds size limit.": (
        worker_command("modify_workflow_properties", upserted_memo={"fields": {"m": val(LARGE)}})
    ),
}
"""What is more than 2 MB, by why the run ends."""


@pytest.mark.parametrize("text", TOO_LARGE)
def test_too_large_a_command_terminates_the_run(scene: Scene, text: str) -> None:
    """The task fails with the command's cause, then the run is terminated with its text."""
    scene.start()
    task = scene.poll()
    with pytest.raises(InvalidArgument) as refusal:
        scene.reply(task, TOO_LARGE[text])
    assert refusal.value.message == text
    failed, terminated = scene.events()[3:]
    assert failed.workflow_task_failed_event_attributes.failure.message == text
    assert terminated.workflow_execution_terminated_event_attributes.reason == text


def test_a_memo_that_grows_too_large_terminates_the_run(scene: Scene) -> None:
    """What counts is the memo with what was there before."""
    half = "x" * (BLOB_BYTES_MAX // 2)
    scene.start(memo={"fields": {"a": val(half)}})
    grown = worker_command("modify_workflow_properties", upserted_memo={"fields": {"b": val(half)}})
    with pytest.raises(InvalidArgument, match="Memo exceeds size limit"):
        scene.step(grown)
    assert scene.described().workflow_execution_info.status == TERMINATED


def test_search_attributes_that_grow_too_large_terminate_the_run(desk: Desk) -> None:
    """All that a run has counts, 40 KB; each value for itself, 2 KB."""
    custom = {f"K{number}": 2 for number in range(30)}
    desk.know_attributes(SearchAttributes(), custom)
    fields = {name: val("x" * 2_000) for name in custom}
    first = dict(list(fields.items())[:15])
    desk.start(search_attributes={"indexed_fields": first})
    upsert = worker_command(
        "upsert_workflow_search_attributes", search_attributes={"indexed_fields": fields}
    )
    with pytest.raises(InvalidArgument, match="total size of search attributes"):
        desk.step(upsert)
    assert desk.described().workflow_execution_info.status == TERMINATED


def test_an_answer_to_an_update_that_nobody_sent_is_refused(scene: Scene) -> None:
    """The message is there, the update is not."""
    scene.start()
    task = scene.poll()
    command = worker_command("protocol_message", message_id="m")
    message = {"id": "m", "protocol_instance_id": "u"}
    with pytest.raises(InvalidArgument, match="update u wasn't found on the server"):
        scene.reply(task, command, messages=[message])


def test_an_operation_that_never_began_cannot_be_cancelled(scene: Scene) -> None:
    """No endpoint exists, so no operation does."""
    scene.start()
    wanted = worker_command("request_cancel_nexus_operation", scheduled_event_id=5)
    with pytest.raises(InvalidArgument, match="BadRequestCancelNexusOperationAttributes: "):
        scene.step(wanted)
