"""Lists and counts over a running server, on both stores, also after kill -9."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from tests.end_to_end.workers import fresh, until, working
from tests.end_to_end.workflows import Echo
from tests.support.elastic_real import real_elasticsearch, why_absent
from tests.support.millrace_server import MillraceServer

STORES = ["sqlite", pytest.param("elasticsearch", marks=pytest.mark.real)]
PURCHASE = SearchAttributeKey.for_keyword("Purchase")


@pytest.fixture(scope="module", params=STORES)
def options(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """Yield the options of a server with this store."""
    if request.param == "sqlite":
        yield ()
        return
    if reason := why_absent():
        pytest.skip(reason)
    with real_elasticsearch() as url:
        yield (
            *("--set", "search.store=elasticsearch"),
            *("--set", f"search.elastic.urls={url}"),
        )


@pytest.mark.timeout(300)
async def test_runs_are_found(tmp_path: Path, options: tuple[str, ...]) -> None:
    """By what was given, by status and in groups; a restarted server goes on where it was."""
    attribute = ("--search-attribute", "Purchase=Keyword")
    server = MillraceServer(tmp_path, folder=tmp_path / "data", options=(*attribute, *options))
    with server:
        client = await Client.connect(server.address)
        purchase = fresh("purchase")
        given = TypedSearchAttributes([SearchAttributePair(PURCHASE, purchase)])

        async def finds(client: Client, status: str, expected: list[str]) -> None:
            query = f"Purchase = '{purchase}' AND ExecutionStatus = '{status}'"

            async def is_found() -> bool:
                listed = [run.id async for run in client.list_workflows(query)]
                return sorted(listed) == sorted(expected)

            await until(is_found, f"{query} finds {expected}")

        async with working(client) as queue:
            ids = [fresh("found") for _ in range(3)]
            for workflow_id in ids[:2]:
                await client.execute_workflow(
                    Echo.run, "x", id=workflow_id, task_queue=queue, search_attributes=given
                )
        await client.start_workflow(
            Echo.run, "x", id=ids[2], task_queue=fresh("nobody"), search_attributes=given
        )
        await finds(client, "Completed", ids[:2])
        await finds(client, "Running", ids[2:])
        server.kill()
        server.start()
        client = await Client.connect(server.address)
        await client.get_workflow_handle(ids[2]).terminate()
        await finds(client, "Terminated", ids[2:])
        counted = await client.count_workflows(f"Purchase = '{purchase}' GROUP BY ExecutionStatus")
        groups = {group.group_values[0]: group.count for group in counted.groups}
        assert groups == {"Completed": 2, "Terminated": 1}
