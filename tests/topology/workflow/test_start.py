"""Starting: who may begin a run of a workflow id, and what the first events say."""

import uuid
from typing import Any

import pytest

from schemas.errors import WorkflowAlreadyStarted
from schemas.temporal import enums, service
from tests.support.core import Desk
from tests.support.core_scene import Scene, golden, names
from tests.support.core_words import complete, fail, sec, vals

Reuse = enums.WorkflowIdReusePolicy
Conflict = enums.WorkflowIdConflictPolicy
USE_EXISTING = Conflict.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
TERMINATE_EXISTING = Conflict.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING


def begin(desk: Desk, workflow_id: str = "w", **more: Any) -> Any:
    """Ask for a start; return the response."""
    fields: dict[str, Any] = {
        "namespace": "default",
        "workflow_id": workflow_id,
        "workflow_type": {"name": "Flow"},
        "task_queue": {"name": "tq"},
        "request_id": desk.new_id(),
    }
    return desk.call("StartWorkflowExecution", to=workflow_id, **(fields | more))


def test_a_plain_run(scene: Scene) -> None:
    """Start, one workflow task, complete with a result."""
    scene.answer("start", begin(scene, input=vals("in", 2)))
    scene.history()
    scene.describe()
    task = scene.poll()
    scene.answer("poll", task)
    scene.describe()
    scene.answer("reply", scene.reply(task, complete("done")))
    scene.history()
    scene.describe()
    assert golden("start_plain") == scene.record()


def test_description_has_memo_and_attributes_even_if_empty(scene: Scene) -> None:
    """The Go SDK reads through both without a look at whether they are there."""
    begin(scene)
    shown = scene.described("w").workflow_execution_info
    assert shown.HasField("memo")
    assert shown.HasField("search_attributes")


def test_timeouts_that_do_not_fit_are_capped(scene: Scene) -> None:
    """The run within the execution, the task within the run and the maximum."""
    given: dict[str, dict[str, Any]] = {
        "run_over_execution": {
            "workflow_execution_timeout": sec(100),
            "workflow_run_timeout": sec(500),
        },
        "task_over_run": {"workflow_run_timeout": sec(5), "workflow_task_timeout": sec(50)},
        "task_over_maximum": {"workflow_task_timeout": sec(500)},
        "retry_empty": {"retry_policy": {}},
    }
    for workflow_id, fields in given.items():
        scene.start(workflow_id, **fields)
        scene.history(workflow_id)
    assert golden("start_timeouts_capped") == scene.record()


def test_the_same_request_is_the_same_start(scene: Scene) -> None:
    """Also after the run closed; another request is refused."""
    request_id = scene.new_id()
    scene.answer("start", begin(scene, request_id=request_id))
    scene.answer("again", begin(scene, request_id=request_id))
    scene.attempt("another", lambda: begin(scene))
    scene.step(complete())
    scene.answer("after close", begin(scene, request_id=request_id))
    scene.history()
    assert golden("start_same_request_id") == scene.record()


def test_a_running_id_is_refused_joined_or_ended(scene: Scene) -> None:
    """By the conflict policy, with the details SDKs read."""
    first = begin(scene).run_id
    attach = {"attach_request_id": True, "attach_links": True, "attach_completion_callbacks": True}
    request_id = scene.new_id()
    joining = {"workflow_id_conflict_policy": USE_EXISTING}
    attaching: dict[str, Any] = {
        **joining,
        "on_conflict_options": attach,
        "request_id": request_id,
    }
    scene.attempt("running", lambda: begin(scene))
    scene.attempt("use existing", lambda: begin(scene, **joining))
    scene.attempt("attach", lambda: begin(scene, **attaching))
    scene.attempt("attach again", lambda: begin(scene, **attaching))
    scene.history()
    scene.describe()
    scene.attempt(
        "end existing", lambda: begin(scene, workflow_id_conflict_policy=TERMINATE_EXISTING)
    )
    scene.history(run_id=first, after=2)
    scene.history()
    scene.step(complete())
    rejecting = {"workflow_id_reuse_policy": Reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE}
    scene.attempt("closed", lambda: begin(scene, **rejecting))
    assert golden("id_already_started") == scene.record()


