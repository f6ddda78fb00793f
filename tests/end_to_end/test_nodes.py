"""Several nodes on one real Kafka: they join, leave and die while clients call (C2, C7, N1, V6)."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    GetSystemInfoRequest,
    RegisterNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

from tests.end_to_end.workers import fresh, until, working
from tests.end_to_end.workflows import Echo, Greet
from tests.support.balancer import balanced
from tests.support.kafka_real import real_kafka, why_absent
from tests.support.millrace_server import MillraceServer

pytestmark = [pytest.mark.real, pytest.mark.slow]

Start = Callable[..., MillraceServer]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a real Kafka."""
    if reason := why_absent():
        pytest.skip(reason)
    with real_kafka(tmp_path_factory.mktemp("kafka")) as found:
        yield found


@pytest.fixture
def start(address: str, tmp_path: Path) -> Iterator[Start]:
    """Yield what starts a node; whatever still runs at the end is killed."""
    made: list[MillraceServer] = []

    def started(*options: str) -> MillraceServer:
        scratch = tmp_path / str(len(made))
        scratch.mkdir()
        node = MillraceServer(
            scratch, folder=scratch / "data", kafka=address, options=options, is_node=True
        )
        made.append(node)
        node.start()
        return node

    yield started
    for node in made:
        if node.is_running:
            node.kill()


@asynccontextmanager
async def load(*clients: Client) -> AsyncIterator[list[str]]:
    """Start and finish workflows all the while; yield what was answered so far."""
    answers: list[str] = []
    is_over = asyncio.Event()

    async def keep_on(client: Client, queue: str) -> None:
        while not is_over.is_set():
            name = fresh("load")
            answers.append(
                await client.execute_workflow(Greet.run, name, id=name, task_queue=queue)
            )

    async with working(clients[0]) as queue:
        tasks = [asyncio.create_task(keep_on(client, queue)) for client in clients * 4]
        try:
            yield answers
        finally:
            is_over.set()
            await asyncio.gather(*tasks)


async def more_than(answers: list[str], count: int) -> None:
    """Wait until so many more are answered."""
    goal = len(answers) + count

    async def is_so() -> bool:
        return len(answers) >= goal

    await until(is_so, f"{count} more workflows to be answered")


async def test_n1_namespace_of_one_node_is_there_on_every_other(start: Start) -> None:
    """At once, for describing it and for starting in it."""
    one, two = start(), start()
    first, second = await Client.connect(one.address), await Client.connect(two.address)
    for number in range(10):
        name = fresh(f"space{number}")
        request = RegisterNamespaceRequest(namespace=name)
        request.workflow_execution_retention_period.seconds = 86_400
        await first.workflow_service.register_namespace(request)
        found = await second.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=name)
        )
        assert found.namespace_info.name == name
        elsewhere = await Client.connect(two.address, namespace=name)
        handle = await elsewhere.start_workflow(Echo.run, "x", id=fresh("w"), task_queue="nobody")
        await handle.terminate()


async def test_c7_node_that_is_told_to_stop_costs_no_call(start: Start) -> None:
    """The calls that went through it, and those to it that others forwarded."""
    stays, leaves = start(), start()
    client = await Client.connect(stays.address)
    async with load(client) as answers:
        await more_than(answers, 20)
        assert leaves.stop() == 0
        await more_than(answers, 20)
        start()
        await more_than(answers, 20)
    assert leaves.stderr == ""


async def test_c7_no_call_to_the_node_that_stops_fails(start: Start) -> None:
    """Clients and workers are connected to it, through a balancer; half of what runs is its own."""
    leaves, stays = start(), start()
    async with balanced([leaves.address, stays.address]) as address:
        client = await Client.connect(address)
        async with load(client) as answers:
            await more_than(answers, 20)
            code = await asyncio.to_thread(leaves.stop)
            await more_than(answers, 20)
    assert code == 0
    assert leaves.stderr == ""


async def test_v6_killed_owner_is_replaced_and_nothing_is_lost(start: Start) -> None:
    """Kill -9 under load: every call is answered, by who is left."""
    stays, dies = start(), start()
    client = await Client.connect(stays.address)
    async with load(client) as answers:
        await more_than(answers, 20)
        dies.kill()
        await more_than(answers, 40)
    assert len(set(answers)) == len(answers)


async def test_c2_stopped_owner_is_replaced(start: Start) -> None:
    """It keeps its connections; calls to it end when another one claims."""
    stays, stops = start(), start()
    client = await Client.connect(stays.address)
    async with load(client) as answers:
        await more_than(answers, 20)
        stops.send(signal.SIGSTOP)
        await more_than(answers, 40)
        stops.send(signal.SIGCONT)
        await more_than(answers, 20)


async def test_roles_may_be_apart(start: Start) -> None:
    """A node for each role, and calls to the one that has only a frontend."""
    start("--roles", "history")
    start("--roles", "matching")
    frontend = start("--roles", "frontend")
    client = await Client.connect(frontend.address)
    async with load(client) as answers:
        await more_than(answers, 10)


async def test_c6_our_own_metadata_counts_for_nothing_on_the_public_port(start: Start) -> None:
    """A client cannot name itself a node, nor name another's command."""
    node = start()
    client = await Client.connect(node.address, rpc_metadata={"millrace-namespaces": "999999"})
    await client.workflow_service.get_system_info(GetSystemInfoRequest())
    handle = await client.start_workflow(Echo.run, "x", id=fresh("w"), task_queue="nobody")
    await handle.terminate()
    with pytest.raises(RPCError):
        await handle.terminate()


async def test_each_node_lists_all_runs(start: Start) -> None:
    """Nodes with an index of their own each follow all of `events`."""
    clients = [await Client.connect(start().address) for _ in range(2)]
    ids = [fresh("listed") for _ in range(20)]
    kind = fresh("kind")
    for number, workflow_id in enumerate(ids):
        await clients[number % 2].start_workflow(kind, id=workflow_id, task_queue="nobody")

    for client in clients:

        async def has_all(client: Client = client) -> bool:
            runs = client.list_workflows(f"WorkflowType = '{kind}'")
            return {run.id async for run in runs} == set(ids)

        await until(has_all, "every run is listed by each node")
