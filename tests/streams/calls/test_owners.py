"""Owners: the highest epoch counts, the first of equal ones; ours is written again (C1, L11)."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from schemas.codec import OWNER
from schemas.errors import NotTheOwner
from schemas.instants import MILLISECOND
from streams.calls.owners import Identity, Owner, Owners, WrongPartitions
from streams.kafka.admin import KafkaAdmin
from streams.kafka.producer import KafkaProducer
from streams.kafka.whole_topic import Origin
from tests.support.waiting import until

MakeTopic = Callable[..., Awaitable[str]]
Make = Callable[..., Owners]
COUNTS = {"history": 4, "matching": 4}


class Clock:
    """A clock that stands."""

    def now(self) -> int:
        """Return the instant."""
        return 7

    def monotonic(self) -> float:
        """Return the same instant."""
        return 7.0


class Numbers:
    """Random bytes that count."""

    def __init__(self) -> None:
        self._next = 0

    def bytes(self, count: int) -> bytes:
        """Return the next number."""
        self._next += 1
        return self._next.to_bytes(count)

    def fraction(self) -> float:
        """Return a half."""
        return 0.5


@pytest.fixture
async def topic(make_topic: MakeTopic) -> str:
    """Return a topic."""
    return await make_topic()


@pytest.fixture
async def producer(address: str) -> AsyncIterator[KafkaProducer]:
    """Yield a producer."""
    one = KafkaProducer(address, name="test")
    yield one
    await one.close()


@pytest.fixture
async def make(
    address: str, admin: KafkaAdmin, producer: KafkaProducer, topic: str
) -> AsyncIterator[Make]:
    """Yield a function that starts a node's owners."""
    started: list[Owners] = []
    crashes: list[BaseException] = []
    numbers = Numbers()

    def start(node: str, counts: dict[str, int] | None = None) -> Owners:
        identity = Identity(node, f"{node}:1", counts or COUNTS, lambda role: f"{node}-{role}")
        origin = Origin(address, admin.end, crashes.append)
        port = producer.topic(topic)
        started.append(Owners(origin, port, identity, clock=Clock(), random=numbers, topic=topic))
        return started[-1]

    yield start
    for one in started:
        one.stop()
    assert crashes == []


async def test_c1_an_entry_is_known_to_every_node(make: Make) -> None:
    """C1: role and partition lead to node, address, claim and group member."""
    first, second = make("n1"), make("n2")
    await first.claim_written("history", 2, 5, b"incarnat")
    await second.read_to_end()
    assert second.owner("history", 2) == Owner(
        role="history",
        partition=2,
        generation=1,
        partitions=4,
        epoch=5,
        incarnation=b"incarnat",
        node="n1",
        address="n1:1",
        member_id="n1-history",
        claimed_at=7,
    )
    assert second.highest_epoch("history", 2) == 5
    assert second.highest_epoch("history", 3) == 0
    assert second.owner("history", 3) is None


async def test_c1_matching_claims_above_the_highest(make: Make) -> None:
    """C1: valid once read back as the highest; the claim before is fenced by it."""
    first, second = make("n1"), make("n2")
    one = await first.claim("matching", 0)
    two = await second.claim("matching", 0)
    assert (one.epoch, two.epoch) == (1, 2)
    await first.read_to_end()
    assert not first.is_ours("matching", 0, one.incarnation)
    assert second.is_ours("matching", 0, two.incarnation)


def zombie(epoch: int, incarnation: bytes = b"zombie-1") -> Owner:
    """Return an entry of a node that has lost matching partition 0."""
    return Owner(
        role="matching",
        partition=0,
        generation=1,
        partitions=4,
        epoch=epoch,
        incarnation=incarnation,
        node="zombie",
        address="zombie:1",
        member_id="m",
        claimed_at=1,
    )


async def write(producer: KafkaProducer, topic: str, entry: Owner) -> int:
    """Append an entry; return its offset."""
    value = OWNER.encode(msgspec.structs.asdict(entry))
    (appended,) = await producer.topic(topic).append(0, [(b"matching/0", value)])
    return appended.offset


@pytest.mark.parametrize("is_equal", [False, True])
async def test_c1_an_entry_behind_ours_is_covered_again(
    make: Make, admin: KafkaAdmin, producer: KafkaProducer, topic: str, *, is_equal: bool
) -> None:
    """C1: compaction keeps the last record of a key, so ours must stand behind a zombie's."""
    owners = make("n1")
    await owners.claim("matching", 0)
    ours = await owners.claim("matching", 0)
    at = await write(producer, topic, zombie(ours.epoch if is_equal else 1))

    async def is_covered() -> bool:
        return await admin.end(topic, 0) == at + 2

    await until("ours to be written again", is_covered)
    last = await admin.record_at(topic, 0, at + 1)
    assert last is not None
    assert last.value is not None
    assert msgspec.convert(OWNER.decode(last.value), Owner) == ours
    assert owners.owner("matching", 0) == ours


async def test_c1_a_fenced_owner_does_not_write_again(
    make: Make, admin: KafkaAdmin, producer: KafkaProducer, topic: str
) -> None:
    """C1: a higher one fences us; what stands behind it is its owner's business."""
    owners = make("n1")
    await owners.claim("matching", 0)
    await write(producer, topic, zombie(9))
    at = await write(producer, topic, zombie(3, b"zombie-2"))
    await owners.read_to_end()
    assert owners.highest_epoch("matching", 0) == 9
    assert await admin.end(topic, 0) == at + 1


async def test_c1_a_slower_claim_of_the_same_epoch_is_refused(
    make: Make, producer: KafkaProducer, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: between equal epochs the first in the log counts, on every node."""
    owners = make("n1")

    await write(producer, topic, zombie(1))
    monkeypatch.setattr(owners, "highest_epoch", lambda _role, _partition: 0)
    with pytest.raises(NotTheOwner, match="zombie was faster"):
        await owners.claim("matching", 0)


async def test_c2_listeners_hear_of_another_owner(make: Make) -> None:
    """C2: calls still open to the old owner count as outcome unknown at once."""
    first, second = make("n1"), make("n2")
    heard: list[str] = []
    first.listen(lambda entry: heard.append(entry.node))
    await first.claim("matching", 1)
    await second.claim("matching", 1)
    await first.read_to_end()
    assert heard == ["n1", "n2"]


async def test_l11_another_partition_count_is_refused(make: Make) -> None:
    """L11: a node whose settings disagree with the recorded ones does not start."""
    await make("n1").claim_written("history", 0, 1, b"incarnat")
    with pytest.raises(WrongPartitions, match="generation 1 with 4 history partitions"):
        await make("n2", {"history": 8, "matching": 4}).check()
    await make("n3").check()


async def test_l7_kafkas_clock_is_asked_without_a_trace(
    make: Make, address: str, admin: KafkaAdmin, make_topic: MakeTopic, producer: KafkaProducer
) -> None:
    """L7: before any claim; where a topic has its producers' timestamps, nothing is known."""
    ours = make("n1")
    assert await ours.log_time() == 0
    await ours.read_to_end()
    assert ours.entries() == []
    topic = await make_topic(message_timestamp_type="LogAppendTime")
    port, crashes = producer.topic(topic), list[BaseException]()
    identity = Identity("n1", "n1:1", COUNTS, lambda role: f"n1-{role}")
    origin = Origin(address, admin.end, crashes.append)
    other = Owners(origin, port, identity, clock=Clock(), random=Numbers(), topic=topic)
    before = time.time_ns() // MILLISECOND * MILLISECOND
    assert before <= await other.log_time() <= time.time_ns()
    other.stop()
    assert crashes == []
