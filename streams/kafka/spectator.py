"""Looks on: the records of topics as they come, for people. It joins no group and commits nothing.

One thread, the caller's. What it shows it does not judge.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, TopicPartition

from schemas.errors import Unavailable
from streams.kafka.rdkafka import COMMON
from topology.topics import RECORD_BYTES_LIMIT

_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.2
_BATCH: Final = 500


class Seen(NamedTuple):
    """A record, and where it stands."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: bytes | None
    value: bytes | None


def watch(
    address: str, topics: Sequence[str], *, from_beginning: bool, follow: bool
) -> Iterator[Seen]:
    """Yield the records of topics, for ever with `follow`, else up to their ends.

    Partitions are read side by side: order holds within each. Raises Unavailable.
    """
    consumer = confluent_kafka.Consumer(_settings(address))
    try:
        partitions = _partitions(consumer, topics)
        start = OFFSET_BEGINNING if from_beginning else OFFSET_END
        consumer.assign([TopicPartition(*each, start) for each in partitions])
        yield from _read(consumer, set(partitions), follow=follow)
    except KafkaException as error:
        raise Unavailable(f"expected to read {address}, found: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _read(
    consumer: confluent_kafka.Consumer, unread: set[tuple[str, int]], *, follow: bool
) -> Iterator[Seen]:
    while follow or unread:
        for message in consumer.consume(_BATCH, _POLL_S):
            error = message.error()
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None, "expected a message of a topic"
            assert partition is not None, "expected a message of a partition"
            if error is None:
                assert offset is not None, "expected a record to have an offset"
                at_ms = message.timestamp()[1]
                yield Seen(topic, partition, offset, at_ms, message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  (its public name)
                unread.discard((topic, partition))
            elif not error.retriable():
                raise KafkaException(error)


def _partitions(consumer: confluent_kafka.Consumer, topics: Sequence[str]) -> list[tuple[str, int]]:
    known = consumer.list_topics(timeout=_TIMEOUT_S).topics
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise Unavailable(f"expected the topic {missing[0]}, found none: is a server set up there?")
    return [(topic, number) for topic in topics for number in sorted(known[topic].partitions)]


def _settings(address: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": address,
        "client.id": "millrace-spectator",
        "group.id": "millrace-spectator",  # needed, and never joined
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "receive.message.max.bytes": 8 * RECORD_BYTES_LIMIT,
        **COMMON,
    }
