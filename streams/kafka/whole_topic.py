"""A small topic, read whole by every node into a fold: `owners`, `namespaces`.

One consumer with a thread of its own reads the topic's single partition from its beginning and for
ever; records are folded in the loop, one call per poll. It knows when it is at an end by its fetch
position, not by the last record's offset: compaction may have taken that record away (V3).
"""

import asyncio
import heapq
import threading
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

import confluent_kafka
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from schemas.errors import Unavailable
from streams.kafka.rdkafka import COMMON
from streams.log.ports import Record
from topology.topics import RECORD_BYTES_LIMIT

_log = structlog.get_logger(__name__)

PARTITION: Final = 0
_POLL_S: Final = 1.0
_POLL_COUNT: Final = 500
_LEADERS_TIMEOUT_S: Final = 10.0
_END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001  # librdkafka's own error

Fold = Callable[[Sequence[Record]], None]
End = Callable[[str, int], Awaitable[int]]


class Origin(NamedTuple):
    """Where a topic is read from, and who hears of it when that ends badly."""

    address: str
    end: End  # `ports.Admin.end`
    on_crash: Callable[[BaseException], None]  # hears what a fold raises


class WholeTopic:
    """Reads one topic from its beginning; folds in the loop that created it."""

    def __init__(self, origin: Origin, topic: str, fold: Fold) -> None:
        """Start reading, inside a running loop."""
        self.position = 0
        self._topic = topic
        self._fold = fold
        self._end = origin.end
        self._on_crash = origin.on_crash
        self._loop = asyncio.get_running_loop()
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._is_live = True
        self._consumer = Consumer(_settings(origin.address, topic))
        self._thread = threading.Thread(target=self._run, name=f"whole-{topic}", daemon=True)
        self._thread.start()

    async def read_to_end(self) -> None:
        """Fold at least all that is there now; raises Unavailable."""
        await self.wait_for(await self._end(self._topic, PARTITION))

    async def wait_for(self, position: int) -> None:
        """Wait until everything below a position is folded; raises Unavailable when stopped."""
        if self.position < position:
            waiter: asyncio.Future[None] = self._loop.create_future()
            heapq.heappush(self._waiters, (position, next(self._order), waiter))
            await waiter

    def stop(self) -> None:
        """Stop reading; the thread ends by itself soon, and who waits hears Unavailable."""
        self._is_live = False
        for _, _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Unavailable(f"{self._topic} is no longer read here"))
        self._waiters.clear()

    # -- in the thread

    def _run(self) -> None:
        try:
            self._know_leaders()
            self._consumer.assign([TopicPartition(self._topic, PARTITION, OFFSET_BEGINNING)])
            while self._is_live:
                self._poll()
        except Exception as error:  # noqa: BLE001  # the loop that owns the thread
            self._tell(self._on_crash, error)
        finally:
            self._consumer.close()

    def _know_leaders(self) -> None:
        """Without it half of all starts wait for a second before the first fetch."""
        try:
            self._consumer.list_topics(self._topic, timeout=_LEADERS_TIMEOUT_S)
        except confluent_kafka.KafkaException as error:
            _log.warning("leaders_unknown", topic=self._topic, error=str(error))

    def _poll(self) -> None:
        first = self._consumer.poll(_POLL_S)
        if first is None:
            return
        records: list[Record] = []
        position = -1
        for message in (first, *self._consumer.consume(_POLL_COUNT, 0)):
            error, offset = message.error(), message.offset()
            if error is None:
                assert offset is not None, "expected a record that was read to have an offset"
                at_ms = message.timestamp()[1]
                records.append(Record(offset, message.key(), message.value(), at_ms))
                position = offset + 1
            elif error.code() == _END and offset is not None:
                position = max(position, offset)
            else:
                _log.warning("whole_topic_read_failed", topic=self._topic, error=str(error))
        if position >= 0:
            self._tell(self._folded, records, position)

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._is_live = False

    # -- in the loop

    def _folded(self, records: Sequence[Record], position: int) -> None:
        if not self._is_live:
            return
        try:
            if records:
                self._fold(records)
        except Exception as error:  # noqa: BLE001  # a fold that raises stops the node (L7)
            self._is_live = False
            self._on_crash(error)
            return
        self.position = max(self.position, position)
        while self._waiters and self._waiters[0][0] <= self.position:
            waiter = heapq.heappop(self._waiters)[2]
            if not waiter.done():
                waiter.set_result(None)


def _settings(address: str, topic: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": address,
        "client.id": f"millrace-{topic}",
        "group.id": "unused",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_uncommitted",  # nodes write it, never in transactions
        "fetch.wait.max.ms": 1000,
        "receive.message.max.bytes": 8 * RECORD_BYTES_LIMIT,
        **COMMON,
    }
