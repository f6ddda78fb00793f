"""Runs deleted by request, and a namespace deleted with all its runs, under every fault.

Each node hears of the namespace's deletion when it does: one may go on beginning runs in it while
another has swept its partitions. In the end nothing is left, and each run went once.
"""

import asyncio
from collections import Counter as Tally

from msgspec.structs import replace

from schemas.errors import Code, ServiceError
from schemas.instants import HOUR
from schemas.temporal import enums, service
from streams.sweeping import Sweeping
from tests.simulation import audit
from tests.simulation.families import Families, start_request
from tests.simulation.forwarded import ForwardChaos, quiet
from tests.simulation.world import EVENTS, Node, SimNamespaces, World
from tests.support.log_toy import NAMESPACE
from topology.decision import Namespace

WORKFLOWS = 12
_DELETED = enums.NamespaceState.NAMESPACE_STATE_DELETED
_SPACE = replace(NAMESPACE, retention=HOUR)


class Heard(SimNamespaces):
    """What one node has heard of the one namespace."""

    def __init__(self) -> None:
        super().__init__()
        self.known = {"ns": _SPACE}
        self.is_deleted = False

    def hear(self) -> None:
        """Hear that it is deleted: its name is gone."""
        self.is_deleted = True
        self.known = {}

    def by_id(self, namespace_id: str) -> Namespace | None:
        """Return it, also when it is deleted."""
        assert namespace_id in (_SPACE.id, ""), f"expected one namespace, found {namespace_id}"
        return replace(_SPACE, state=int(_DELETED)) if self.is_deleted else _SPACE

    def records(self) -> list[dict[str, object]]:
        """Return the Avro fields that count."""
        state = int(_DELETED) if self.is_deleted else 1
        return [{"id": _SPACE.id, "state": state, "home": "ns"}]


class Deletions(Families):
    """The real core; every node sweeps."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted_at: float | None = None

    def complete(self, node: Node) -> None:
        """Let a node know its namespaces, and sweep."""
        heard = Heard()
        node.namespaces = node.outside.namespaces = heard
        node.spawn(self._hear(node, heard))
        node.spawn(Sweeping(heard, node.history).run())  # type: ignore[arg-type]  # a stand-in

    async def _hear(self, node: Node, heard: Heard) -> None:
        delay_s = node.world.rng.uniform(0.0, 5.0)
        while self.deleted_at is None or node.world.loop.time() < self.deleted_at + delay_s:  # noqa: ASYNC110  virtual
            await asyncio.sleep(0.05)
        heard.hear()


async def deletions_under_chaos(world: World) -> None:
    """Start, delete, start again, under faults; then delete the namespace while some start."""
    parts = world.parts
    assert isinstance(parts, Deletions), "expected nodes that sweep"
    world.start(nodes=world.rng.choice((1, 2)))
    faults = ForwardChaos(world)
    faults.furnish()
    running = asyncio.create_task(faults.run(10.0))
    await asyncio.gather(*(_live(world, f"w{n}") for n in range(WORKFLOWS)))
    parts.deleted_at = world.loop.time()
    await asyncio.gather(*(_start(world, f"late{n}") for n in range(WORKFLOWS)))
    await running
    await world.settle()
    async with asyncio.timeout(600):
        while _kept(world) or _left(world):  # noqa: ASYNC110  virtual
            await asyncio.sleep(0.5)
    await quiet(world)
    world.audit()
    assert max(_tally(world, "RunDeleted").values()) == 1
    assert not _kept(world)


async def _live(world: World, workflow_id: str) -> None:
    """Start and delete a workflow some times; a deleted one must not be found."""
    for number in range(world.rng.randrange(1, 4)):
        await _start(world, workflow_id, f"{workflow_id}-{number}")
        if world.rng.random() < 0.3:
            return
        request = service.DeleteWorkflowExecutionRequest(namespace="ns")
        request.workflow_execution.workflow_id = workflow_id
        for _ in range(2):  # terminated, then deleted
            try:
                await world.ask(
                    workflow_id,
                    "DeleteWorkflowExecution",
                    request.SerializeToString(),
                    timeout_s=600,
                )
            except ServiceError as refusal:
                _expect_not_found(refusal)


async def _start(world: World, workflow_id: str, request_id: str = "") -> None:
    request = service.StartWorkflowExecutionRequest.FromString(
        start_request(workflow_id, "listener")
    )
    request.request_id = request_id or f"start-{workflow_id}"
    try:
        await world.ask(
            workflow_id, "StartWorkflowExecution", request.SerializeToString(), timeout_s=600
        )
    except ServiceError as refusal:
        _expect_not_found(refusal)  # the namespace is gone


def _expect_not_found(refusal: ServiceError) -> None:
    assert refusal.code is Code.NOT_FOUND, f"expected NOT_FOUND, found {refusal!r}"


def _tally(world: World, name: str) -> Tally[str]:
    """Return how often a private fact stands in the logs, by run."""
    found: Tally[str] = Tally()
    for number in range(world.partitions):
        for _, is_claim, fields in audit.accepted(world.kafka.log(EVENTS, number)):
            for change in () if is_claim else fields["changes"]:
                names = [fact.get("name") for _, fact in change["facts"]]
                found[change["run_id"]] += names.count(name)
    return found


def _kept(world: World) -> Tally[str]:
    """Return the runs that were begun and not deleted."""
    return _tally(world, "RunOpened") - _tally(world, "RunDeleted")


def _left(world: World) -> list[bytes]:
    """Return the rows that owners have of runs."""
    return [
        key
        for node in world.nodes
        for number, disk in node.disks.items()
        if node.is_alive and node.history.serves(number)
        for key in disk.keys
        if key[:1] in (b"c", b"d", b"e", b"g", b"h", b"q", b"r")
    ]
