"""Closing a run: by its worker, by a caller, by its timeouts. Signals and cancel requests."""

from collections.abc import Iterator
from typing import Any

import pytest

from schemas.errors import InvalidArgument, NotFound, ResourceExhausted
from schemas.temporal import service
from tests.support.core import NAMESPACE, Desk, MemoryRows
from tests.support.core_scene import Scene, golden, names
from tests.support.core_words import (
    activity,
    complete,
    fail,
    sec,
    timer,
    val,
    vals,
    worker_command,
)
from topology.core import Core
from topology.own_work import FireDue, QuarantineDue

NOBODY = {"workflow_id": "nobody"}
CANCELLED = worker_command("cancel_workflow_execution", details=vals("why"))


def test_workers_close_a_run(scene: Scene) -> None:
    """Complete, fail, cancel: the closing events and statuses."""
    closings = {
        "completed": complete("r"),
        "empty": complete(),
        "failed": fail(),
        "final": fail(is_final=True),
        "cancelled": CANCELLED,
    }
    for workflow_id, closing in closings.items():
        queue = f"{workflow_id}-tq"
        scene.start(workflow_id, queue=queue)
        scene.step(timer("t", 60), closing, queue=queue)
        scene.history(workflow_id, after=3)
        scene.describe(workflow_id)
    assert golden("close_commands") == scene.record()


def test_signals(scene: Scene) -> None:
    """Before the first task, during it, with a repeated request id, with a header."""
    scene.start()
    scene.answer("signal", signal(scene, "one", input=vals(1), header={"fields": {"h": val(1)}}))
    signal(scene, "same", request_id="same")
    signal(scene, "same", request_id="same")
    task = scene.poll()
    signal(scene, "buffered")
    signal(scene, "buffered same", request_id="same")
    scene.reply(task)
    scene.finish()
    assert golden("signals") == scene.record()


def signal(desk: Desk, name: str, **more: Any) -> Any:
    """Signal the workflow; return the response."""
    fields: dict[str, Any] = {
        "workflow_execution": {"workflow_id": "w"},
        "signal_name": name,
        "request_id": desk.new_id(),
    }
    return desk.call("SignalWorkflowExecution", **(fields | more))


def test_a_closing_workflow_refuses_signals(desk: Desk) -> None:
    """It wanted to close and could not; while its next task is out nothing new may come."""
    desk.start()
    task = desk.poll()
    desk.signal()
    with pytest.raises(Exception, match=r"^UnhandledCommand$"):
        desk.reply(task, complete())
    task = desk.poll()
    busy = "workflow operation can not be applied because workflow is closing"
    with desk.refused(ResourceExhausted, busy):
        desk.signal()
    desk.reply(task, complete())


def test_cancel_requests(scene: Scene) -> None:
    """Only the first one is written; a closed run takes one in silence."""
    first = scene.start()
    scene.answer("cancel", cancel(scene, request_id="same"))
    scene.attempt("again", lambda: cancel(scene, request_id="same"))
    scene.attempt("another", lambda: cancel(scene))
    scene.step(worker_command("cancel_workflow_execution", details=vals("bye")))
    scene.history()
    scene.describe()
    scene.attempt("closed", lambda: cancel(scene))
    scene.attempt("closed, first run id", lambda: cancel(scene, first_execution_run_id=first))
    scene.attempt("not found", lambda: cancel(scene, "nobody"))
    expected = golden("cancel_request").split("\nerror no id:")[0]  # the frontend refuses that
    assert expected == scene.record()


def cancel(desk: Desk, workflow_id: str = "w", **more: Any) -> Any:
    """Ask a workflow to end; return the response."""
    fields: dict[str, Any] = {
        "workflow_execution": {"workflow_id": workflow_id},
        "reason": "enough",
        "request_id": desk.new_id(),
    }
    return desk.call("RequestCancelWorkflowExecution", to=workflow_id, **(fields | more))


def test_terminate(scene: Scene) -> None:
    """With a task out and a signal buffered; late answers; once more; on nobody."""
    scene.start()
    scene.step(activity())
    running = scene.poll_activity()
    scene.signal()
    task = scene.poll()
    scene.signal("buffered")
    scene.answer("terminate", scene.terminate(details=vals("d")))
    scene.history()
    scene.describe()
    scene.attempt("late task", lambda: scene.reply(task, complete()))
    scene.attempt("late activity", lambda: scene.finish_activity(running))
    scene.attempt("again", scene.terminate)
    scene.attempt("not found", lambda: scene.terminate("nobody"))
    scene.start("guarded")
    other = "00000000-0000-0000-0000-000000000001"
    scene.attempt(
        "other first run id", lambda: scene.terminate("guarded", first_execution_run_id=other)
    )
    assert golden("terminate") == scene.record()


def test_the_execution_timeout_closes_the_run(scene: Scene) -> None:
    """With a task out: it is failed first."""
    scene.start(workflow_execution_timeout=sec(1))
    scene.poll()
    scene.pass_time(1.1)
    scene.history()
    scene.describe()
    assert golden("execution_timeout") == scene.record()


def test_the_run_timeout_closes_the_run(scene: Scene) -> None:
    """Without a worker."""
    scene.start(workflow_run_timeout=sec(1))
    scene.pass_time(1.1)
    scene.history()
    assert golden("run_timeout") == scene.record()


