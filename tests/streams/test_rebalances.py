"""Many rebalances under load: what the group drops and repeats, the guard of L10 makes good.

Three nodes join and leave one group while commands are appended. Their state moves with the
partitions (here: one dict of positions), as a fold of `events` would make it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from streams.app import GroupApp, GroupSettings, build_app
from streams.kafka.producer import KafkaProducer
from streams.log.ports import CommandBatch
from tests.support.waiting import until

MakeTopic = Callable[..., Awaitable[str]]
PARTITIONS = 4
COUNT = 6_000


class Group:
    """What all nodes together have taken, and where they are."""

    def __init__(self) -> None:
        self.positions = dict.fromkeys(range(PARTITIONS), 0)
        self.taken: dict[int, list[bytes | None]] = {p: [] for p in range(PARTITIONS)}
        self.refused_count = 0

    @property
    def taken_count(self) -> int:
        """How many commands were taken."""
        return sum(map(len, self.taken.values()))


class Node:
    """A node: it takes what fits, and seeks back once for what does not."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.app: GroupApp | None = None
        self.actives: set[int] = set()

    def wants(self, _topic: str, partition: int) -> bool:
        """Want what is assigned."""
        return partition in self.actives

    def position(self, _topic: str, partition: int) -> int:
        """Return where the state is."""
        return self.group.positions[partition]

    def assigned(self, actives: set[int], _standbys: set[int], _generation: int) -> None:
        """Take note."""
        self.actives = actives

    def submit(self, batch: CommandBatch) -> None:
        """Take a batch that fits."""
        group, expected = self.group, self.group.positions[batch.partition]
        assert self.app is not None
        if batch.partition not in self.actives:
            return
        if batch.start > expected:
            group.refused_count += 1
            self.app.seek(batch.topic, batch.partition, expected)
            return
        fresh = [record.value for record in batch.records if record.offset >= expected]
        group.taken[batch.partition] += fresh
        group.positions[batch.partition] = max(expected, batch.end)


class Nodes:
    """Nodes of one group that come and go."""

    def __init__(self, address: str, topic: str, folder: Path) -> None:
        self._address = address
        self._topic = topic
        self._folder = folder
        self._running: list[Node] = []
        self._crashes: list[BaseException] = []
        self.group = Group()

    async def come(self, name: str) -> None:
        """Start a node."""
        node = Node(self.group)
        settings = GroupSettings(
            self._address,
            self._folder / name,
            PARTITIONS,
            group_prefix=self._topic,
            heartbeat_interval_s=0.1,
        )
        node.app = build_app("history", settings, node, on_crash=self._crashes.append)
        node.app.agent("take", (self._topic,), node.submit)
        node.app.on_assigned(self._topic, node.assigned)
        self._running.append(node)
        await node.app.start()

    async def go(self) -> None:
        """Stop the oldest node."""
        node = self._running.pop(0)
        assert node.app is not None
        await node.app.stop()

    async def end(self) -> None:
        """Stop all of them; none has crashed."""
        while self._running:
            await self.go()
        assert self._crashes == []


@pytest.mark.slow
async def test_l10_every_command_is_taken_once_over_many_rebalances(
    address: str, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """L10: in order, each exactly once, and the group never stands still for good."""
    topic = await make_topic(PARTITIONS)
    producer = KafkaProducer(address, name="test")
    nodes = Nodes(address, topic, tmp_path)
    sent: dict[int, list[bytes]] = {p: [] for p in range(PARTITIONS)}

    async def send() -> None:
        for number in range(COUNT):
            partition, value = number % PARTITIONS, b"%d" % number
            sent[partition].append(value)
            await producer.topic(topic).append(partition, [(b"k", value)])

    await nodes.come("n0")
    sending = asyncio.ensure_future(send())
    for number in range(1, 9):
        await nodes.come(f"n{number % 3}-{number}")
        before = nodes.group.taken_count
        await until("progress", lambda: sending.done() or nodes.group.taken_count > before + 50)  # noqa: B023
        if number > 1:
            await nodes.go()
    await sending
    await until("all commands", lambda: nodes.group.taken_count >= COUNT)
    await nodes.end()
    await producer.close()
    assert nodes.group.taken == sent
