"""The consumer group and its consumers, as the engine sees Faust: batches, seeks, rebalances.

It loses batches, hands them over twice and reads again from further back, as Faust does at
rebalances; all by chance from the seed.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from streams.log.ports import CommandBatch

if TYPE_CHECKING:
    from tests.simulation.world import Node, World

TOPICS = ("commands", "commands-internal")


class SimConsumer:
    """Reads the command topics for one node; implements `ports.CommandTopics`."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._positions: dict[tuple[str, int], int] = {}
        self._news = asyncio.Event()
        self.assignment: set[int] = set()
        self.dropped = self.repeated = self.rewound = 0.0
        """Chances of faults, for each batch."""
        self.is_paused = False
        self.tells_end = True
        self.batch_max = 50
        self.delivered: deque[CommandBatch] = deque(maxlen=50)

    def start(self) -> None:
        """Start to read."""
        self._node.spawn(self._drain())

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read on from an offset."""
        self._positions[topic, partition] = offset

    def last_heartbeat(self) -> float:
        """The group is healthy."""
        return self._node.clock.monotonic()

    def assigned(self, partitions: set[int]) -> None:
        """Take an assignment: forget all positions, ask the engine for them."""
        self.assignment = set(partitions)
        self._positions.clear()

    async def _drain(self) -> None:
        kafka = self._node.world.kafka
        while True:
            await kafka.pause((0.0003, 0.003))
            busy = False
            for partition in sorted(self.assignment):
                for topic in TOPICS:
                    if not self.is_paused and self._node.history.wants(topic, partition):
                        busy |= self._poll(topic, partition)
            if not busy:
                await kafka.news()

    def _poll(self, topic: str, partition: int) -> bool:
        world, where = self._node.world, (topic, partition)
        log = world.kafka.log(topic, partition)
        position = self._positions.get(where)
        if position is None:
            position = self._node.history.position(topic, partition)
        if not log.start <= position <= log.end:
            position = log.start  # auto.offset.reset=earliest
        count = world.rng.randrange(1, self.batch_max)
        records = log.read(position, count)
        end = min(position + count, log.end)
        if end == position:
            return False
        self._positions[where] = end
        if records or self.tells_end:
            told = end if self.tells_end else -1
            self._deliver(CommandBatch(topic, partition, position, records, told))
        return True

    def _deliver(self, batch: CommandBatch) -> None:
        rng = self._node.world.rng
        if rng.random() < self.rewound:
            self._positions[batch.topic, batch.partition] = max(0, batch.start - 5)
        if rng.random() < self.dropped:
            return
        self.delivered.append(batch)
        self._node.history.submit(batch)
        if rng.random() < self.repeated:
            self._node.history.submit(rng.choice(self.delivered))


class Group:
    """Who is assigned what."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.generation = 0
        self._rounds = 0

    def rebalance(self, *, step: int = 1, shift: int = 0, late: float = 0.0) -> None:
        """Assign all partitions to the living, under the generation `step` after the last one.

        `late`: the chance for each node to hear of it only seconds later (a zombie meanwhile).
        """
        world = self._world
        self.generation += step
        self._rounds += 1
        nodes = world.nodes
        for index, node in enumerate(nodes):
            actives = {
                number
                for number in range(world.partitions)
                if (number + shift) % len(nodes) == index
            }
            if world.rng.random() < late:
                node.spawn(self._tell_later(node, actives))
            else:
                self._tell(node, actives, self.generation)

    def heal(self) -> None:
        """No more faults; one last assignment that everybody hears of."""
        for node in self._world.nodes:
            consumer = node.consumer
            consumer.dropped = consumer.repeated = consumer.rewound = 0.0
            consumer.is_paused = False
        self.rebalance(step=3)

    async def _tell_later(self, node: "Node", actives: set[int]) -> None:
        generation, rounds = self.generation, self._rounds
        await asyncio.sleep(self._world.rng.uniform(0.5, 5.0))
        if rounds == self._rounds:
            self._tell(node, actives, generation)

    def _tell(self, node: "Node", actives: set[int], generation: int) -> None:
        standbys = set(range(self._world.partitions)) - actives
        node.consumer.assigned(actives)
        node.context.copy().run(node.history.assigned, actives, standbys, generation)
