"""A world under one seed: Kafka, a group, nodes with the production engine, clients, an auditor.

    async def story(world):
        world.start(nodes=2)
        await world.load(clients=10, asks=20)      # or: await world.ask("w1", "Add", b"1")
        world.crash(world.nodes[0])
        await world.settle()
        world.audit()

    run_world(seed, story)                          # prints the seed and the log when it fails

What is not a stand-in: everything under `streams/log`, `streams/clock.py`, and the accept rule's
records. Stand-ins: clocks, randomness, Kafka (`kafka.py`), disks (`stores.py`), the group's
consumer (`group.py`). To run the real core, or matching and the gateway, give `World` other
`Parts`: a machine factory, a parse function, and `furnish(node)`, which builds what a node has
beside its engine (it returns the Performer). `BELONGS_TO` makes their tasks die with their node.

Faults are methods (`crash`, `restart`, `rebalance`, `foreign_claim`, `tear`, ...), or chances set
on a node's `events`, `admin`, `readers` and `consumer`; `chaos.py` draws them from the seed.
"""

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from schemas.codec import COMMAND
from schemas.errors import Internal, NotTheOwner, OutcomeUnknown, ServiceError
from schemas.ids import workflow_key, workflow_partition
from streams.log.clients import Outgoing
from streams.log.folded import MachineFactory
from streams.log.node import HistoryNode
from streams.log.outbox import Performer
from streams.log.outside import Outside
from streams.log.ports import Store
from streams.log.records import Claim, encode_claim
from streams.log.settings import EngineSettings
from tests.simulation import audit
from tests.simulation.clockwork import BELONGS_TO, Clockwork, SimClock, run
from tests.simulation.group import Group, SimConsumer
from tests.simulation.kafka import Kafka, SimAdmin, SimProducer, SimReaders
from tests.simulation.stores import Disk, SimStore
from tests.support import log_toy
from topology.decision import Namespace
from topology.effects import Effect

EVENTS, INTERNAL, OUTSIDE = "events", "commands-internal", "commands"


class SimRandom:
    """Randomness from the world's seed; implements `ports.Random`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def bytes(self, count: int) -> bytes:
        """Return random bytes."""
        return self._rng.randbytes(count)

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return self._rng.random()


class SimNamespaces:
    """One namespace, `ns`; others by test."""

    def __init__(self) -> None:
        self.position = 10
        self.known: dict[str, Namespace] = {"ns": log_toy.NAMESPACE}
        self.later: dict[str, Namespace] = {}
        """Known once `namespaces` is read to its end."""
        self.reads = 0

    def by_name(self, name: str) -> Namespace | None:
        """Return a namespace."""
        return self.known.get(name)

    def by_id(self, namespace_id: str) -> Namespace | None:
        """Return the namespace of an id."""
        return next((one for one in self.known.values() if one.id == namespace_id), None)

    async def read_to_end(self) -> None:
        """Read what is there now."""
        await asyncio.sleep(0.002)
        self.reads += 1
        self.known.update(self.later)

    async def wait_for(self, position: int) -> None:
        """Wait until it is read up to a position."""
        await asyncio.sleep(0.002)
        self.position = max(position, self.position)


class SimOwners:
    """The projection of `owners`."""

    def __init__(self, entries: dict[int, int]) -> None:
        self._entries = entries

    def highest_epoch(self, role: str, partition: int) -> int:
        """Return the highest epoch."""
        del role
        return self._entries.get(partition, 0)

    async def claim_written(
        self, role: str, partition: int, epoch: int, incarnation: bytes
    ) -> None:
        """Write an entry."""
        del role, incarnation
        await asyncio.sleep(0.001)
        self._entries[partition] = max(epoch, self._entries.get(partition, 0))


class ToyPerformer:
    """Performs the toy's effects, and notes what it did."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self.fails = 0.0
        self.is_instant = False

    def perform(self, partition: int, effect: Effect) -> Awaitable[None] | None:
        """Perform an effect."""
        self._node.before_perform()
        if not self._node.is_alive:
            return None
        if self.is_instant:
            self._node.world.performed.append((partition, effect))
            return None
        return self._perform(partition, effect)

    async def _perform(self, partition: int, effect: Effect) -> None:
        world = self._node.world
        await world.kafka.pause((0.0005, 0.01))
        if world.rng.random() < self.fails:
            raise OutcomeUnknown("the effect's append is not acknowledged")
        world.performed.append((partition, effect))


