"""Questions about topics, and trimming: `ports.Admin` on librdkafka.

`record_at` has a consumer of its own, used by one question at a time in a thread; the rest are
admin requests. Nothing is cached: a topic may be deleted and made anew at any time (L6).
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, not listed
    AdminClient,
    OffsetSpec,
)

from schemas.errors import Unavailable
from streams.kafka.rdkafka import COMMON
from streams.log.ports import Record

_log = structlog.get_logger(__name__)

REQUEST_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 1.0
_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # no stubs
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # no stubs
_FETCH_WAIT_MS: Final = 10  # the next question waits for the fetch in flight
_FETCH_BYTES: Final = 64 << 10
_TRIES: Final = 40
_PAUSE_S: Final = 0.05
_PASSING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
)
_ENDS: Final = (
    KafkaError._PARTITION_EOF,  # noqa: SLF001  # librdkafka's own errors are named so
    KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001  # so is this one
)


class KafkaAdmin:
    """`ports.Admin`; keep it alive as long as questions are open (its futures die with it)."""

    def __init__(self, address: str) -> None:
        self._address = address
        settings: dict[str, Any] = {
            "bootstrap.servers": address,
            "client.id": "millrace-admin",
            **COMMON,
        }
        self.client = AdminClient(settings)
        self._lookup: _Lookup | None = None
        self._lock = threading.Lock()

    async def end(self, topic: str, partition: int) -> int:
        """Return the end offset (the next record's)."""
        return await self._end(topic, partition, IsolationLevel.READ_UNCOMMITTED)

    async def stable_end(self, topic: str, partition: int) -> int:
        """Return the last stable offset: the end of what read-committed readers get."""
        return await self._end(topic, partition, IsolationLevel.READ_COMMITTED)

    async def start(self, topic: str, partition: int) -> int:
        """Return the offset of the oldest record that is still there."""
        return await self._offset(topic, partition, _EARLIEST)

    async def topic_id(self, topic: str) -> str:
        """Return the id of the topic; another one: it was deleted and made anew."""
        named = TopicCollection([topic])

        def ask() -> Any:
            return self.client.describe_topics(named, request_timeout=REQUEST_TIMEOUT_S)[topic]

        return str((await _answer(ask)).topic_id)

    async def record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        """Return the record at an offset, or None where there is none (any more)."""
        return await asyncio.to_thread(self._record_at, topic, partition, offset)

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Trim a partition below an offset."""
        where = TopicPartition(topic, partition, offset)

        def ask() -> Any:
            return self.client.delete_records([where], request_timeout=REQUEST_TIMEOUT_S)[where]

        await _answer(ask)

    async def stop(self) -> None:
        """Close the consumer of `record_at`."""
        await asyncio.to_thread(self._close)

    async def _end(self, topic: str, partition: int, isolation: IsolationLevel) -> int:
        return await self._offset(topic, partition, _LATEST, isolation_level=isolation)

    async def _offset(self, topic: str, partition: int, which: OffsetSpec, **options: Any) -> int:
        where = TopicPartition(topic, partition)

        def ask() -> Any:
            return self.client.list_offsets(
                {where: which}, request_timeout=REQUEST_TIMEOUT_S, **options
            )[where]

        return int((await _answer(ask)).offset)

    def _record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        with self._lock:
            if self._lookup is None:
                self._lookup = _Lookup(self._address)
            return self._lookup.record_at(topic, partition, offset)

    def _close(self) -> None:
        with self._lock:
            if self._lookup is not None:
                self._lookup.close()
                self._lookup = None


class _Lookup:
    """A consumer that is put on one record after another."""

    def __init__(self, address: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "client.id": "millrace-lookup",
                "group.id": "unused",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_uncommitted",
                "fetch.wait.max.ms": _FETCH_WAIT_MS,
                "fetch.message.max.bytes": _FETCH_BYTES,  # the first record comes at any size
                **COMMON,
            }
        )
        self._known: set[str] = set()

    def record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        """Return the record at an offset; raises Unavailable."""
        if topic not in self._known:  # leaders first: a fetch without them waits for a second
            self._consumer.list_topics(topic, timeout=REQUEST_TIMEOUT_S)
            self._known.add(topic)
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        try:
            return self._first(topic, partition, offset)
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        self._consumer.close()

    def _first(self, topic: str, partition: int, offset: int) -> Record | None:
        for _ in range(int(REQUEST_TIMEOUT_S / _POLL_S)):
            message = self._consumer.poll(_POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is None:
                is_it = message.offset() == offset
                at_ms = message.timestamp()[1]
                return Record(offset, message.key(), message.value(), at_ms) if is_it else None
            if error.code() in _ENDS:
                return None
            _log.warning("record_lookup_failed", topic=topic, partition=partition, error=str(error))
        raise Unavailable(f"expected the record {topic}-{partition}@{offset}, found no answer")


async def _answer(ask: Callable[[], Any]) -> Any:
    """Ask until there is an answer: a leader may just be changing; raises Unavailable."""
    for tries_left in reversed(range(_TRIES)):
        try:
            return await asyncio.wrap_future(ask())
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() not in _PASSING or not tries_left:
                raise Unavailable(f"expected an answer of Kafka, found: {reason.str()}") from error
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError("expected the last try to end it")
