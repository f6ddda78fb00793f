"""Reads a stretch of `events` in the caller's thread: from an offset up to another.

No group, no commit, nothing is judged; who reads so rebuilds something and knows where it begins.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.errors import Unavailable
from streams.kafka.rdkafka import COMMON
from streams.log.ports import Record
from topology.topics import EVENTS, RECORD_BYTES_LIMIT

_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 1.0
_POLL_COUNT: Final = 500
_SILENT_MAX: Final = 30  # polls without a record


class LogReader:
    """A consumer that is put on one stretch after another; close it."""

    def __init__(self, address: str) -> None:
        self._consumer = Consumer(_settings(address))
        self._has_leaders = False

    def end(self, partition: int) -> int:
        """Return the end offset (the next record's); raises Unavailable."""
        where = TopicPartition(EVENTS.name, partition)
        try:
            found = self._consumer.get_watermark_offsets(where, timeout=_TIMEOUT_S, cached=False)
        except KafkaException as error:
            raise _unavailable(error) from error
        if found is None:
            raise Unavailable(f"expected the end of {EVENTS.name}-{partition}, found no answer")
        return int(found[1])

    def read(self, partition: int, start: int, end: int) -> Iterator[Sequence[Record]]:
        """Yield the records from one offset up to another; raises Unavailable."""
        try:
            self._know_leaders()
            self._consumer.assign([TopicPartition(EVENTS.name, partition, start)])
            yield from self._stretch(end)
        except KafkaException as error:
            raise _unavailable(error) from error
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Close it."""
        self._consumer.close()

    def _know_leaders(self) -> None:
        """Without it the first fetch may wait for a second."""
        if not self._has_leaders:
            self._consumer.list_topics(EVENTS.name, timeout=_TIMEOUT_S)
            self._has_leaders = True

    def _stretch(self, end: int) -> Iterator[Sequence[Record]]:
        reached = silent = 0
        while reached < end:
            records = [each for each in self._poll() if each.offset < end]
            silent = 0 if records else silent + 1
            if silent == _SILENT_MAX:
                raise Unavailable(f"expected {EVENTS.name} up to {end}, found silence at {reached}")
            if records:
                reached = records[-1].offset + 1
                yield records

    def _poll(self) -> list[Record]:
        first = self._consumer.poll(_POLL_S)
        messages = [] if first is None else [first, *self._consumer.consume(_POLL_COUNT, 0)]
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                offset = message.offset()
                assert offset is not None, "expected a record that was read to have an offset"
                at_ms = message.timestamp()[1]
                records.append(Record(offset, message.key(), message.value(), at_ms))
            elif not error.retriable():
                raise KafkaException(error)
        return records


def _unavailable(error: KafkaException) -> Unavailable:
    return Unavailable(f"expected to read {EVENTS.name}, found: {error.args[0].str()}")


def _settings(address: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": address,
        "client.id": "millrace-log-reader",
        "group.id": "unused",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_uncommitted",
        "fetch.wait.max.ms": 50,
        "receive.message.max.bytes": 8 * RECORD_BYTES_LIMIT,
        **COMMON,
    }
