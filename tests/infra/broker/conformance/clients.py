"""Short ways to say what the tests ask of librdkafka and of the admin API."""

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from aiokafka.protocol.offset import OffsetRequest_v3
from confluent_kafka import (
    Consumer,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from tests.infra.broker.conformance.deadlines import DEADLINE, eventually
from tests.infra.broker.conformance.wire import Errors, Wire

T = TypeVar("T")

EARLIEST = 0


def result(future: Future[T]) -> T:
    """Return what an admin call answers, within the deadline."""
    return future.result(DEADLINE)


def only(futures: dict[Any, Future[T]]) -> T:
    """Return the answer of an admin call about one thing."""
    (future,) = futures.values()
    return result(future)


def create_topic(
    admin: AdminClient, address: str, name: str, partitions: int = 1, **config: str | float
) -> str:
    """Create a topic (config names with underscores for dots) and return once it has leaders."""
    settings = {key.replace("_", "."): str(value) for key, value in config.items()}
    only(admin.create_topics([NewTopic(name, partitions, 1, config=settings)]))
    await_leaders(address, name, partitions)
    return name


def await_leaders(address: str, topic: str, partitions: int) -> None:
    """Wait until every partition answers: a leader in the metadata may not serve yet."""
    request = OffsetRequest_v3(-1, 0, [(topic, [(number, -1) for number in range(partitions)])])

    def codes() -> set[int]:
        ((_, found),) = wire.ask(request).topics
        return {error_code for _, error_code, *_ in found}

    with Wire(address) as wire:
        eventually(f"{partitions} led partitions of {topic}", lambda: codes() == {Errors.NONE})


def make_producer(address: str, **config: str | float | bool) -> Producer:
    """Return a librdkafka producer; config names with underscores for dots."""
    base: dict[str, str | float | bool] = {
        "bootstrap.servers": address,
        "linger.ms": 0,
        "message.timeout.ms": 40_000,
        "topic.metadata.refresh.fast.interval.ms": 50,
    }
    return Producer(base | _dotted(config))


def make_consumer(address: str, **config: str | float | bool) -> Consumer:
    """Return a librdkafka consumer that commits only when told to."""
    base: dict[str, str | float | bool] = {
        "bootstrap.servers": address,
        "group.id": "unused",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 100,
        "fetch.error.backoff.ms": 50,
        "isolation.level": "read_uncommitted",
    }
    return Consumer(base | _dotted(config))


def _dotted(config: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", "."): value for key, value in config.items()}


class Deliveries:
    """The delivery reports of a producer, in the order they came."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.errors: list[KafkaError] = []

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Take one report."""
        if error is None:
            self.messages.append(message)
        else:
            self.errors.append(error)

    @property
    def offsets(self) -> list[int]:
        """Return the offsets of what was delivered."""
        return [message.offset() for message in self.messages]


def send(
    producer: Producer, topic: str, texts: Iterable[str | bytes | None], **fields: Any
) -> Deliveries:
    """Produce these values, flush, and return the delivery reports."""
    reports = Deliveries()
    for text in texts:
        producer.produce(topic, text, on_delivery=reports, **fields)
        producer.poll(0)
    assert producer.flush(DEADLINE) == 0
    return reports


def produce(address: str, topic: str, texts: Iterable[str | bytes | None], **fields: Any) -> None:
    """Produce these values with a producer of their own; all are delivered."""
    reports = send(make_producer(address), topic, texts, **fields)
    assert reports.errors == []


def close(consumer: Consumer) -> None:
    """Close a consumer within the deadline: a close that hangs would hold up the whole run."""
    closing = threading.Thread(target=consumer.close, daemon=True)
    closing.start()
    closing.join(DEADLINE)
    assert not closing.is_alive(), f"expected a closed consumer within {DEADLINE:.0f} s"


def read_all(
    address: str, topic: str, partitions: Sequence[int] = (0,), start: int = EARLIEST, **config: Any
) -> list[Message]:
    """Return what a consumer sees from `start` to the end of each partition."""
    consumer = make_consumer(address, **config)
    try:
        consumer.assign([TopicPartition(topic, number, start) for number in partitions])
        return _to_end(consumer, len(partitions))
    finally:
        close(consumer)


def _to_end(consumer: Consumer, partitions: int) -> list[Message]:
    found: list[Message] = []
    ended: set[int] = set()

    def is_at_end() -> bool:
        for message in consumer.consume(5_000, 0.02):
            error = message.error()
            if error is None:
                found.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(message.partition())
        return len(ended) == partitions

    eventually("the end of every partition", is_at_end, within=90)
    return found


def texts(messages: Iterable[Message]) -> list[str | None]:
    """Return the values as text."""
    return [None if m.value() is None else m.value().decode() for m in messages]


def offsets(messages: Iterable[Message]) -> list[int]:
    """Return the offsets."""
    return [message.offset() for message in messages]


def watermarks(address: str, topic: str, partition: int = 0) -> tuple[int, int]:
    """Return (log start, high watermark) as the broker says them now."""
    consumer = make_consumer(address)
    try:
        low, high = consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=DEADLINE
        )
        return low, high
    finally:
        close(consumer)