@pytest.mark.parametrize(
    ("policy", "closing", "is_allowed"),
    [
        (Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, complete(), True),
        (Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, fail(), True),
        (Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY, complete(), False),
        (Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY, fail(), True),
        (Reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, complete(), False),
        (Reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, fail(), False),
        (Reuse.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING, complete(), True),
    ],
)
def test_a_closed_id_is_free_by_its_reuse_policy(
    desk: Desk, policy: int, closing: Any, *, is_allowed: bool
) -> None:
    """A new run, or a refusal that names the one there was."""
    first = desk.start()
    desk.step(closing)
    if is_allowed:
        assert begin(desk, workflow_id_reuse_policy=policy).run_id != first
        return
    with pytest.raises(WorkflowAlreadyStarted, match=f"already finished.*{first}"):
        begin(desk, workflow_id_reuse_policy=policy)


def test_ending_the_running_run_and_starting_is_one_transition(desk: Desk) -> None:
    """Nobody ever sees two running runs, nor none."""
    first = desk.start()
    recorded = len(desk.log)
    second = begin(desk, workflow_id_conflict_policy=TERMINATE_EXISTING).run_id
    assert recorded + 1 == len(desk.log)
    assert [first, second] == [change.run_id for change in desk.log[-1][1]]


def test_a_delayed_start_waits(desk: Desk) -> None:
    """The first workflow task comes when the delay is over; a signal does not end it."""
    desk.start(workflow_start_delay=sec(60))
    desk.signal()
    assert ["1 WorkflowExecutionStarted", "2 WorkflowExecutionSignaled"] == names(desk)
    assert desk.offers == []
    desk.pass_time(61)
    assert ["3 WorkflowTaskScheduled"] == names(desk, after=2)


def test_signal_with_start(scene: Scene) -> None:
    """On a new, a running and a closed id; refused by the reuse policy; ending the running one."""
    given: dict[str, Any] = {
        "input": vals("in"),
        "signal_input": vals("sig"),
        "header": {"fields": {"h": vals(1).payloads[0]}},
    }
    scene.answer("new", signal_with_start(scene, **given))
    scene.history()
    scene.answer("running", signal_with_start(scene, **given))
    scene.finish()
    scene.answer("closed", signal_with_start(scene, **given))
    scene.finish()
    rejecting = {"workflow_id_reuse_policy": Reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE}
    scene.attempt("refused", lambda: signal_with_start(scene, **rejecting))
    scene.start("old")
    ending = {"workflow_id_conflict_policy": TERMINATE_EXISTING}
    scene.attempt("end existing", lambda: signal_with_start(scene, "old", **ending))
    scene.history("old")
    refused_by_the_frontend = ("error no signal name:", "error fail policy:")
    assert without(golden("signal_with_start"), *refused_by_the_frontend) == scene.record()


def signal_with_start(desk: Desk, workflow_id: str = "w", **more: Any) -> Any:
    """Ask for a signal with start; return the response."""
    fields: dict[str, Any] = {
        "namespace": "default",
        "workflow_id": workflow_id,
        "workflow_type": {"name": "Flow"},
        "task_queue": {"name": "tq"},
        "request_id": desk.new_id(),
        "signal_name": "go",
    }
    return desk.call("SignalWithStartWorkflowExecution", to=workflow_id, **(fields | more))


def without(record: str, *titles: str) -> str:
    """Return a record without the blocks of some titles."""
    kept: list[str] = []
    is_kept = True
    for line in record.split("\n"):
        if not line.startswith(" "):
            is_kept = line not in titles
        if is_kept:
            kept.append(line)
    return "\n".join(kept)


def test_a_repeat_of_signal_with_start_starts_once(desk: Desk) -> None:
    """The same request id on the run it began signals once."""
    request_id = desk.new_id()
    first: service.SignalWithStartWorkflowExecutionResponse = signal_with_start(
        desk, request_id=request_id
    )
    again = signal_with_start(desk, request_id=request_id)
    assert first.run_id == again.run_id
    assert 3 == len(desk.events())


def test_run_ids_sort_by_age(scene: Scene) -> None:
    """They are UUIDs of version 7, as Temporal's are."""
    ids = []
    for number in range(3):
        ids.append(scene.start(f"w{number}"))
        scene.pass_time(0.01)
    assert [uuid.UUID(each).version for each in ids] == [7, 7, 7]
    assert ids == sorted(ids)
