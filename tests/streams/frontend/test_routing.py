"""Two nodes on stand-ins, with a real internal port between them: requests find their owner."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from schemas.errors import NotTheOwner, WorkflowAlreadyStarted
from schemas.ids import queue_partition, workflow_partition
from schemas.temporal import service
from streams.calls.forward import Forward, Home, Place
from streams.calls.outcomes import Answered
from streams.calls.owners import Owner
from streams.calls.peers import Peers
from streams.calls.roles import RoleCalls, served
from streams.frontend.internal import InternalPort, served_to_nodes
from streams.frontend.node_transport import NodeTransport
from streams.frontend.routes import ANYWHERE, ROUTES, Routes
from streams.frontend.routing import Ways, routed
from streams.frontend.rpcs import WORKFLOW_SERVICE
from streams.frontend.transport import Table
from streams.metrics import Metrics
from tests.streams.frontend.stubs import DEFAULT, StubCall, World, always
from topology.decision import Namespace
from topology.tokens import QueryToken, Token, pack
from topology.topics import PartitionCounts

_COUNTS = PartitionCounts(history=4, matching=4)
_TOKEN = pack(
    Token(
        namespace_id=DEFAULT.id,
        workflow_id="w",
        run_id="run",
        kind="activity",
        scheduled_event_id=5,
        attempt=2,
        started_event_id=0,
        stamp=1,
    )
)
_QUERY_TOKEN = pack(QueryToken(DEFAULT.id, 2, b"incarnat", "query"))
_OF_W = Place("history", workflow_partition("default", "w", 4))
_OF_QUEUE = Place("matching", queue_partition(DEFAULT.id, "tq", 4))
_BY_ID: dict[str, Any] = {"workflow_id": "w"}
_BY_EXECUTION: dict[str, Any] = {"execution": {"workflow_id": "w"}}
_BY_TOKEN: dict[str, Any] = {"task_token": _TOKEN}
_BY_QUEUE: dict[str, Any] = {"task_queue": {"name": "tq"}}
_KEYS: list[tuple[str, dict[str, Any], Place]] = [
    ("StartWorkflowExecution", _BY_ID, _OF_W),
    ("SignalWithStartWorkflowExecution", _BY_ID, _OF_W),
    ("SignalWorkflowExecution", {"workflow_execution": {"workflow_id": "w"}}, _OF_W),
    ("TerminateWorkflowExecution", {"workflow_execution": {"workflow_id": "w"}}, _OF_W),
    ("DescribeWorkflowExecution", _BY_EXECUTION, _OF_W),
    ("GetWorkflowExecutionHistory", _BY_EXECUTION, _OF_W),
    ("QueryWorkflow", _BY_EXECUTION, _OF_W),
    ("PollWorkflowTaskQueue", _BY_QUEUE, _OF_QUEUE),
    ("PollActivityTaskQueue", _BY_QUEUE, _OF_QUEUE),
    ("RespondWorkflowTaskCompleted", _BY_TOKEN, _OF_W),
    ("RecordActivityTaskHeartbeat", _BY_TOKEN, _OF_W),
    ("RespondActivityTaskCompletedById", _BY_ID, _OF_W),
    ("RespondQueryTaskCompleted", {"task_token": _QUERY_TOKEN}, Place("history", 2)),
    ("RegisterNamespace", {}, Place("history", workflow_partition("default", "default", 4))),
]


def transport(table: Table) -> NodeTransport:
    """Return an internal transport on a free port."""
    return NodeTransport(table, host="127.0.0.1", port=0)


class NoHistory:
    """No own work is asked for here."""

    async def own_work(self, partition: int, ask: object) -> bytes:
        """Never called."""
        raise AssertionError((partition, ask))


class Nodes:
    """A first frontend that owns nothing, and the owner of everything."""

    def __init__(self) -> None:
        self.first = World()
        self.owner_world = World()
        self.port = InternalPort(transport)
        self.peers = Peers()
        matching: Any = self.first.matching
        self.services = self.first.services()
        self.forward = Forward(
            self,
            self.peers,
            Home("here", lambda _: 0),
            clock=self.services.clock,
            random=self.services.random,
            metrics=Metrics(),
        )
        roles = RoleCalls(self.forward, NoHistory(), matching, matching_partitions=4)
        ways = Ways(Routes(self.first.namespaces, _COUNTS), self.forward, roles)
        self.functions = routed(WORKFLOW_SERVICE, ways)

    async def start(self) -> None:
        """Open the owner's internal port."""
        matching: Any = self.owner_world.matching
        await self.port.start()
        services = self.owner_world.services()
        self.port.open(served_to_nodes(WORKFLOW_SERVICE, services, served(NoHistory(), matching)))

    async def stop(self) -> None:
        """Close everything."""
        await self.peers.stop()
        await self.port.stop()

    def owner(self, role: str, partition: int) -> Owner | None:
        """Everything is elsewhere."""
        return Owner(role, partition, 1, 4, 1, b"", "owner", self.port.address, "", 0)

    def listen(self, listener: Callable[[Owner], None]) -> None:
        """Nothing changes here."""

    async def call(self, name: str, **fields: Any) -> bytes:
        """Call an RPC at the first frontend."""
        request = getattr(service, f"{name}Request")(namespace="default", **fields)
        return await self.functions[name](self.services, StubCall(request.SerializeToString()))


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """Two nodes."""
    nodes = Nodes()
    await nodes.start()
    yield nodes
    await nodes.stop()


def start_fields(workflow_id: str = "w") -> dict[str, Any]:
    """Return the fields of a Start."""
    return {
        "workflow_id": workflow_id,
        "workflow_type": {"name": "Flow"},
        "task_queue": {"name": "tq"},
        "request_id": "r",
    }


