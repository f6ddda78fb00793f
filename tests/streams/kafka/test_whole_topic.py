"""A topic read whole: everything is folded in order, and the end is known by position."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from confluent_kafka import Producer

from schemas.errors import Unavailable
from streams.kafka.admin import KafkaAdmin
from streams.kafka.producer import KafkaProducer
from streams.kafka.whole_topic import Origin, WholeTopic
from streams.log.ports import Record
from tests.support.waiting import until

MakeTopic = Callable[..., Awaitable[str]]


class Reading:
    """A topic, what was folded of it, and what its reading crashed with."""

    def __init__(self, address: str, admin: KafkaAdmin, topic: str) -> None:
        self.values: list[bytes | None] = []
        self.crashes: list[BaseException] = []
        self.raises: Exception | None = None
        self.topic = topic
        self.producer = KafkaProducer(address, name="test")
        origin = Origin(address, admin.end, self.crashes.append)
        self.whole = WholeTopic(origin, topic, self.fold)

    def fold(self, records: Sequence[Record]) -> None:
        """Keep values."""
        if self.raises is not None:
            raise self.raises
        self.values += [record.value for record in records]

    async def append(self, *values: bytes) -> None:
        """Append values."""
        await self.producer.topic(self.topic).append(0, [(b"k", value) for value in values])


@pytest.fixture
async def reading(address: str, admin: KafkaAdmin, make_topic: MakeTopic) -> AsyncIterator[Reading]:
    """Yield a reading."""
    one = Reading(address, admin, await make_topic())
    yield one
    one.whole.stop()
    await one.producer.close()


async def test_an_empty_topic_is_read_to_its_end(reading: Reading) -> None:
    """There is nothing to wait for."""
    await reading.whole.read_to_end()
    assert (reading.values, reading.whole.position) == ([], 0)


async def test_read_to_end_knows_what_was_there_when_asked(reading: Reading) -> None:
    """Whoever reads to the end after an acknowledgement has folded that record."""
    for value in (b"a", b"b", b"c"):
        await reading.append(value)
        await reading.whole.read_to_end()
        assert reading.values[-1] == value
    assert reading.whole.position == 3


async def test_wait_for_a_position(reading: Reading) -> None:
    """Waiters wake when everything below their position is folded, not before."""
    second = asyncio.ensure_future(reading.whole.wait_for(2))
    await reading.append(b"a")
    await reading.whole.wait_for(1)
    assert not second.done()
    await reading.append(b"b")
    await second
    assert reading.values == [b"a", b"b"]


async def test_v3_the_end_is_a_position_not_a_record(
    reading: Reading, address: str, admin: KafkaAdmin
) -> None:
    """V3: the last offset may hold no record (here a marker, elsewhere compacted away)."""
    producer = Producer({"bootstrap.servers": address, "transactional.id": reading.topic})
    await asyncio.to_thread(producer.init_transactions, 20)
    producer.begin_transaction()
    producer.produce(reading.topic, b"a", b"k", 0)
    await asyncio.to_thread(producer.commit_transaction, 10)

    async def is_marked() -> bool:
        return await admin.end(reading.topic, 0) == 2

    await until("the marker", is_marked)
    await reading.whole.read_to_end()
    assert (reading.values, reading.whole.position) == ([b"a"], 2)


async def test_who_waits_when_it_stops_hears_it(reading: Reading) -> None:
    """Nobody waits for ever."""
    waiting = asyncio.ensure_future(reading.whole.wait_for(1))
    await asyncio.sleep(0)
    reading.whole.stop()
    with pytest.raises(Unavailable, match="no longer read here"):
        await waiting


async def test_l7_a_fold_that_raises_stops_the_node(reading: Reading) -> None:
    """L7: it is told once, and nothing behind it is folded."""
    reading.raises = ValueError("unreadable")
    await reading.append(b"a")
    await until("the crash", lambda: reading.crashes)
    reading.raises = None
    await reading.append(b"b")
    assert (reading.crashes[0].args, reading.values) == (("unreadable",), [])
