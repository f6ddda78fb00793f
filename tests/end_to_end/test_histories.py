"""History as it is read: in pages, while it grows, and backwards."""

import asyncio

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, HistoryEventFilterType
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryReverseRequest,
)
from temporalio.client import Client, WorkflowHandle

from tests.end_to_end.workers import fresh, working
from tests.end_to_end.workflows import Collect, Echo

CLOSE_EVENT = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT


async def collected(client: Client, signals: int) -> WorkflowHandle[Collect, list[str]]:
    """Return the handle of a closed run with so many signals."""
    async with working(client) as queue:
        handle = await client.start_workflow(Collect.run, id=fresh("pages"), task_queue=queue)
        for number in range(signals):
            await handle.signal(Collect.add, str(number))
        await handle.signal(Collect.end)
        await handle.result()
    return handle


async def test_pages_join_without_holes(client: Client) -> None:
    """Whatever their size."""
    handle = await collected(client, 20)
    whole = [event.event_id for event in (await handle.fetch_history()).events]
    paged: list[int] = []
    request = GetWorkflowExecutionHistoryRequest(
        namespace="default",
        execution=WorkflowExecution(workflow_id=handle.id),
        maximum_page_size=7,
    )
    while True:
        page = await client.workflow_service.get_workflow_execution_history(request)
        paged += [event.event_id for event in page.history.events]
        if not page.next_page_token:
            break
        request.next_page_token = page.next_page_token
    assert paged == whole == list(range(1, len(whole) + 1))


async def test_reverse_pages_are_the_same_backwards(client: Client) -> None:
    """From the last event to the first."""
    handle = await collected(client, 10)
    whole = [event.event_id for event in (await handle.fetch_history()).events]
    paged: list[int] = []
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace="default",
        execution=WorkflowExecution(workflow_id=handle.id),
        maximum_page_size=7,
    )
    while True:
        page = await client.workflow_service.get_workflow_execution_history_reverse(request)
        paged += [event.event_id for event in page.history.events]
        if not page.next_page_token:
            break
        request.next_page_token = page.next_page_token
    assert paged == whole[::-1]


async def test_a_waiting_reader_hears_of_the_end(client: Client) -> None:
    """The long poll of a result is answered when the run closes, not before."""
    handle = await client.start_workflow(Collect.run, id=fresh("wait"), task_queue=fresh("queue"))
    waiting = asyncio.ensure_future(
        client.workflow_service.get_workflow_execution_history(
            GetWorkflowExecutionHistoryRequest(
                namespace="default",
                execution=WorkflowExecution(workflow_id=handle.id),
                wait_new_event=True,
                history_event_filter_type=CLOSE_EVENT,
            )
        )
    )
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    await handle.terminate()
    events = (await waiting).history.events
    assert [event.event_type for event in events] == [
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
    ]


async def test_a_closed_run_is_answered_at_once(client: Client) -> None:
    """A second reader of the result does not wait."""
    async with working(client) as queue:
        handle = await client.start_workflow(Echo.run, "x", id=fresh("echo"), task_queue=queue)
        assert await handle.result() == "x"
    again = client.get_workflow_handle(handle.id, result_type=str)
    assert await asyncio.wait_for(again.result(), 10) == "x"