def test_every_served_rpc_says_who_serves_it() -> None:
    """Its owner or anybody; one that says neither would be served by whoever gets it."""
    assert set(ROUTES) | ANYWHERE == set(WORKFLOW_SERVICE)
    assert not set(ROUTES) & ANYWHERE


@pytest.mark.parametrize(("name", "fields", "place"), _KEYS, ids=[name for name, *_ in _KEYS])
def test_c2_routing_key(name: str, fields: dict[str, Any], place: Place) -> None:
    """Workflow id, token, task queue, namespace: the names in the request say whose it is."""
    routes = Routes(World().namespaces, _COUNTS)
    request = ROUTES[name].request(namespace="default", **fields)
    assert ROUTES[name].place(routes, request) == place


@pytest.mark.parametrize("name", ROUTES)
def test_c2_request_without_a_key_stays_where_it_came(name: str) -> None:
    """Its function says what is missing, and what cannot be parsed."""
    routes = Routes(World().namespaces, _COUNTS)
    assert ROUTES[name].place(routes, ROUTES[name].request()) is None
    assert routes.read(ROUTES[name], b"\xff\xff") is None


def test_token_alone_says_the_namespace() -> None:
    """A worker may leave the name out."""
    routes = Routes(World().namespaces, _COUNTS)
    assert routes.of_token("", _TOKEN) == _OF_W
    assert routes.of_token("", pack(QueryToken("x", 1, b"", "q"))) is None


async def test_c2_request_is_served_by_its_owner(nodes: Nodes) -> None:
    """Bytes as they came, under the id of the first frontend; the answer comes back."""
    nodes.owner_world.gateway.answer = always(b"answer")
    assert await nodes.call("StartWorkflowExecution", **start_fields()) == b"answer"
    assert nodes.first.gateway.asked == []
    ((_, workflow_id, method, _),) = nodes.owner_world.gateway.asked
    assert (workflow_id, method) == ("w", "StartWorkflowExecution")
    assert len(nodes.owner_world.gateway.under_ids[0]) == 16


async def test_l12_repeat_has_the_same_id(nodes: Nodes) -> None:
    """The owner had it, and lost it, and gets it again."""
    outcomes: list[bytes | Exception] = [NotTheOwner("moving"), b"answer"]

    def answer(_method: str, _request: bytes) -> bytes:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    nodes.owner_world.gateway.answer = answer
    assert await nodes.call("StartWorkflowExecution", **start_fields()) == b"answer"
    first, second = nodes.owner_world.gateway.under_ids
    assert first == second


async def test_c2_refusal_comes_back_with_its_details(nodes: Nodes) -> None:
    """SDKs look into them."""
    refusal = WorkflowAlreadyStarted("taken", start_request_id="r", run_id="run")
    nodes.owner_world.gateway.answer = always(refusal)
    with pytest.raises(Answered) as caught:
        await nodes.call("StartWorkflowExecution", **start_fields())
    assert caught.value.status() == refusal.status()


async def test_n1_owner_reads_on_when_the_first_frontend_had_read_more(nodes: Nodes) -> None:
    """A namespace that one frontend has seen is there at the owner."""
    fresh = Namespace(id="fresh", name="fresh", state=1, retention=1)
    nodes.first.namespaces.seen["fresh"] = fresh
    nodes.first.namespaces.position = nodes.owner_world.namespaces.position + 1
    nodes.owner_world.namespaces.unread["fresh"] = fresh
    request = service.DescribeWorkflowExecutionRequest(
        namespace="fresh", execution={"workflow_id": "w"}
    )
    call = StubCall(request.SerializeToString())
    await nodes.functions["DescribeWorkflowExecution"](nodes.services, call)
    assert nodes.owner_world.namespaces.reads == 1
    assert nodes.owner_world.gateway.reads[0][0] == "fresh"


async def test_c4_poll_waits_at_its_owner_under_one_id(nodes: Nodes) -> None:
    """With the time it has left."""
    nodes.owner_world.matching.task = b"task"
    assert await nodes.call("PollActivityTaskQueue", task_queue={"name": "tq"}) == b"task"
    ((_, queue, kind, _, _, timeout_s),) = nodes.owner_world.matching.polls
    assert (queue, kind) == ("tq", "activity")
    assert timeout_s <= 30


async def test_c4_m2_poller_who_leaves_is_gone_at_the_owner_too(nodes: Nodes) -> None:
    """Its call there is cancelled, and what it may have been answered with is handed back."""
    matching = nodes.owner_world.matching
    poll = asyncio.ensure_future(nodes.call("PollWorkflowTaskQueue", task_queue={"name": "tq"}))
    await asyncio.wait_for(matching.polled.wait(), 10)
    poll.cancel()
    async with asyncio.timeout(10):
        while not (matching.given_up and matching.handed_back):  # noqa: ASYNC110  a wire between
            await asyncio.sleep(0)
    assert matching.handed_back == [matching.polls[0][3]]


async def test_c7_planned_stop_answers_forwarded_polls_empty(nodes: Nodes) -> None:
    """The worker polls again, at a node that stays."""
    poll = asyncio.ensure_future(nodes.call("PollWorkflowTaskQueue", task_queue={"name": "tq"}))
    await asyncio.wait_for(nodes.owner_world.matching.polled.wait(), 10)
    nodes.forward.end_waits()
    assert await poll == b""


async def test_what_anybody_serves_is_served_where_it_came(nodes: Nodes) -> None:
    """Descriptions of the system and of namespaces."""
    info = service.GetSystemInfoResponse.FromString(await _system_info(nodes))
    assert info.server_version
    assert nodes.owner_world.gateway.under_ids == []


async def _system_info(nodes: Nodes) -> bytes:
    return await nodes.functions["GetSystemInfo"](nodes.services, StubCall(b""))