def test_nothing_is_due_in_a_closed_run(desk: Desk) -> None:
    """Closing takes its timers out of the due order."""
    desk.start(workflow_run_timeout=sec(100))
    desk.step(timer("t", 60), activity(), complete())
    assert desk.next_due_at() is None


def test_a_run_id_of_another_workflow_is_not_found(desk: Desk) -> None:
    """A run is addressed within its workflow id."""
    run_id = desk.start("other")
    expected = f'workflow execution not found for workflow ID "w" and run ID "{run_id}"'
    with desk.refused(NotFound, expected):
        desk.call(
            "TerminateWorkflowExecution",
            workflow_execution={"workflow_id": "w", "run_id": run_id},
        )


def test_l13_a_quarantined_run_never_fires(desk: Desk) -> None:
    """What raised a bug stays silent; the run can still be signalled and closed."""
    run_id = desk.start()
    desk.step(timer("t", 1))
    desk.ask("QuarantineDue", QuarantineDue(run_id, "boom"))
    desk.pass_time(5)
    desk.signal()
    assert "6 WorkflowExecutionSignaled" in names(desk)
    with pytest.raises(Exception, match="expected run"):
        desk.ask("FireDue", FireDue(run_id))
    desk.terminate()


def test_history_pages_count_batches(desk: Desk) -> None:
    """Pages of three batches forward and in reverse; forward ends with an empty page."""
    desk.start()
    for name in ("one", "two"):
        desk.step(timer(name, 60), timer(f"{name}2", 60))
        desk.signal(name)
    desk.step(complete())
    forward = pages(desk, "GetWorkflowExecutionHistory")
    reverse = pages(desk, "GetWorkflowExecutionHistoryReverse")
    assert [[*range(1, 7)], [*range(7, 13)], [*range(13, 18)], []] == forward
    assert [[*range(17, 12, -1)], [*range(12, 6, -1)], [*range(6, 0, -1)]] == reverse


def pages(desk: Desk, method: str) -> list[list[int]]:
    """Return the event ids of the pages of a history."""
    request = getattr(service, f"{method}Request")(
        execution={"workflow_id": "w"}, maximum_page_size=3
    )
    found: list[list[int]] = []
    while True:
        response = getattr(service, f"{method}Response").FromString(desk.read(method, request))
        found.append([event.event_id for event in response.history.events])
        request.next_page_token = response.next_page_token
        if not response.next_page_token:
            return found


def test_too_many_events_terminate_the_run(desk: Desk) -> None:
    """The ask that goes over the limit has not happened; who asks again finds the run closed."""
    desk.limit(history_events_max_count=5)
    desk.start()
    for _ in range(3):
        desk.signal()
    with pytest.raises(InvalidArgument, match=r"^Workflow history count exceeds limit\.$"):
        desk.signal()
    assert names(desk, after=5) == ["6 WorkflowExecutionTerminated"]
    (end,) = desk.events()[5:]
    given = end.workflow_execution_terminated_event_attributes
    assert given.reason == "Workflow history count exceeds limit."
    assert given.identity == "history-service"
    with pytest.raises(NotFound, match="workflow execution already completed"):
        desk.signal()


def test_too_large_a_history_terminates_the_run(desk: Desk) -> None:
    """A worker that goes over the limit hears so; what it wanted has not happened."""
    desk.limit(history_max_bytes=10_000)
    desk.start()
    with pytest.raises(InvalidArgument, match=r"^Workflow history size exceeds limit\.$"):
        desk.step(activity(input=vals("x" * 10_000)))
    assert names(desk, after=3) == ["4 WorkflowTaskFailed", "5 WorkflowExecutionTerminated"]


def test_what_is_due_may_be_one_event_too_many(desk: Desk) -> None:
    """A timer's end terminates the run like anything else."""
    desk.limit(history_events_max_count=5)
    desk.start()
    desk.step(timer("t", 1))
    with pytest.raises(InvalidArgument):  # nobody hears this of the owner's own work
        desk.pass_time(2)
    assert names(desk, after=5) == ["6 WorkflowExecutionTerminated"]


class CountedRows(MemoryRows):
    """Rows that count how many of them were read."""

    read_count = 0

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield rows, and count them."""
        for found in super().scan(prefix, start):
            self.read_count += 1
            yield found


@pytest.mark.parametrize(
    "method", ["GetWorkflowExecutionHistory", "GetWorkflowExecutionHistoryReverse"]
)
def test_a_page_of_a_long_history_costs_the_page(desk: Desk, method: str) -> None:
    """So many rows are read as are shown, about, wherever the page is."""
    desk.start()
    for _ in range(400):
        desk.signal()
    counted = CountedRows()
    counted.rows = desk.rows.rows
    request = getattr(service, f"{method}Request")(maximum_page_size=5)
    request.execution.workflow_id = "w"
    for page_number in range(1, 5):
        packed = Core(counted).read(method, request, NAMESPACE.id, counted)
        page = getattr(service, f"{method}Response").FromString(packed)
        assert len(page.history.events) >= 5
        assert counted.read_count <= page_number * 5 * 5
        request.next_page_token = page.next_page_token
