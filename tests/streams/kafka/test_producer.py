"""Appends come back in order, record by record, in bursts; nothing is judged or retried."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException

from schemas.errors import Unavailable
from streams.kafka.producer import FAILED, KafkaProducer
from topology.topics import RECORD_BYTES_LIMIT

MakeTopic = Callable[..., Awaitable[str]]
LOG_APPEND = "LogAppendTime"


@pytest.fixture
async def producer(address: str) -> AsyncIterator[KafkaProducer]:
    """Yield a producer."""
    one = KafkaProducer(address, name="test")
    yield one
    await one.close()


async def test_acknowledgements_are_offsets_in_order(
    producer: KafkaProducer, make_topic: MakeTopic
) -> None:
    """The offsets of a batch are those of its records, one by one."""
    port = producer.topic(await make_topic())
    first = await port.append(0, [(b"k", b"a"), (b"k", b"b")])
    second = await port.append(0, [(b"k", b"c")])
    assert [one.offset for one in (*first, *second)] == [0, 1, 2]


async def test_appending_nothing_is_done_at_once(producer: KafkaProducer) -> None:
    """An empty batch asks Kafka nothing."""
    assert await producer.topic("nowhere").append(0, []) == []


async def test_without_kafka_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, in words that the process understands."""
    monkeypatch.setattr("streams.kafka.producer._LEADERS_TIMEOUT_S", 0.2)
    producer = KafkaProducer("127.0.0.1:1", name="test")
    with pytest.raises(Unavailable, match="expected to reach Kafka"):
        await asyncio.to_thread(producer.warm, "events")
    await producer.close()


async def test_t1_append_time_is_the_logs(producer: KafkaProducer, make_topic: MakeTopic) -> None:
    """T1: the clock of the log arrives in ns, and is unknown where the topic has our own clock."""
    by_log = producer.topic(await make_topic(message_timestamp_type=LOG_APPEND))
    by_us = producer.topic(await make_topic(message_timestamp_type="CreateTime"))
    (known,) = await by_log.append(0, [(None, b"v")])
    (unknown,) = await by_us.append(0, [(None, b"v")])
    assert known.appended_at > 1_700_000_000 * 10**9
    assert unknown.appended_at == 0


async def test_l4_appends_are_handed_over_before_they_suspend(
    producer: KafkaProducer, make_topic: MakeTopic
) -> None:
    """L4: two appends begun in one turn keep their order, whoever is awaited first."""
    port = producer.topic(await make_topic())
    first = asyncio.ensure_future(port.append(0, [(None, b"a")] * 3))
    second = asyncio.ensure_future(port.append(0, [(None, b"b")]))
    assert [one.offset for one in await second] == [3]
    assert [one.offset for one in await first] == [0, 1, 2]


async def test_l4_behind_a_refused_record_no_offset_is_the_expected_one(
    producer: KafkaProducer, make_topic: MakeTopic
) -> None:
    """L4: what was handed over before counts; what stands behind a hole is seen to be elsewhere."""
    port = producer.topic(await make_topic())
    too_large = bytes(RECORD_BYTES_LIMIT + 1)
    appended = await port.append(0, [(None, b"a"), (None, too_large), (None, b"c")])
    assert [one.offset for one in appended] == [0, -1, 1]
    assert [one.offset for one in await port.append(0, [(None, b"d")])] == [2]


async def test_l14_takes_records_of_16_mib(producer: KafkaProducer, make_topic: MakeTopic) -> None:
    """L14: the producer takes what the topics take."""
    port = producer.topic(await make_topic(max_message_bytes=str(RECORD_BYTES_LIMIT)))
    (appended,) = await port.append(0, [(None, bytes(RECORD_BYTES_LIMIT - 1024))])
    assert appended.offset == 0