class Parts:
    """What a world is made of beside the engine; the toy's by default."""

    make_machine: MachineFactory = staticmethod(log_toy.Toy)
    parse = staticmethod(log_toy.parse)
    parse_client = staticmethod(log_toy.parse_client)

    def furnish(self, node: "Node") -> Performer:
        """Build what a node has beside its engine; return its performer."""
        return ToyPerformer(node)

    def make_owners(self, node: "Node") -> SimOwners:
        """Build a node's projection of `owners`."""
        return SimOwners(node.world.owners)

    def complete(self, node: "Node") -> None:
        """Build what a node has in front of its engine: nothing."""


class Node:
    """One process: the production engine on stand-ins. It dies at a crash and is never revived."""

    def __init__(self, world: "World", name: str, disks: dict[int, Disk]) -> None:
        self.world = world
        self.name = name
        self.disks = disks
        self.is_alive = True
        self.faults: list[str] = []
        self.before_perform: Callable[[], object] = lambda: None
        self.before_write: Callable[[], object] = lambda: None
        self.clock = SimClock(world.loop)
        self.events = SimProducer(world.kafka, EVENTS)
        self.commands = SimProducer(world.kafka, INTERNAL)
        self.forwards = SimProducer(world.kafka, INTERNAL)
        self.admin = SimAdmin(world.kafka)
        self.readers = SimReaders(world.kafka, EVENTS)
        self.namespaces = SimNamespaces()
        for disk in disks.values():
            disk.is_open = False
        self.context = contextvars.copy_context()
        self.context.run(BELONGS_TO.set, self)
        self.performer = world.parts.furnish(self)
        self.owners = world.parts.make_owners(self)
        self.outside = self._outside()
        self.history = HistoryNode(self.outside)
        self.consumer = SimConsumer(self)
        self.history.read_commands_through(self.consumer)
        world.parts.complete(self)

    def _outside(self) -> Outside:
        world = self.world
        return Outside(
            partitions=world.partitions,
            events=self.events,
            commands=self.forwards,
            admin=self.admin,
            readers=self.readers,
            open_store=self._open_store,
            make_machine=world.parts.make_machine,
            clock=self.clock,
            random=SimRandom(world.rng),
            namespaces=self.namespaces,
            owners=self.owners,
            performer=self.performer,
            replies=world,
            parse=world.parts.parse,
            parse_client=world.parts.parse_client,
            settings=world.settings,
            on_fault=self._fault,
        )

    def _open_store(self, partition: int) -> Store:
        disk = self.disks.setdefault(partition, Disk())
        return SimStore(disk, lambda: self.is_alive, lambda: self.before_write())  # noqa: PLW0108  set later

    def _fault(self, sentence: str) -> None:
        self.faults.append(sentence)
        if not self.world.expects_faults:
            raise AssertionError(f"{self.name} stopped: {sentence}")

    def spawn(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task that dies with this node."""
        return self.world.loop.create_task(coro, context=self.context)

    def die(self) -> None:
        """Stop at once: nothing more is written or sent."""
        self.is_alive = False
        self.events.is_alive = self.commands.is_alive = self.forwards.is_alive = False
        for task in list(self.world.loop.tasks[self]):
            task.cancel()


class World:
    """Everything, under one seed."""

    def __init__(
        self,
        seed: int,
        loop: Clockwork,
        *,
        partitions: int = 2,
        settings: EngineSettings | None = None,
        parts: Parts | None = None,
    ) -> None:
        self.seed = seed
        self.loop = loop
        self.rng = random.Random(seed)
        self.partitions = partitions
        self.settings = settings or EngineSettings(
            append_timeout_s=3.0, flight_timeout_s=6.0, check_replay=True
        )
        self.parts = parts or Parts()
        self.kafka = Kafka(self.rng)
        self.group = Group(self)
        self.nodes: list[Node] = []
        self.owners: dict[int, int] = {}
        self.performed: list[tuple[int, Effect]] = []
        self.replies: list[Outgoing] = []
        self.journal = audit.Journal()
        self.expects_faults = False
        self.calls_lost = 0.0
        """The chance that a call between nodes is lost, on its way there, and on its way back."""
        self._names = 0

    def send(self, outgoing: Outgoing) -> None:
        """Take a reply to a Kafka client."""
        self.replies.append(outgoing)

    # -- nodes

    def add_node(self, disks: dict[int, Disk] | None = None) -> Node:
        """Start a process."""
        self._names += 1
        node = Node(self, f"node-{self._names}", {} if disks is None else disks)
        self.nodes.append(node)
        node.spawn(node.history.start())
        node.consumer.start()
        return node

    def start(self, nodes: int = 1) -> None:
        """Start processes and let the group assign."""
        for _ in range(nodes):
            self.add_node()
        self.group.rebalance()

    def crash(self, node: Node) -> None:
        """Kill a process; its appends that were sent may still arrive."""
        node.die()
        self.nodes.remove(node)

    def restart(self, node: Node) -> Node:
        """Kill a process and start it again on its disks."""
        self.crash(node)
        again = self.add_node(node.disks)
        self.group.rebalance()
        return again

    # -- clients

    async def ask(
        self, workflow_id: str, method: str, request: bytes = b"0", *, timeout_s: float = 120.0
    ) -> bytes:
        """Ask as a frontend does: append, park, repeat under the same command id (C2)."""
        command_id = self.rng.randbytes(16)
        entry = self.journal.asked(command_id, workflow_id, method)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._ask_until_answered(command_id, workflow_id, method, request)
        except TimeoutError:
            entry.is_unknown = True
            raise
        except Internal:
            assert method.startswith("Break"), f"{method} met a bug"
            entry.answer = b"a bug"  # recorded as poison (L13)
            raise
        except ServiceError as error:
            entry.refused = str(error)
            raise
        entry.answer = answer
        return answer

    async def _ask_until_answered(
        self, command_id: bytes, workflow_id: str, method: str, request: bytes
    ) -> bytes:
        partition = workflow_partition("ns", workflow_id, self.partitions)
        while True:
            try:
                node = self.owner_of(partition)
                async with asyncio.timeout(8.0):
                    return await self.ask_once(node, command_id, workflow_id, method, request)
            except (NotTheOwner, OutcomeUnknown, TimeoutError):
                await asyncio.sleep(self.rng.uniform(0.01, 0.3))

    async def ask_once(
        self, node: Node, command_id: bytes, workflow_id: str, method: str, request: bytes
    ) -> bytes:
        """Append a command and wait for its answer."""
        partition = workflow_partition("ns", workflow_id, self.partitions)
        origin = node.history.origin(partition)
        parked = node.history.park(partition, command_id)
        value = command(workflow_id, method, request, command_id=command_id, origin=origin)
        key = workflow_key("ns", workflow_id)
        await node.commands.append(partition, [(key, value)])
        return await parked

    def owner_of(self, partition: int) -> Node:
        """Return the node that serves a partition; raises NotTheOwner."""
        for node in self.nodes:
            if node.history.serves(partition):
                return node
        raise NotTheOwner(f"nobody serves {partition}")

    async def load(self, *, clients: int, asks: int, methods: str = "Add Add Add Refuse") -> None:
        """Let clients ask, each one after the other."""
        await asyncio.gather(*(self._client(n, asks, methods.split()) for n in range(clients)))

    async def _client(self, number: int, asks: int, methods: list[str]) -> None:
        for _ in range(asks):
            name = f"w{self.rng.randrange(max(2, number))}"
            request = str(self.rng.randrange(1, 3)).encode()
            try:
                await self.ask(name, self.rng.choice(methods), request)
            except ServiceError:
                await asyncio.sleep(0.001)
            if self.rng.random() < 0.2:
                await asyncio.sleep(self.rng.uniform(0, 0.05))

    # -- faults

    def foreign_claim(self, partition: int) -> None:
        """Somebody else claims a partition, just as its owner would have to."""
        log = self.kafka.log(EVENTS, partition)
        seq, epoch = audit.tip(log)
        claim = Claim(epoch + 1, b"stranger", seq + 1, 1, self.partitions, {}, {}, "x", "", 0)
        self.kafka.write(EVENTS, partition, [(None, encode_claim(claim))])

    def stray(self, partition: int) -> None:
        """A zombie's record appears that everybody ignores."""
        claim = Claim(0, b"zombie!!", 1, 1, self.partitions, {}, {}, "x", "", 0)
        self.kafka.write(EVENTS, partition, [(None, encode_claim(claim))])

    # -- the end

    async def settle(self, *, timeout_s: float = 300.0) -> None:
        """Heal everything, assign once more, and wait until it is quiet."""
        for node in self.nodes:
            for producer in (node.events, node.forwards):
                producer.lost_acks = producer.refused = producer.slow = 0.0
            node.commands.slow = node.commands.lost_acks = 0.0
            node.admin.failing = node.readers.holes = 0.0
            if isinstance(node.performer, ToyPerformer):
                node.performer.fails = 0.0
        self.group.heal()
        await self.quiet(timeout_s=timeout_s)

    async def quiet(self, *, timeout_s: float = 60.0) -> None:
        """Wait until all partitions are served and all is performed."""
        await self.until(self._is_settled, timeout_s=timeout_s)

    async def until(self, is_so: Callable[[], bool], *, timeout_s: float = 300.0) -> None:
        """Wait until something is so; virtual time is free."""
        async with asyncio.timeout(timeout_s):
            while not is_so():  # noqa: ASYNC110  a stand-in tells nobody
                await asyncio.sleep(0.01)

    def _is_settled(self) -> bool:
        return all(
            any(node.history.serves(number) and node.history.is_idle(number) for node in self.nodes)
            for number in range(self.partitions)
        )

    def audit(self) -> None:
        """Compare the log, the journal and the stores."""
        audit.audit(self)


def command(
    workflow_id: str,
    method: str,
    request: bytes,
    *,
    command_id: bytes = b"",
    origin: tuple[int, bytes] | None = None,
    namespace: str = "ns",
    namespaces_position: int = 0,
) -> bytes:
    """Return the bytes of a gRPC command."""
    return COMMAND.encode(
        {
            "command_id": command_id,
            "namespace": namespace,
            "workflow_id": workflow_id,
            "identity": "",
            "request_id": "",
            "principal": None,
            "reply_topic": None,
            "origin": None
            if origin is None
            else {
                "epoch": origin[0],
                "incarnation": origin[1],
                "namespaces_position": namespaces_position,
                "asked_at": 0,
            },
            "body": ("millrace.GrpcRequest", {"method": method, "request": request}),
        }
    )


Story = Callable[[World], Coroutine[Any, Any, None]]


def run_world(seed: int, story: Story, **more: Any) -> World:
    """Run a story in a world of its own; a failure prints the seed and the log."""
    made: list[World] = []

    async def tell() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clockwork)
        world = World(seed, loop, **more)
        made.append(world)
        await story(world)
        for node in list(world.nodes):
            node.die()

    try:
        loop = run(tell)
    except BaseException:
        print(f"\nseed {seed}")  # noqa: T201  a failing seed prints itself
        print(audit.compact(made[0]) if made else "")  # noqa: T201
        raise
    assert loop.failures == [], loop.failures
    return made[0]
