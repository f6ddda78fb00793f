"""Queries through the SDK: open and closed runs, fresh and former workers, failures, refusals."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import QueryRejectCondition
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from tests.end_to_end.workers import fresh, until, working
from tests.end_to_end.workflows import ACTIVITIES, WORKFLOWS, Answering

Handle = WorkflowHandle[Answering, int]
WORKFLOW_TYPE = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
ACTIVITY_TYPE = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
FULL_QUEUE = "consistent query buffer is full"


async def start(client: Client, queue: str) -> Handle:
    """Start a workflow that answers."""
    return await client.start_workflow(Answering.run, id=fresh("answering"), task_queue=queue)


async def event_count(handle: Handle) -> int:
    """Return how long the history is."""
    return len((await handle.fetch_history()).events)


async def asked(handle: Handle) -> list[str]:
    """Ask until the buffer of the run has room, as a patient client does."""
    while True:
        try:
            return await handle.query(Answering.words)
        except RPCError as error:
            if FULL_QUEUE not in error.message:
                raise


async def test_r2_a_query_sees_every_signal_sent_before_it(client: Client) -> None:
    """Again and again, with the worker's cache and without."""
    async with working(client) as queue:
        handle = await start(client, queue)
        words = [str(number) for number in range(20)]
        for count, word in enumerate(words, 1):
            await handle.signal(Answering.add, word)
            assert await handle.query(Answering.words) == words[:count]
        await handle.signal(Answering.end)
        assert await handle.query(Answering.words) == words


async def test_m4_queries_leave_no_trace_in_the_history(client: Client) -> None:
    """Neither direct ones nor those that rode on a task."""
    async with working(client) as queue:
        handle = await start(client, queue)
        await handle.signal(Answering.add, "a")
        assert await handle.query(Answering.words) == ["a"]
        before = await event_count(handle)
        for _ in range(5):
            assert await handle.query(Answering.words) == ["a"]
        assert await event_count(handle) == before


async def test_many_ask_at_once(client: Client) -> None:
    """Everybody hears the same."""
    async with working(client) as queue:
        handle = await start(client, queue)
        await handle.signal(Answering.add, "a")
        answers = await asyncio.gather(*(asked(handle) for _ in range(30)))
        assert answers == [["a"]] * 30


async def test_a_closed_run_is_asked_by_a_worker_that_never_saw_it(client: Client) -> None:
    """It is replayed from the beginning; the reject conditions hold."""
    async with working(client) as queue:
        handle = await start(client, queue)
        await handle.signal(Answering.add, "a")
        await handle.signal(Answering.end)
        assert await handle.result() == 1
    async with working(client, queue):
        assert await handle.query(Answering.words) == ["a"]
        with pytest.raises(WorkflowQueryRejectedError) as rejected:
            await handle.query(Answering.words, reject_condition=QueryRejectCondition.NOT_OPEN)
        assert rejected.value.status == WorkflowExecutionStatus.COMPLETED
        condition = QueryRejectCondition.NOT_COMPLETED_CLEANLY
        assert await handle.query(Answering.words, reject_condition=condition) == ["a"]


async def test_m3_a_worker_that_stopped_costs_the_next_one_no_time(client: Client) -> None:
    """Its own queue is given up at its stop: less than its schedule-to-start timeout passes."""
    async with working(client) as queue:
        handle = await start(client, queue)
        assert await handle.query(Answering.words) == []
    async with asyncio.timeout(8), working(client, queue):
        assert await handle.query(Answering.words) == []
        await handle.signal(Answering.add, "a")
        assert await handle.query(Answering.words) == ["a"]


async def test_a_query_before_the_first_task_rides_on_it(client: Client) -> None:
    """The worker comes later."""
    queue = fresh("queue")
    handle = await start(client, queue)
    await handle.signal(Answering.add, "a")
    answer = asyncio.create_task(handle.query(Answering.words))
    async with working(client, queue):
        assert await answer == ["a"]


async def test_a_query_that_fails_says_what_the_worker_said(client: Client) -> None:
    """Also one that the workflow does not know."""
    async with working(client) as queue:
        handle = await start(client, queue)
        with pytest.raises(WorkflowQueryFailedError, match="no answer"):
            await handle.query(Answering.broken)
        with pytest.raises(WorkflowQueryFailedError, match="not found"):
            await handle.query("unknown")


async def test_a_query_that_no_worker_takes_ends_with_its_time(client: Client) -> None:
    """With the reason, a little before the caller's own end."""
    async with working(client) as queue:
        handle = await start(client, queue)
        assert await handle.query(Answering.words) == []
    with pytest.raises(RPCError) as late:
        await handle.query(Answering.words, rpc_timeout=timedelta(seconds=2))
    assert late.value.status == RPCStatusCode.DEADLINE_EXCEEDED
    assert "query timed out before a worker could process it" in late.value.message


async def test_a_described_queue_knows_its_pollers_and_bounds(client: Client) -> None:
    """Who polls, what waits, and how fast the workers let it go."""
    queue = fresh("queue")

    async def described(kind: TaskQueueType.ValueType) -> DescribeTaskQueueResponse:
        request = DescribeTaskQueueRequest(
            namespace="default", task_queue_type=kind, report_stats=True
        )
        request.task_queue.name = queue
        return await client.workflow_service.describe_task_queue(request)

    await start(client, queue)
    workflows, activities = WORKFLOW_TYPE, ACTIVITY_TYPE

    async def is_waiting() -> bool:
        stats = (await described(workflows)).stats
        return stats.approximate_backlog_count == 1 and stats.approximate_backlog_age.nanos > 0

    async def is_polled() -> bool:
        shown = await described(activities)
        return [each.identity for each in shown.pollers] == ["the worker"]

    await until(is_waiting, "the first task waits")
    worker = Worker(
        client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=ACTIVITIES,
        identity="the worker",
        max_task_queue_activities_per_second=7,
    )
    async with worker:
        await until(is_polled, "the worker polls")
        shown = await described(activities)
        assert shown.pollers[0].rate_per_second == 7
        assert shown.effective_rate_limit.requests_per_second == 7
        assert (await described(workflows)).stats.approximate_backlog_count == 0
