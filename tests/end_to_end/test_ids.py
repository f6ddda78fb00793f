"""Workflow ids: one open run each; policies for the next one."""

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from tests.end_to_end.workers import fresh, working
from tests.end_to_end.workflows import Collect, Echo, Fail

FAILED_ONLY = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY


async def test_an_open_id_is_taken(client: Client) -> None:
    """The refusal names the run that has it."""
    workflow_id, queue = fresh("taken"), fresh("queue")
    first = await client.start_workflow(Collect.run, id=workflow_id, task_queue=queue)
    with pytest.raises(WorkflowAlreadyStartedError) as refused:
        await client.start_workflow(Collect.run, id=workflow_id, task_queue=queue)
    assert refused.value.run_id == first.result_run_id
    await first.terminate()


async def test_use_existing_gives_the_open_run(client: Client) -> None:
    """Conflict policy USE_EXISTING."""
    workflow_id, queue = fresh("existing"), fresh("queue")
    first = await client.start_workflow(Collect.run, id=workflow_id, task_queue=queue)
    second = await client.start_workflow(
        Collect.run,
        id=workflow_id,
        task_queue=queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    assert second.result_run_id == first.result_run_id
    await first.terminate()


async def test_terminate_existing_ends_the_open_run(client: Client) -> None:
    """Conflict policy TERMINATE_EXISTING."""
    workflow_id, queue = fresh("existing"), fresh("queue")
    first = await client.start_workflow(Collect.run, id=workflow_id, task_queue=queue)
    second = await client.start_workflow(
        Collect.run,
        id=workflow_id,
        task_queue=queue,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
    )
    assert second.result_run_id != first.result_run_id
    await second.terminate()


async def test_a_closed_id_may_be_used_again(client: Client) -> None:
    """The default."""
    workflow_id = fresh("again")
    async with working(client) as queue:
        for word in ("a", "b"):
            result = await client.execute_workflow(Echo.run, word, id=workflow_id, task_queue=queue)
            assert result == word


async def test_reject_duplicate_refuses_a_closed_id(client: Client) -> None:
    """Reuse policy REJECT_DUPLICATE."""
    workflow_id = fresh("once")
    async with working(client) as queue:
        await client.execute_workflow(Echo.run, "a", id=workflow_id, task_queue=queue)
        with pytest.raises(WorkflowAlreadyStartedError):
            await client.start_workflow(
                Echo.run,
                "b",
                id=workflow_id,
                task_queue=queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            )


async def test_failed_only_lets_a_failed_id_be_used_again(client: Client) -> None:
    """Reuse policy ALLOW_DUPLICATE_FAILED_ONLY behind a failure."""
    workflow_id = fresh("failed-only")
    async with working(client) as queue:
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow(Fail.run, id=workflow_id, task_queue=queue)
        result = await client.execute_workflow(
            Echo.run, "b", id=workflow_id, task_queue=queue, id_reuse_policy=FAILED_ONLY
        )
    assert result == "b"


async def test_failed_only_refuses_a_completed_id(client: Client) -> None:
    """Reuse policy ALLOW_DUPLICATE_FAILED_ONLY behind a success."""
    workflow_id = fresh("failed-only")
    async with working(client) as queue:
        await client.execute_workflow(Echo.run, "a", id=workflow_id, task_queue=queue)
        with pytest.raises(WorkflowAlreadyStartedError):
            await client.start_workflow(
                Echo.run, "b", id=workflow_id, task_queue=queue, id_reuse_policy=FAILED_ONLY
            )
