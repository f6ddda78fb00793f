"""What the overrides of Faust do, on a broker; that they fit is in `test_faust_contract.py`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from schemas.errors import NotTheOwner
from streams.app import GroupApp, GroupSettings, build_app
from streams.faust_batches import BatchConsumerThread
from streams.kafka.admin import KafkaAdmin
from streams.kafka.producer import KafkaProducer
from streams.log.ports import CommandBatch
from tests.streams.conftest import create
from tests.support.kafka_embedded import EmbeddedKafka
from tests.support.waiting import until
from topology.topics import RECORD_BYTES_LIMIT

MakeTopic = Callable[..., Awaitable[str]]
SET = AlterConfigOpType.SET


class Feed:
    """A node without an engine: the guard of L10, and what it was given."""

    def __init__(self) -> None:
        self.expected: dict[tuple[str, int], int] = {}
        self.batches: list[CommandBatch] = []
        self.refused: list[CommandBatch] = []
        self.is_open = True
        self.assignments: list[tuple[set[int], set[int], int]] = []
        self.raises: Exception | None = None
        self.warm: Callable[[], set[int]] | None = None

    def wants(self, topic: str, partition: int) -> bool:
        """Want everything while open."""
        return self.is_open and bool(topic) and partition >= 0

    def position(self, topic: str, partition: int) -> int:
        """Return what the guard expects."""
        if (topic, partition) not in self.expected:
            raise NotTheOwner("not claimed")
        return self.expected[topic, partition]

    def submit(self, batch: CommandBatch) -> None:
        """Take a batch that fits."""
        if self.raises is not None:
            raise self.raises
        expected = self.expected.setdefault((batch.topic, batch.partition), 0)
        if batch.start > expected:
            self.refused.append(batch)
            return
        self.batches.append(batch)
        self.expected[batch.topic, batch.partition] = batch.end

    def assigned(self, actives: set[int], standbys: set[int], generation: int) -> None:
        """Keep an assignment."""
        self.assignments.append((actives, standbys, generation))

    @property
    def values(self) -> list[bytes | None]:
        """What was taken, in order."""
        return [record.value for batch in self.batches for record in batch.records]


class World:
    """A topic of two partitions, and nodes that read it as one group."""

    def __init__(self, address: str, topic: str, folder: Path) -> None:
        self.address = address
        self.topic = topic
        self.folder = folder
        self.crashes: list[BaseException] = []
        self.producer = KafkaProducer(address, name="test")
        self.apps: list[GroupApp] = []

    def node(self, feed: Feed, name: str = "n1", **settings: Any) -> GroupApp:
        """Build a node."""
        group = GroupSettings(
            self.address,
            self.folder / name,
            2,
            group_prefix=f"{self.topic}-",
            heartbeat_interval_s=0.1,
            **settings,
        )
        app = build_app("history", group, feed, on_crash=self.crashes.append, warm=feed.warm)
        app.agent("take", (self.topic,), feed.submit)
        app.on_assigned(self.topic, feed.assigned)
        self.apps.append(app)
        return app

    async def append(self, *values: bytes, partition: int = 0) -> None:
        """Append values, one by one."""
        for value in values:
            await self.producer.topic(self.topic).append(partition, [(b"k", value)])


@pytest.fixture
async def world(address: str, make_topic: MakeTopic, tmp_path: Path) -> AsyncIterator[World]:
    """Yield a world; whatever still runs is stopped."""
    one = World(address, await make_topic(2), tmp_path)
    yield one
    for app in one.apps:
        await app.stop()
    await one.producer.close()


async def test_batches_reach_the_node_in_order(world: World) -> None:
    """From the beginning, whatever came before the join."""
    await world.append(b"a", b"b")
    feed = Feed()
    app = world.node(feed)
    await app.start()
    assert feed.assignments == [({0, 1}, set(), feed.assignments[0][2])]
    await world.append(b"c")
    await until("three values", lambda: feed.values == [b"a", b"b", b"c"])
    first = feed.batches[0]
    assert (first.topic, first.partition, first.start) == (world.topic, 0, 0)
    assert app.positions() == {(world.topic, 0): 3, (world.topic, 1): 0}
    assert world.crashes == []


async def test_l10_a_batch_names_where_its_poll_read(world: World) -> None:
    """L10: the end of the batch before, or where we sought."""
    feed = Feed()
    app = world.node(feed)
    await app.start()
    await world.append(b"a", b"b")
    await until("two values", lambda: feed.values == [b"a", b"b"])
    starts = [batch.start for batch in feed.batches]
    ends = [batch.end for batch in feed.batches]
    assert starts == [0, *ends[:-1]]
    feed.expected[world.topic, 0] = 1
    feed.batches.clear()
    app.seek(world.topic, 0, 1)
    await until("the last again", lambda: feed.values == [b"b"])
    assert feed.batches[0].start == 1


async def test_l10_what_transactions_leave_out_does_not_exist(world: World, address: str) -> None:
    """L10: an aborted record and the markers lie behind a fitting position; read committed."""
    producer = Producer({"bootstrap.servers": address, "transactional.id": world.topic})
    await asyncio.to_thread(producer.init_transactions, 20)
    for value, is_good in ((b"good", True), (b"bad", False), (b"better", True)):
        producer.begin_transaction()
        producer.produce(world.topic, value, b"k", 0)
        end = producer.commit_transaction if is_good else producer.abort_transaction
        await asyncio.to_thread(producer.flush, 10)
        await asyncio.to_thread(end, 20)
    feed = Feed()
    await world.node(feed).start()
    await until("what was committed", lambda: feed.values == [b"good", b"better"])
    await world.append(b"plain")
    await until("the plain one", lambda: feed.values == [b"good", b"better", b"plain"])
    assert feed.refused == []


async def test_v3_a_batch_without_records_tells_the_position(world: World, address: str) -> None:
    """V3, T2: markers at the end of the topic are passed by position; nothing waits for them."""
    producer = Producer({"bootstrap.servers": address, "transactional.id": world.topic})
    await asyncio.to_thread(producer.init_transactions, 20)
    producer.begin_transaction()
    producer.produce(world.topic, b"bad", b"k", 0)
    await asyncio.to_thread(producer.flush, 10)
    await asyncio.to_thread(producer.abort_transaction, 20)
    feed = Feed()
    await world.node(feed).start()
    await until("the end", lambda: feed.batches and feed.batches[-1].end == 2)
    assert (feed.values, feed.batches[0].start) == ([], 0)


async def test_l10_a_dropped_batch_shows_in_the_next(world: World) -> None:
    """L10: whatever Faust drops at a rebalance, the next batch starts too far on."""
    feed = Feed()
    app = world.node(feed)
    await app.start()
    await world.append(b"a")
    await until("the first", lambda: feed.values == [b"a"])
    consumer_of_app: Any = app.faust.consumer
    deliver = consumer_of_app.deliver
    dropped: list[CommandBatch] = []

    def drop(generation: int, batches: list[CommandBatch]) -> None:
        dropped.extend(batches)
        consumer_of_app.deliver = deliver
        deliver(generation - 1, batches)

    consumer_of_app.deliver = drop
    await world.append(b"b", b"c")
    await until("a refusal", lambda: feed.refused)
    assert (dropped[0].start, feed.refused[0].start) == (1, 2)
    app.seek(world.topic, 0, 1)
    await until("everything", lambda: feed.values == [b"a", b"b", b"c"])


async def test_the_position_is_the_nodes_not_the_groups(world: World) -> None:
    """A node that comes again reads from where its state is, not from what was committed."""
    await world.append(b"a", b"b", b"c")
    first = Feed()
    app = world.node(first)
    await app.start()
    await until("all", lambda: len(first.values) == 3)
    await app.stop()
    second = Feed()
    second.expected[world.topic, 0] = 1
    await world.node(second, "n2").start()
    await until("from there on", lambda: second.values == [b"b", b"c"])
    assert second.batches[0].start == 1


async def test_a_partition_that_is_not_wanted_waits(world: World) -> None:
    """Back-pressure: nothing is handed over, and nothing is lost."""
    feed = Feed()
    feed.is_open = False
    app = world.node(feed)
    await app.start()
    await world.append(b"a")
    beat_at = app.last_heartbeat()
    await until("a heartbeat meanwhile", lambda: app.last_heartbeat() > beat_at)
    assert feed.values == []
    feed.is_open = True
    await until("the value", lambda: feed.values == [b"a"])


async def test_many_records_come_in_few_batches(world: World) -> None:
    """Nothing per record in Faust."""
    await world.producer.topic(world.topic).append(0, [(b"k", b"%d" % at) for at in range(5_000)])
    feed = Feed()
    await world.node(feed).start()
    await until("all", lambda: len(feed.values) == 5_000)
    assert feed.values == [b"%d" % at for at in range(5_000)]
    assert len(feed.batches) <= 50


async def test_l5_the_generation_rises_by_one_with_each_rebalance(world: World) -> None:
    """L5: last one + 1 means that nobody else can have had the partition."""
    first, second = Feed(), Feed()
    await world.node(first, "n1").start()
    app = world.node(second, "n2")
    await app.start()
    await until("another generation", lambda: len(first.assignments) == 2)
    assert first.assignments[1][2] == first.assignments[0][2] + 1
    shared = [first.assignments[1][0], second.assignments[-1][0]]
    assert sorted(p for actives in shared for p in actives) == [0, 1]
    await app.stop()
    await until("everything back", lambda: first.assignments[-1][0] == {0, 1})
    assert first.assignments[-1][2] == first.assignments[1][2] + 1


async def test_v4_a_cold_node_gets_its_share_when_it_is_warm(world: World) -> None:
    """V4: it joins as a standby, and asks the group again when it has caught up."""
    first, second = Feed(), Feed()
    warm: set[int] = set()
    second.warm = lambda: warm
    await world.node(first, "n1").start()
    app = world.node(second, "n2")
    await app.start()
    assert second.assignments[-1][:2] == (set(), {0, 1})
    (due,) = app.due
    warm.add(due)
    await app.rejoin()
    await until("its share", lambda: second.assignments[-1][0] == {due})
    await until("the rest", lambda: first.assignments[-1][0] == {0, 1} - {due})


async def test_l14_a_record_of_16_mib_arrives(world: World) -> None:
    """L14: larger than what one fetch asks for, it comes alone."""
    alter = ConfigResource(ResourceType.TOPIC, world.topic)
    size = ConfigEntry("max.message.bytes", str(RECORD_BYTES_LIMIT), incremental_operation=SET)
    alter.add_incremental_config(size)
    client = AdminClient({"bootstrap.servers": world.address})
    await asyncio.wrap_future(client.incremental_alter_configs([alter])[alter])
    feed = Feed()
    await world.node(feed).start()
    await world.append(b"a", bytes(RECORD_BYTES_LIMIT - 1024), b"c")
    await until("all three", lambda: len(feed.values) == 3)


async def test_c7_a_stopped_node_leaves_the_group(world: World) -> None:
    """C7: the other one goes on at once, without waiting for a session to end."""
    first, second = Feed(), Feed()
    one = world.node(first, "n1", session_timeout_s=20.0)
    await one.start()
    await world.node(second, "n2", session_timeout_s=20.0).start()
    await one.stop()
    await until("all partitions", lambda: second.assignments[-1][0] == {0, 1})
    await world.append(b"a")
    await until("the value", lambda: b"a" in second.values)


async def test_v6_the_member_id_is_on_disk_before_the_member_is(world: World) -> None:
    """V6: the broker tells the id first (MEMBER_ID_REQUIRED), and it is kept before the join."""
    app = world.node(Feed())
    await app.start()
    member: Any = app.faust.consumer
    joined = member._thread._ensure_consumer()._coordinator.member_id
    assert (world.folder / "n1" / "member").read_text() == joined == app.member_id


async def test_v6_a_node_evicts_its_former_life(world: World) -> None:
    """V6: a member that died without leaving holds nobody up when its node comes again."""
    dead, alive = Feed(), Feed()
    app = world.node(dead, session_timeout_s=20.0)
    await app.start()
    thread: Any = app.faust.consumer._thread  # type: ignore[attr-defined]
    coordinator = thread._ensure_consumer()._coordinator

    async def leaves_nobody() -> None:
        """Die without a word: no LeaveGroup."""

    coordinator._maybe_leave_group = leaves_nobody
    await app.stop()
    await world.node(alive, session_timeout_s=20.0).start()
    assert alive.assignments[-1][0] == {0, 1}


async def test_a_node_stops_while_kafka_is_away(tmp_path: Path) -> None:
    """It decides nothing without Kafka, and it does not hang either."""
    with EmbeddedKafka(tmp_path / "broker") as kafka:
        admin = KafkaAdmin(kafka.address)
        await create(admin, "away", 2, {})
        world = World(kafka.address, "away", tmp_path)
        feed = Feed()
        app = world.node(feed)
        await app.start()
        await world.append(b"a")
        await until("the value", lambda: feed.values == [b"a"])
        kafka.kill()
        await app.stop()
    await admin.stop()
    assert world.crashes == []


async def test_a_node_goes_on_when_kafka_comes_back(tmp_path: Path) -> None:
    """Away for a moment is no crash; what was accepted is there, and more comes."""
    kafka = EmbeddedKafka(tmp_path / "broker")
    admin = KafkaAdmin(kafka.start())
    await create(admin, "away", 2, {})
    world = World(kafka.address, "away", tmp_path)
    feed = Feed()
    app = world.node(feed)
    await app.start()
    await world.append(b"a")
    await until("the value", lambda: feed.values == [b"a"])
    kafka.kill()
    kafka.start()
    await world.append(b"b")
    await until("the next", lambda: feed.values == [b"a", b"b"])
    await app.stop()
    await world.producer.close()
    await admin.stop()
    kafka.kill()
    assert world.crashes == []


async def test_an_agent_that_raises_is_told_to_the_process(world: World) -> None:
    """Never a silent hang: the process ends with one reason."""
    feed = Feed()
    feed.raises = AssertionError("expected a fold")
    await world.node(feed).start()
    await world.append(b"a")
    await until("the crash", lambda: world.crashes)
    assert world.crashes == [feed.raises]


async def test_an_error_while_polling_is_told_to_the_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that can no longer read is no reason to sit still."""

    async def broken(*_: object) -> None:
        raise OSError("gone")

    feed = Feed()
    await world.node(feed).start()
    monkeypatch.setattr(BatchConsumerThread, "_poll", broken)
    await until("the crash", lambda: world.crashes)
    assert [repr(crash) for crash in world.crashes] == ["OSError('gone')"]


async def test_a_crash_in_an_assignment_is_raised_by_the_start(world: World) -> None:
    """A node that cannot take its partitions does not start."""
    feed = Feed()
    app = world.node(feed)

    def failing(*_: object) -> None:
        raise ValueError("no store")

    app.on_assigned(world.topic, failing)
    with pytest.raises(ValueError, match="no store"):
        await app.start()


async def test_two_roles_live_in_one_loop(world: World, make_topic: MakeTopic) -> None:
    """Each has its own group, folder and agent; one stops, the other goes on."""
    other_topic = await make_topic(2)
    history, matching = Feed(), Feed()
    first = world.node(history)
    settings = GroupSettings(world.address, world.folder / "m", 2, group_prefix=other_topic)
    second = build_app("matching", settings, matching, on_crash=world.crashes.append)
    second.agent("offer", (other_topic,), matching.submit)
    world.apps.append(second)
    await asyncio.gather(first.start(), second.start())
    await world.append(b"a")
    await until("one", lambda: history.values == [b"a"])
    await first.stop()
    await world.producer.topic(other_topic).append(1, [(b"k", b"b")])
    await until("the other", lambda: matching.values == [b"b"])
    assert world.crashes == []
