"""The readers of `events`: in order, in slices, each partition until its sink says no."""

import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest

from streams.kafka.admin import KafkaAdmin
from streams.kafka.producer import KafkaProducer
from streams.kafka.readers import SLICE_COUNT, KafkaReaders
from streams.log.ports import Record
from tests.support.waiting import until
from topology.topics import RECORD_BYTES_LIMIT

MakeTopic = Callable[..., Awaitable[str]]


class Sink:
    """Keeps what it is given; follows until told otherwise."""

    def __init__(self) -> None:
        self.slices: list[list[Record]] = []
        self.is_following = True
        self.is_out_of_range = False
        self.raises: Exception | None = None
        self.threads: set[str] = set()

    def fold(self, records: Sequence[Record]) -> bool:
        """Keep records."""
        if self.raises is not None:
            raise self.raises
        self.threads.add(threading.current_thread().name)
        if self.is_following:
            self.slices.append(list(records))
        return self.is_following

    def out_of_range(self) -> None:
        """Note it."""
        self.is_out_of_range = True

    @property
    def offsets(self) -> list[int]:
        """What was folded."""
        return [record.offset for records in self.slices for record in records]


class Log:
    """A topic of two partitions, its readers, and what they crashed with."""

    def __init__(self, address: str, topic: str) -> None:
        self.topic = topic
        self.crashes: list[BaseException] = []
        self.producer = KafkaProducer(address, name="test")
        self.readers = KafkaReaders(address, on_crash=self.crashes.append, topic=topic)

    async def append(self, partition: int, count: int) -> None:
        """Append records."""
        records = [(b"k", b"v%d" % at) for at in range(count)]
        await self.producer.topic(self.topic).append(partition, records)


@pytest.fixture
async def topic(make_topic: MakeTopic) -> str:
    """Return a topic of two partitions."""
    return await make_topic(2, max_message_bytes=str(RECORD_BYTES_LIMIT))


@pytest.fixture
async def log(address: str, topic: str) -> Iterator[Log]:  # type: ignore[misc]
    """Yield a log."""
    one = Log(address, topic)
    yield one
    one.readers.stop()
    await one.producer.close()


async def test_records_are_folded_in_order_and_in_slices(log: Log) -> None:
    """Slices are short, so that an owner gets its partition's lock soon."""
    await log.append(0, 1234)
    sink = Sink()
    log.readers.follow(0, 0, sink, far=True)
    await until("all records", lambda: len(sink.offsets) == 1234)
    assert sink.offsets == list(range(1234))
    assert max(len(records) for records in sink.slices) <= SLICE_COUNT
    assert sink.slices[0][0].value == b"v0"
    assert sink.slices[0][0].timestamp > 0


async def test_reading_begins_at_the_position(log: Log) -> None:
    """What is folded already is not read again; what comes later is."""
    await log.append(0, 10)
    sink = Sink()
    log.readers.follow(0, 7, sink, far=False)
    await until("the tail", lambda: sink.offsets == [7, 8, 9])
    await log.append(0, 1)
    await until("the next record", lambda: sink.offsets == [7, 8, 9, 10])


async def test_a_far_partition_has_a_reader_of_its_own(log: Log) -> None:
    """V4: a long log never stands before a short one."""
    await log.append(0, 1)
    await log.append(1, 1)
    near, far = Sink(), Sink()
    log.readers.follow(0, 0, near, far=False)
    log.readers.follow(1, 0, far, far=True)
    await until("both", lambda: near.offsets == [0] and far.offsets == [0])
    assert near.threads.isdisjoint(far.threads)


async def test_following_anew_replaces_the_sink(log: Log) -> None:
    """A partition moves from the far reader to the near one, and to another position."""
    await log.append(0, 3)
    first, second = Sink(), Sink()
    log.readers.follow(0, 0, first, far=True)
    await until("the first", lambda: first.offsets == [0, 1, 2])
    first.is_following = False
    log.readers.follow(0, 1, second, far=False)
    await until("the second", lambda: second.offsets == [1, 2])
    await log.append(0, 1)
    await until("the second alone", lambda: second.offsets == [1, 2, 3])
    assert first.offsets == [0, 1, 2]


async def test_a_forgotten_partition_is_not_read(log: Log) -> None:
    """Whoever owns a partition folds its own records."""
    other = Sink()
    sink = Sink()
    await log.append(0, 1)
    log.readers.follow(0, 0, sink, far=False)
    log.readers.follow(1, 0, other, far=False)
    await until("the record", lambda: sink.offsets == [0])
    log.readers.forget(0)
    await log.append(0, 1)
    await log.append(1, 1)
    await until("the other", lambda: other.offsets == [0])
    assert sink.offsets == [0]


async def test_a_sink_that_no_longer_follows_is_left(log: Log) -> None:
    """The sink checks under its lock whether this reader is still its reader."""
    await log.append(0, 250)
    sink = Sink()
    sink.is_following = False
    log.readers.follow(0, 0, sink, far=False)
    again = Sink()
    await until("a first slice", lambda: sink.threads)
    log.readers.follow(0, 0, again, far=False)
    await until("all", lambda: len(again.offsets) == 250)
    assert sink.offsets == []


@pytest.mark.parametrize("position", [0, 99])
async def test_l6_a_position_the_log_does_not_reach_is_told(
    log: Log, admin: KafkaAdmin, position: int
) -> None:
    """L6: below the start and beyond the end; nothing is read from elsewhere instead."""
    await log.append(0, 10)
    await admin.delete_before(log.topic, 0, 5)
    sink = Sink()
    log.readers.follow(0, position, sink, far=False)
    await until("to be told", lambda: sink.is_out_of_range)
    assert sink.offsets == []


async def test_l14_a_record_of_16_mib_is_read(log: Log) -> None:
    """L14: larger than what one fetch asks for, it comes alone."""
    large = bytes(RECORD_BYTES_LIMIT - 1024)
    await log.producer.topic(log.topic).append(0, [(b"k", b"a"), (b"k", large), (b"k", b"c")])
    sink = Sink()
    log.readers.follow(0, 0, sink, far=False)
    await until("all three", lambda: sink.offsets == [0, 1, 2])


async def test_l7_a_fold_that_raises_is_told_to_the_process(log: Log) -> None:
    """L7: the reader ends with it; it never skips."""
    await log.append(0, 1)
    sink = Sink()
    sink.raises = AssertionError("expected a fold")
    log.readers.follow(0, 0, sink, far=False)
    await until("the crash", lambda: log.crashes)
    assert log.crashes == [sink.raises]
