"""Search on several nodes: positions and attributes of one are good on another."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from schemas.temporal import service
from tests.end_to_end.test_search_agrees import SERVICE, Caller, calling, counted
from tests.end_to_end.workers import fresh
from tests.support.kafka_embedded import EmbeddedKafka
from tests.support.millrace_server import MillraceServer, ServerDidNotStartError

NEWEST = {"millrace-position": "newest"}


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a Kafka."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.address


@pytest.fixture(scope="module")
def nodes(
    kafka: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[MillraceServer, MillraceServer]]:
    """Yield two nodes, each with an index of its own."""
    made = []
    for name in ("one", "two"):
        folder = tmp_path_factory.mktemp(name)
        made.append(MillraceServer(folder, folder=folder / "data", kafka=kafka, is_node=True))
    with made[0] as one, made[1] as two:
        yield one, two


async def written(caller: Caller, workflow_id: str) -> str:
    """Start a workflow; return the position of that write."""
    request = service.StartWorkflowExecutionRequest(
        namespace="default", workflow_id=workflow_id, request_id=workflow_id
    )
    request.workflow_type.name = "Flow"
    request.task_queue.name = "nobody"
    call = caller.channel.unary_unary(f"{SERVICE}StartWorkflowExecution")(
        request.SerializeToString(), timeout=20
    )
    await call
    return str(dict(await call.trailing_metadata())["millrace-position"])


async def test_a_write_through_one_node_is_listed_by_the_other(
    nodes: tuple[MillraceServer, MillraceServer],
) -> None:
    """At once, by the position that its answer carries, whichever node decided about it."""
    one, two = nodes
    async with calling(one) as writer, calling(two) as reader:
        before = await counted(reader)
        partitions = set()
        for number in range(1, 41):
            position = await written(writer, fresh("w"))
            partitions.add(position.partition(":")[0])
            request = service.CountWorkflowExecutionsRequest(namespace="default")
            found = await reader.ask(
                "CountWorkflowExecutions", request, metadata=(("millrace-position", position),)
            )
            assert found.count == before + number
        assert len(partitions) > 1


async def test_n1_an_attribute_of_one_node_is_there_on_the_other(
    nodes: tuple[MillraceServer, MillraceServer],
) -> None:
    """At once, in a start and in a query."""
    one, two = [await Client.connect(each.address) for each in nodes]
    for number in range(5):
        name = f"Added{number}"
        request = AddSearchAttributesRequest(namespace="default")
        request.search_attributes[name] = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        await one.operator_service.add_search_attributes(request)
        assert (await two.count_workflows(f"{name} = 'x'")).count == 0
        given = TypedSearchAttributes(
            [SearchAttributePair(SearchAttributeKey.for_keyword(name), "x")]
        )
        await two.start_workflow(
            "Flow", id=fresh("w"), task_queue="nobody", search_attributes=given
        )
        assert (await two.count_workflows(f"{name} = 'x'", rpc_metadata=NEWEST)).count == 1
        assert (await one.count_workflows(f"{name} = 'x'", rpc_metadata=NEWEST)).count == 1


def test_a_node_does_not_search_the_file_of_another(
    nodes: tuple[MillraceServer, MillraceServer], kafka: str, tmp_path: Path
) -> None:
    """It says so in one sentence, and does not start."""
    (tmp_path / "data").mkdir()
    assert nodes[0].folder is not None
    (tmp_path / "data" / "search").symlink_to(nodes[0].folder / "search")
    third = MillraceServer(tmp_path, folder=tmp_path / "data", kafka=kafka, is_node=True)
    with pytest.raises(ServerDidNotStartError, match="would search the SQLite file of another"):
        third.start()
