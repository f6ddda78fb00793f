"""Matching in its consumer group, on a broker, with `owners` and stores on disk; history is a toy.

Nothing here is a stand-in but history: topics, producers, claims, batches and rows are real.
"""

import asyncio
import time
from pathlib import Path

from streams.agents.matching import build_matching
from streams.app import GroupSettings
from streams.calls.owners import Identity, Owners
from streams.kafka.admin import KafkaAdmin
from streams.kafka.creation import prepare_topics
from streams.kafka.producer import Producers
from streams.kafka.whole_topic import Origin
from streams.matching.node import MatchingNode
from streams.matching.ports import MatchingPorts
from streams.matching.settings import MatchingSettings
from streams.tables import RocksStores
from tests.streams.matching.world import NAMESPACE, History, answer_to, offer_of
from tests.support.waiting import until
from topology.decision import Ask
from topology.topics import TOPICS, PartitionCounts

PARTITIONS = 2


class Clock:
    """The wall clock."""

    def now(self) -> int:
        """Return ns."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return s."""
        return time.monotonic()


class Random:
    """Always the same."""

    def bytes(self, count: int) -> bytes:
        """Return bytes."""
        return bytes(count)

    def fraction(self) -> float:
        """Return a number."""
        return 0.5


class Starter(History):
    """The toy history as matching asks it."""

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide."""
        assert partition == 0
        return self.decide(ask)


class Process:
    """One life of the matching role."""

    def __init__(self, admin: KafkaAdmin, address: str, folder: Path, starter: Starter) -> None:
        self._crashes: list[BaseException] = []
        self._producers = Producers(address)
        identity = Identity(
            node="node",
            address="localhost:1",
            partitions={"history": PARTITIONS, "matching": PARTITIONS},
            member_id=lambda _: "",
        )
        origin = Origin(address, admin.end, self._crashes.append)
        clock = Clock()
        self._owners = Owners(
            origin, self._producers.owners, identity, clock=clock, random=Random()
        )
        ports = MatchingPorts(
            starter=starter,
            tasks=self._producers.tasks,
            admin=admin,
            stores=RocksStores(folder / "stores").open,
            claims=self._owners,
            clock=clock,
        )
        self.node = MatchingNode(ports, MatchingSettings(partitions=PARTITIONS))
        self._app = build_matching(
            GroupSettings(address, folder, PARTITIONS, group_prefix="on-a-broker-"),
            self.node,
            on_crash=self._crashes.append,
        )
        self._app.watch(admin.stable_end)
        self.node.topic = self._app

    async def __aenter__(self) -> MatchingNode:
        await asyncio.gather(self._producers.start(), self.node.start(), self._app.start())
        return self.node

    async def __aexit__(self, *_: object) -> None:
        await self.node.stop()
        await self._app.stop()
        self._owners.stop()
        await self._producers.stop()
        assert self._crashes == []


async def _poll(node: MatchingNode, poll_id: str, *, queue: str, timeout_s: float = 30.0) -> bytes:
    return await node.poll(
        NAMESPACE, queue, "workflow", poll_id=poll_id, identity="me", timeout_s=timeout_s
    )


async def _without_topics(admin: KafkaAdmin) -> None:
    """Delete what other tests left under the names of our topics: the broker is shared."""
    ours = {topic.name for topic in TOPICS}

    def there() -> list[str]:
        return sorted(ours & set(admin.client.list_topics(timeout=10).topics))

    if found := await asyncio.to_thread(there):
        for deleted in admin.client.delete_topics(found).values():
            await asyncio.wrap_future(deleted)
    await until("no topic of ours", lambda: asyncio.to_thread(lambda: not there()))


async def test_m1_tasks_survive_a_restart(admin: KafkaAdmin, address: str, tmp_path: Path) -> None:
    """Offered in one life, polled in the next; sync matches in both; nothing is left."""
    await _without_topics(admin)
    await prepare_topics(admin, PartitionCounts(PARTITIONS, PARTITIONS), replication=1)
    starter = Starter()
    offers = [offer_of(number, queue=f"queue-{number % 5}") for number in range(100)]
    for offer in offers:
        starter.schedule(offer)
    async with Process(admin, address, tmp_path, starter) as node:
        first = asyncio.create_task(_poll(node, "first", queue="queue-0"))
        await until("a waiting poll", lambda: any(one.queues for one in node._served.values()))
        await asyncio.gather(*(node.offer(0, offer) for offer in offers))
        assert (await first).startswith(answer_to(offers[0]))
    async with Process(admin, address, tmp_path, starter) as node:
        for number, offer in list(enumerate(offers))[1:]:
            answer = await _poll(node, f"poll-{number}", queue=offer.queue)
            assert answer.startswith(answer_to(offer))
        assert sorted(starter.starts) == sorted(starter.started)
        assert await _poll(node, "last", queue="queue-0", timeout_s=1.0) == b""
