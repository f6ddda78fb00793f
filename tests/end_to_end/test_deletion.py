"""Runs and namespaces that go: by request, by retention, with their namespace; also after kill -9.

Gone means gone everywhere: from Describe and histories, and from lists and counts of both stores.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from schemas.temporal import operator, service
from tests.end_to_end.workers import fresh, until, working
from tests.end_to_end.workflows import Echo
from tests.support.elastic_real import real_elasticsearch, why_absent
from tests.support.millrace_server import SPREAD, MillraceServer

STORES = ["sqlite", pytest.param("elasticsearch", marks=pytest.mark.real)]
RUNS = 300
_AT_ONCE = 50


@pytest.fixture(scope="module", params=STORES)
def options(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """Yield the options of a server with this store, where a retention may be a second."""
    short = (*SPREAD, "--set", "core.retention_min_s=1")
    if request.param == "sqlite":
        yield short
        return
    if reason := why_absent():
        pytest.skip(reason)
    with real_elasticsearch() as url:
        yield (
            *short,
            *("--set", "search.store=elasticsearch"),
            *("--set", f"search.elastic.urls={url}"),
        )


@pytest.fixture
def server(tmp_path: Path, options: tuple[str, ...]) -> Iterator[MillraceServer]:
    """Yield a server that remembers."""
    with MillraceServer(tmp_path, folder=tmp_path / "data", options=options) as running:
        yield running


async def in_namespace(server: MillraceServer, name: str, retention_s: int = 86_400) -> Client:
    """Register a namespace; return a client in it."""
    client = await Client.connect(server.address, namespace=name)
    request = service.RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.seconds = retention_s
    await client.workflow_service.register_namespace(request)
    return client


async def set_retention(client: Client, retention_s: int) -> None:
    """Change the retention of a client's namespace."""
    request = service.UpdateNamespaceRequest(namespace=client.namespace)
    request.config.workflow_execution_retention_ttl.seconds = retention_s
    await client.workflow_service.update_namespace(request)


async def start_many(client: Client, count: int, *, is_closed: bool) -> list[str]:
    """Start workflows that nobody works on; return their ids."""
    ids = [fresh("many") for _ in range(count)]

    async def start(workflow_id: str) -> None:
        handle = await client.start_workflow(
            Echo.run, "x", id=workflow_id, task_queue=f"q-{client.namespace}"
        )
        if is_closed:
            await handle.terminate()

    for first in range(0, count, _AT_ONCE):
        await asyncio.gather(*(start(each) for each in ids[first : first + _AT_ONCE]))
    return ids


async def is_gone(client: Client, workflow_id: str) -> bool:
    """Whether nobody finds a workflow any more."""
    try:
        await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        return error.status == RPCStatusCode.NOT_FOUND
    return False


async def all_gone(client: Client, ids: list[str]) -> None:
    """Wait until lists and counts are empty, and nothing is found by its id."""

    async def is_empty() -> bool:
        return (await client.count_workflows()).count == 0

    await until(is_empty, f"{client.namespace} counts none")
    assert [run.id async for run in client.list_workflows()] == []
    assert all([await is_gone(client, each) for each in ids[:: max(1, len(ids) // 20)]])


def delete_request(client: Client, workflow_id: str) -> service.DeleteWorkflowExecutionRequest:
    """Return the request that deletes a workflow."""
    request = service.DeleteWorkflowExecutionRequest(namespace=client.namespace)
    request.workflow_execution.workflow_id = workflow_id
    return request


@pytest.mark.timeout(120)
async def test_a_workflow_is_deleted_by_request(server: MillraceServer) -> None:
    """Closed or open; its id can be used again, even where duplicates are refused."""
    client = await in_namespace(server, fresh("shop"))
    closed, opened = fresh("closed"), fresh("open")
    async with working(client) as queue:
        await client.execute_workflow(Echo.run, "x", id=closed, task_queue=queue)
    await client.start_workflow(Echo.run, "x", id=opened, task_queue=fresh("nobody"))

    async def are_found() -> bool:
        return (await client.count_workflows()).count == 2

    await until(are_found, "both are counted")
    for workflow_id in (closed, opened):
        await client.workflow_service.delete_workflow_execution(delete_request(client, workflow_id))
    await all_gone(client, [closed, opened])
    with pytest.raises(RPCError, match="workflow not found for ID"):
        await client.workflow_service.delete_workflow_execution(delete_request(client, closed))
    async with working(client) as queue:
        assert await client.execute_workflow(Echo.run, "y", id=closed, task_queue=queue) == "y"


@pytest.mark.timeout(240)
async def test_mass_retention_survives_kills(server: MillraceServer) -> None:
    """Killed twice in the middle: every run that is due goes, those of another retention stay."""
    client = await in_namespace(server, fresh("shop"))
    kept = await start_many(client, 5, is_closed=True)
    await set_retention(client, 2)
    ids = await start_many(client, RUNS, is_closed=True)
    await set_retention(client, 86_400)
    kept += await start_many(client, 5, is_closed=True)
    for _ in range(2):
        server.kill()
        server.start()
        client = await Client.connect(server.address, namespace=client.namespace)

    async def is_left() -> bool:
        return (await client.count_workflows()).count == len(kept)

    await until(is_left, "only the kept runs are counted")
    listed = {run.id async for run in client.list_workflows()}
    assert listed == set(kept)
    assert all([await is_gone(client, each) for each in ids[::15]])
    assert not any([await is_gone(client, each) for each in kept])


@pytest.mark.timeout(240)
async def test_a_namespace_goes_with_all_that_is_in_it(server: MillraceServer) -> None:
    """Killed in the middle; its name is free at once, and the new one of that name is empty."""
    name = fresh("shop")
    client = await in_namespace(server, name)
    ids = await start_many(client, RUNS // 2, is_closed=True)
    ids += await start_many(client, RUNS // 2, is_closed=False)
    request = operator.DeleteNamespaceRequest(namespace=name)
    deleted = await client.operator_service.delete_namespace(request)
    assert deleted.deleted_namespace.startswith(f"{name}-deleted-")
    server.kill()
    server.start()
    again = await in_namespace(server, name)
    await all_gone(again, ids)
    first = fresh("first")
    async with working(again) as queue:
        assert await again.execute_workflow(Echo.run, "x", id=first, task_queue=queue) == "x"

    async def is_erased() -> bool:
        return deleted.deleted_namespace not in await names(again, include_deleted=True)

    await until(is_erased, f"{deleted.deleted_namespace} is erased")
    assert name in await names(again)
    assert not await is_gone(again, first)


async def names(client: Client, **more: Any) -> list[str]:
    """Return the names of all namespaces, in pages of two."""
    request = service.ListNamespacesRequest(page_size=2)
    request.namespace_filter.CopyFrom(type(request.namespace_filter)(**more))
    found = []
    while True:
        page = await client.workflow_service.list_namespaces(request)
        found += [each.namespace_info.name for each in page.namespaces]
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            return found
