"""Workflows from start to end: results, failures, cancellation, termination, timeouts."""

from datetime import timedelta

import pytest
from temporalio import exceptions
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError
from temporalio.service import RPCError, RPCStatusCode

from tests.end_to_end.workers import fresh, working
from tests.end_to_end.workflows import CleanUp, Collect, Echo, Fail, Greet, Sleep


async def test_a_workflow_returns_its_result(client: Client) -> None:
    """Start, workflow task, complete."""
    async with working(client) as queue:
        assert await client.execute_workflow(
            Echo.run, "hi", id=fresh("echo"), task_queue=queue
        ) == ("hi")


async def test_an_activity_runs(client: Client) -> None:
    """Its result comes back through the workflow."""
    async with working(client) as queue:
        result = await client.execute_workflow(
            Greet.run, "you", id=fresh("greet"), task_queue=queue
        )
    assert result == "Hello, you!"


async def test_a_failure_keeps_its_type_and_details(client: Client) -> None:
    """As the workflow raised it."""
    async with working(client) as queue:
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(Fail.run, id=fresh("fail"), task_queue=queue)
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.message, cause.type, cause.details) == ("as planned", "Planned", (42,))


async def test_a_timer_fires(client: Client) -> None:
    """And the workflow goes on."""
    async with working(client) as queue:
        assert (
            await client.execute_workflow(Sleep.run, 0.2, id=fresh("sleep"), task_queue=queue)
            == "awake"
        )


async def test_signals_arrive_in_order(client: Client) -> None:
    """Also those that came before there was a worker."""
    queue = fresh("queue")
    handle = await client.start_workflow(Collect.run, id=fresh("collect"), task_queue=queue)
    await handle.signal(Collect.add, "a")
    await handle.signal(Collect.add, "b")
    async with working(client, queue):
        await handle.signal(Collect.add, "c")
        await handle.signal(Collect.end)
        assert await handle.result() == ["a", "b", "c"]


async def test_signal_with_start_starts_once(client: Client) -> None:
    """The second one signals the run that the first one started."""
    workflow_id = fresh("collect")
    async with working(client) as queue:
        first = await client.start_workflow(
            Collect.run,
            id=workflow_id,
            task_queue=queue,
            start_signal="add",
            start_signal_args=["a"],
        )
        second = await client.start_workflow(
            Collect.run,
            id=workflow_id,
            task_queue=queue,
            start_signal="add",
            start_signal_args=["b"],
        )
        await first.signal(Collect.end)
        assert await first.result() == ["a", "b"]
    assert first.result_run_id == second.result_run_id


async def test_a_cancelled_workflow_may_clean_up(client: Client) -> None:
    """Cancellation asks; the workflow answers."""
    async with working(client) as queue:
        handle = await client.start_workflow(CleanUp.run, id=fresh("clean"), task_queue=queue)
        await handle.cancel()
        assert await handle.result() == "Hello, mop!"


async def test_a_cancelled_workflow_is_cancelled(client: Client) -> None:
    """When it does not catch the cancellation."""
    async with working(client) as queue:
        handle = await client.start_workflow(Sleep.run, 60, id=fresh("sleep"), task_queue=queue)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert isinstance(failed.value.cause, CancelledError)
    assert (await handle.describe()).status == WorkflowExecutionStatus.CANCELED


async def test_a_terminated_workflow_ends_without_a_worker(client: Client) -> None:
    """With the reason in its result."""
    handle = await client.start_workflow(Echo.run, "x", id=fresh("echo"), task_queue=fresh("queue"))
    await handle.terminate(reason="enough")
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, TerminatedError)
    assert failed.value.cause.message == "enough"


@pytest.mark.parametrize(("execution", "run"), [(1, 60), (60, 1)])
async def test_a_workflow_times_out_without_a_worker(
    client: Client, execution: int, run: int
) -> None:
    """Run and execution timeouts are the server's."""
    handle = await client.start_workflow(
        Echo.run,
        "x",
        id=fresh("echo"),
        task_queue=fresh("queue"),
        execution_timeout=timedelta(seconds=execution),
        run_timeout=timedelta(seconds=run),
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, exceptions.TimeoutError)


async def test_describe_tells_the_state(client: Client) -> None:
    """Running, then completed, with its type and its queue."""
    async with working(client) as queue:
        handle = await client.start_workflow(
            Collect.run, id=fresh("collect"), task_queue=queue, memo={"note": "x"}
        )
        running = await handle.describe()
        assert running.status == WorkflowExecutionStatus.RUNNING
        assert (running.workflow_type, running.task_queue) == ("Collect", queue)
        assert await running.memo() == {"note": "x"}
        await handle.signal(Collect.end)
        await handle.result()
    closed = await handle.describe()
    assert closed.status == WorkflowExecutionStatus.COMPLETED
    assert closed.close_time is not None


async def test_history_tells_everything(client: Client) -> None:
    """Every event of a simple run, numbered without holes."""
    async with working(client) as queue:
        handle = await client.start_workflow(Greet.run, "you", id=fresh("greet"), task_queue=queue)
        await handle.result()
    events = (await handle.fetch_history()).events
    assert [event.event_id for event in events] == list(range(1, 12))
    assert [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in events] == [
        "WORKFLOW_EXECUTION_STARTED",
        "WORKFLOW_TASK_SCHEDULED",
        "WORKFLOW_TASK_STARTED",
        "WORKFLOW_TASK_COMPLETED",
        "ACTIVITY_TASK_SCHEDULED",
        "ACTIVITY_TASK_STARTED",
        "ACTIVITY_TASK_COMPLETED",
        "WORKFLOW_TASK_SCHEDULED",
        "WORKFLOW_TASK_STARTED",
        "WORKFLOW_TASK_COMPLETED",
        "WORKFLOW_EXECUTION_COMPLETED",
    ]


async def test_an_unknown_workflow_is_not_found(client: Client) -> None:
    """For every way to ask about it."""
    handle = client.get_workflow_handle(fresh("nobody"))
    for ask in (handle.describe, handle.cancel, handle.terminate):
        with pytest.raises(RPCError) as refused:
            await ask()
        assert refused.value.status == RPCStatusCode.NOT_FOUND
