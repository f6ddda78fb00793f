"""Faults drawn from the seed while clients ask: everything at once, then peace and an audit."""

import asyncio
from collections.abc import Callable

from tests.simulation.world import Node, ToyPerformer, World

METHODS = "Add Add Add Add Refuse Later Offer Beat Break BreakLater"


class Chaos:
    """Draws faults for a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self.told: list[str] = []

    def furnish(self) -> None:
        """Set the chances of small faults on all nodes."""
        for node in self._world.nodes:
            self._furnish(node)

    async def run(self, seconds: float) -> None:
        """Draw a fault now and then."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(self._rng.uniform(0.05, 2.0))
            fault = self._rng.choice(self._faults())
            self.told.append(f"{loop.time():.3f} {fault.__name__}")
            fault()
            self.furnish()

    def _faults(self) -> list[Callable[[], object]]:
        return [
            self.crash,
            self.restart,
            self.rebalance,
            self.rebalance_late,
            self.same_generation,
            self.foreign_claim,
            self.stray,
            self.join,
            self.outage,
            self.suspend,
            self.step_clock,
        ]

    def crash(self) -> None:
        """Kill a node, start it again somewhat later."""
        node = self._node()
        self._world.crash(node)
        self._world.loop.call_later(self._rng.uniform(0.1, 3.0), self._revive, node)

    def restart(self) -> None:
        """Kill a node and start it at once."""
        self._world.restart(self._node())

    def rebalance(self) -> None:
        """Assign anew under the next generation."""
        self._world.group.rebalance(shift=self._rng.randrange(2))

    def rebalance_late(self) -> None:
        """Assign anew; some hear of it late and go on meanwhile."""
        shift = self._rng.randrange(2)
        self._world.group.rebalance(step=self._rng.choice((1, 2)), shift=shift, late=0.5)

    def same_generation(self) -> None:
        """Assign the same generation twice."""
        self._world.group.rebalance(step=0)

    def foreign_claim(self) -> None:
        """A stranger claims."""
        self._world.foreign_claim(self._partition())

    def stray(self) -> None:
        """A record that nobody accepts."""
        self._world.stray(self._partition())

    def join(self) -> None:
        """A third node joins."""
        if len(self._world.nodes) < 3:
            self._world.add_node()
            self._world.group.rebalance()

    def outage(self) -> None:
        """Kafka is away for a while."""
        self._world.kafka.is_down = True
        seconds = self._rng.uniform(0.1, 5.0)
        self._world.loop.call_later(seconds, self._back)

    def _back(self) -> None:
        self._world.kafka.is_down = False

    def suspend(self) -> None:
        """A machine sleeps: its monotonic clock falls behind."""
        self._node().clock.suspended_s += self._rng.uniform(0.1, 10.0)

    def step_clock(self) -> None:
        """A wall clock is set."""
        self._node().clock.wall_ahead_s += self._rng.uniform(-20.0, 20.0)

    # -- inside

    def _node(self) -> Node:
        if not self._world.nodes:
            self._world.add_node()
        return self._rng.choice(self._world.nodes)

    def _partition(self) -> int:
        return self._rng.randrange(self._world.partitions)

    def _revive(self, node: Node) -> None:
        self._world.add_node(node.disks)
        self._world.group.rebalance()

    def _furnish(self, node: Node) -> None:
        node.events.lost_acks = node.events.refused = 0.01
        node.events.slow = 0.01
        node.commands.slow = node.commands.lost_acks = 0.02
        node.admin.failing = 0.02
        node.readers.holes = 0.05
        consumer = node.consumer
        consumer.dropped = consumer.repeated = consumer.rewound = 0.05
        if isinstance(node.performer, ToyPerformer):
            node.performer.fails = 0.05


async def chaos(world: World) -> None:
    """Ask under faults, then audit."""
    world.start(nodes=world.rng.choice((1, 2)))
    faults = Chaos(world)
    faults.furnish()
    running = asyncio.create_task(faults.run(12.0))
    await world.load(clients=6, asks=12, methods=METHODS)
    await running
    await world.settle()
    world.audit()
