"""Calls that come in anywhere: each node is a frontend, and carries what is not its own (C2).

The production `Forward` and `Gateway` on a network that loses calls before and after they took
effect. Each node learns of owners in its own time. A client whose frontend dies never hears.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from schemas.errors import Code, DeadlineExceeded, ServiceError, Unavailable
from schemas.ids import workflow_partition
from streams.calls.asked import Asked, Metadata, asked_of, headers
from streams.calls.forward import Forward, Home, Place
from streams.calls.outcomes import PeerLost, error_of, outcome_of
from streams.calls.owners import Owner
from streams.gateway import Gateway
from streams.metrics import Metrics
from tests.simulation.chaos import Chaos
from tests.simulation.world import Node, Parts, SimOwners, SimRandom, World
from tests.support.log_toy import NAMESPACE

METHODS = "Add Add Add Add Add Refuse Later Break"
LOST = 0.03
WIRE_S = (0.0002, 0.004)
NEWS_S = (0.001, 1.0)
ASK_TIMEOUT_S = 90.0
HISTORY = "history"

Work = Callable[[], Coroutine[Any, Any, bytes]]


class Entries:
    """The topic `owners`, as all nodes share it."""

    def __init__(self) -> None:
        self.all: list[Owner] = []
        self.readers: list[Projection] = []

    def write(self, entry: Owner) -> None:
        """Append an entry; every node reads it in its own time."""
        self.all.append(entry)
        for reader in self.readers:
            reader.read_later(entry)


class Projection(SimOwners):
    """`owners` as one node knows it: the highest epoch counts, and it hears of it late."""

    def __init__(self, node: Node, entries: Entries) -> None:
        super().__init__(node.world.owners)
        self._node = node
        self._shared = entries
        self._known: dict[tuple[str, int], Owner] = {}
        self._listeners: list[Callable[[Owner], None]] = []
        for entry in entries.all:
            self._take(entry)
        entries.readers.append(self)

    def owner(self, role: str, partition: int) -> Owner | None:
        """Return who owns a partition, as far as it is known here."""
        return self._known.get((role, partition))

    def listen(self, listener: Callable[[Owner], None]) -> None:
        """Call a listener whenever another claim counts."""
        self._listeners.append(listener)

    async def claim_written(
        self, role: str, partition: int, epoch: int, incarnation: bytes
    ) -> None:
        """Write our entry."""
        await super().claim_written(role, partition, epoch, incarnation)
        name = self._node.name
        entry = Owner(role, partition, 1, 1, epoch, incarnation, name, name, name, 0)
        self._shared.write(entry)

    def read_later(self, entry: Owner) -> None:
        """Read an entry after a while."""
        self._node.spawn(self._read(entry))

    async def _read(self, entry: Owner) -> None:
        await self._node.world.kafka.pause(NEWS_S)
        self._take(entry)

    def _take(self, entry: Owner) -> None:
        known = self._known.get(entry.key)
        if known is None or entry.epoch > known.epoch:
            self._known[entry.key] = entry
            for listener in self._listeners:
                listener(entry)


class Fronts(Parts):
    """Toys behind frontends."""

    def __init__(self) -> None:
        self.entries = Entries()
        self.of: dict[str, Front] = {}

    def make_owners(self, node: Node) -> SimOwners:
        """Build a node's projection of `owners`."""
        return Projection(node, self.entries)

    def complete(self, node: Node) -> None:
        """Build a node's frontend, once its engine is there."""
        self.of[node.name] = Front(node, self)


class Front:
    """The frontend of one node."""

    def __init__(self, node: Node, fronts: Fronts) -> None:
        self.node = node
        random = SimRandom(node.world.rng)
        metrics = Metrics()
        self.gateway = Gateway(
            node.history,
            node.commands,
            node.namespaces,
            clock=node.clock,
            random=random,
            metrics=metrics,
        )
        assert isinstance(node.owners, Projection)
        self.forward = Forward(
            node.owners,
            Network(self, fronts),
            Home(node.name, lambda place: node.history.epoch(place.partition)),
            clock=node.clock,
            random=random,
            metrics=metrics,
        )

    async def served(self, path: str, body: bytes, asked: Asked, timeout_s: float) -> bytes:
        """Serve a call here, as an owner; raises NotTheOwner where we are none."""
        workflow_id, _, request = body.decode().partition(" ")
        gateway = self.gateway.under(asked)
        if path == "Read":
            return await gateway.read(NAMESPACE, workflow_id, "Read", request, timeout_s=timeout_s)
        return await gateway.ask(
            NAMESPACE, workflow_id, path, request.encode(), timeout_s=timeout_s
        )


class Errand:
    """What a client asks; implements `streams.calls.forward.Errand`."""

    is_wait = False

    def __init__(self, front: Front, path: str, workflow_id: str, request: str) -> None:
        world = front.node.world
        self.path = path
        self.body = f"{workflow_id} {request}".encode()
        self.asked = Asked(world.rng.randbytes(16))
        self._front = front
        self._partition = workflow_partition("ns", workflow_id, world.partitions)

    def place(self) -> Place | None:
        """Where it belongs."""
        return Place(HISTORY, self._partition)

    async def here(self) -> bytes:
        """Serve it here."""
        return await self._front.served(self.path, self.body, self.asked, ASK_TIMEOUT_S)

    def metadata(self) -> Metadata:
        """What goes along."""
        return headers(self.asked)

    def heard(self, told: Metadata) -> None:
        """Nothing comes along."""

    def ended(self) -> bytes | None:
        """It is no long poll."""
        return None

    def left(self, place: Place) -> None:
        """Nothing to give back."""