class FakeMessage:
    """What a delivery callback gets."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def offset(self) -> int:
        """Return the offset."""
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        """Return type and ms."""
        return TIMESTAMP_LOG_APPEND_TIME, 5


class FakeRdkafka:
    """A librdkafka producer that delivers when told to, in one poll."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.held: list[Callable[[Any, Any], None]] = []
        self.due: list[Callable[[], None]] = []
        self.refuses: Exception | None = None
        self.purged = False
        self.wake = threading.Event()

    def __len__(self) -> int:
        return len(self.held)

    def produce_batch(self, topic: str, batch: list[dict[str, Any]], *, partition: int) -> int:
        """Hold records."""
        assert partition >= 0, f"expected a partition of {topic}"
        if self.refuses is not None:
            raise self.refuses
        self.held += [one["callback"] for one in batch]
        return len(batch)

    def poll(self, timeout: float) -> None:
        """Deliver what is due, or wait for something."""
        self.wake.wait(timeout / 100)
        self.wake.clear()
        due, self.due = self.due, []
        for deliver in due:
            deliver()

    def purge(self, **_: bool) -> None:
        """Fail what is held."""
        self.purged = True
        self.deliver(error=KafkaError(KafkaError._PURGE_INFLIGHT))

    def flush(self, timeout: float) -> None:
        """Do nothing."""

    def deliver(self, error: KafkaError | None = None) -> None:
        """Make everything held due."""
        held, self.held = self.held, []

        def all_at_once() -> None:
            for offset, callback in enumerate(held):
                callback(error, FakeMessage(offset))

        self.due.append(all_at_once)
        self.wake.set()


@pytest.fixture
def made() -> list[FakeRdkafka]:
    """Return the fakes that were made."""
    return []


@pytest.fixture
async def faked(made: list[FakeRdkafka]) -> AsyncIterator[KafkaProducer]:
    """Yield a producer over fakes."""

    def make(settings: dict[str, Any]) -> Any:
        made.append(FakeRdkafka(settings))
        return made[-1]

    one = KafkaProducer("nowhere:1", name="test", rdkafka=make)
    yield one
    await one.close()


async def test_completed_batches_come_to_the_loop_in_one_call(
    faked: KafkaProducer, made: list[FakeRdkafka], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several batches that one poll completes are one `call_soon_threadsafe`."""
    loop = asyncio.get_running_loop()
    calls: list[object] = []
    original = loop.call_soon_threadsafe

    def counted(*call: Any) -> Any:
        calls.append(call)
        return original(*call)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    port = faked.topic("t")
    appends = [asyncio.ensure_future(port.append(0, [(None, b"v")] * 2)) for _ in range(3)]
    await asyncio.sleep(0)
    made[0].deliver()
    appended = await asyncio.gather(*appends)
    assert [[one.offset for one in each] for each in appended] == [[0, 1], [2, 3], [4, 5]]
    assert appended[0][0].appended_at == 5_000_000
    assert len(calls) == 1


async def test_l4_a_fatal_producer_is_replaced_and_its_appends_fail(
    faked: KafkaProducer, made: list[FakeRdkafka]
) -> None:
    """L4: what a fatal producer holds has failed; the next append goes to a new producer."""
    port = faked.topic("t")
    waiting = asyncio.ensure_future(port.append(0, [(None, b"a")]))
    await asyncio.sleep(0)
    made[0].refuses = KafkaException(KafkaError(KafkaError._FATAL, "gone", True))  # noqa: FBT003
    assert await port.append(0, [(None, b"b")]) == [FAILED]
    last = asyncio.ensure_future(port.append(0, [(None, b"c")]))
    assert await waiting == [FAILED]
    assert made[0].purged
    made[1].deliver()
    assert [one.offset for one in await last] == [0]


@pytest.mark.usefixtures("faked")
async def test_l4_settings_of_the_producer(made: list[FakeRdkafka]) -> None:
    """L4: idempotent, acknowledged by all, no gapless guarantee, no linger."""
    settings = made[0].settings
    assert settings["enable.idempotence"] is True
    assert settings["acks"] == "all"
    assert settings["linger.ms"] == 0
    assert "enable.gapless.guarantee" not in settings
    assert settings["message.timeout.ms"] >= 60_000