class Network:
    """The ways from one node to the others; implements `streams.calls.forward.Peers`."""

    def __init__(self, front: Front, fronts: Fronts) -> None:
        self._front = front
        self._fronts = fronts

    def ask(
        self, address: str, path: str, body: bytes, *, metadata: Metadata, timeout_s: float
    ) -> "Carried":
        """Begin a call."""
        target = self._fronts.of[address]
        asked = asked_of(metadata)
        return Carried(
            self._front.node,
            target.node,
            lambda: target.served(path, body, asked, timeout_s),
            timeout_s,
        )


class Carried:
    """A call to another node; implements `streams.calls.forward.Pending`."""

    told: Metadata = ()

    def __init__(self, caller: Node, target: Node, work: Work, timeout_s: float) -> None:
        self._world = caller.world
        self._target = target
        self._future: asyncio.Future[bytes] = self._world.loop.create_future()
        self._serving: asyncio.Task[bytes] | None = None
        self._carrying = caller.spawn(self._carry(work))
        self._timer = self._world.loop.call_later(
            timeout_s, self._settle, DeadlineExceeded("no answer in time")
        )

    async def answer(self) -> bytes:
        """Return the answer."""
        try:
            return await self._future
        except asyncio.CancelledError:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Cancel it, there too."""
        self._future.cancel()
        self._timer.cancel()
        self._carrying.cancel()
        if self._serving is not None:
            self._serving.cancel()

    async def _carry(self, work: Work) -> None:
        world = self._world
        await world.kafka.pause(WIRE_S)
        if not self._target.is_alive or world.rng.random() < world.calls_lost:
            self._settle(PeerLost("lost on the way"))
            return
        self._serving = self._target.spawn(work())
        outcome = await _outcome(self._serving)
        await world.kafka.pause(WIRE_S)
        is_lost = world.rng.random() < world.calls_lost
        self._settle(PeerLost("lost on the way back") if is_lost else outcome)

    def _settle(self, outcome: bytes | ServiceError) -> None:
        self._timer.cancel()
        if self._future.done():
            return
        if isinstance(outcome, bytes):
            self._future.set_result(outcome)
        else:
            self._future.set_exception(outcome)
            self._future.exception()  # looked at: nobody may be waiting yet


async def _outcome(serving: asyncio.Task[bytes]) -> bytes | ServiceError:
    """Return what came of a call, as it stands on the wire."""
    await asyncio.wait([serving])
    if serving.cancelled():
        return PeerLost("its node died")
    error = serving.exception()
    if error is None:
        return serving.result()
    assert isinstance(error, ServiceError), f"expected an answer, found {error!r}"
    status = b"" if error.detail is None else error.status()
    return error_of(int(error.code), error.message, outcome=outcome_of(error), status=status)


class Clients:
    """Clients that ask any node, and check what they are told."""

    def __init__(self, world: World) -> None:
        assert isinstance(world.parts, Fronts)
        self._world = world
        self._fronts = world.parts
        self._added: dict[str, int] = defaultdict(int)
        """What answered adds have come to, by workflow id."""

    async def run(self, *, clients: int, asks: int) -> None:
        """Ask, each client one thing after the other."""
        await asyncio.gather(*(self._client(number, asks) for number in range(clients)))

    async def _client(self, number: int, asks: int) -> None:
        rng = self._world.rng
        for _ in range(asks):
            workflow_id = f"w{rng.randrange(max(2, number))}"
            front = self._front()
            if front is None:
                await asyncio.sleep(0.1)
            elif rng.random() < 0.3:
                await self._read(front, workflow_id)
            else:
                await self._ask(front, workflow_id, rng.choice(METHODS.split()))

    def _front(self) -> Front | None:
        nodes = self._world.nodes
        return self._fronts.of[self._world.rng.choice(nodes).name] if nodes else None

    async def _ask(self, front: Front, workflow_id: str, method: str) -> None:
        amount = self._world.rng.randrange(1, 3)
        errand = Errand(front, method, workflow_id, str(amount))
        entry = self._world.journal.asked(errand.asked.id, workflow_id, method)
        try:
            entry.answer = await _served(front, errand)
        except (DeadlineExceeded, Unavailable, asyncio.CancelledError):
            entry.is_unknown = True
        except ServiceError as error:
            if error.code is Code.INTERNAL:
                assert method.startswith("Break"), f"{method} met a bug"
                entry.answer = b"a bug"  # recorded as poison (L13)
            else:
                entry.refused = str(error)
        else:
            self._added[workflow_id] += amount if method == "Add" else 0

    async def _read(self, front: Front, workflow_id: str) -> None:
        """R1: a read sees all that was answered before it was asked, wherever it was asked."""
        least = self._added[workflow_id]
        try:
            total = await _served(front, Errand(front, "Read", workflow_id, workflow_id))
        except (DeadlineExceeded, Unavailable, asyncio.CancelledError):
            return
        except ServiceError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            total = b"0"
        assert int(total) >= least, f"{workflow_id}: a read found {total!r}, {least} were answered"


def _served(front: Front, errand: Errand) -> Awaitable[bytes]:
    """Serve on a node; cancelled when it dies."""
    return front.node.spawn(front.forward.serve(errand, ASK_TIMEOUT_S))


async def calls_under_chaos(world: World) -> None:
    """Ask any node under faults, then audit."""
    world.start(nodes=world.rng.choice((2, 3)))
    world.calls_lost = LOST
    faults = Chaos(world)
    faults.furnish()
    running = asyncio.create_task(faults.run(12.0))
    await Clients(world).run(clients=6, asks=15)
    await running
    world.calls_lost = 0.0
    await world.settle()
    world.audit()
