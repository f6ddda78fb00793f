"""The two consumers that read `events` for folding, each with a thread that also folds.

`tail` follows standbys and short tails, `cold` the partitions that are far behind, so that a long
log never stands before a short one. Records are given to the sink in slices; before each slice the
sink itself checks, under its lock, that this reader is still its reader.

Manual assignment, no group, never an offset reset: a position that the log does not reach to is
told to the sink (L6). (Un)assigning happens in the polling thread only: from another one it hangs.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import confluent_kafka
import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from streams.kafka.rdkafka import COMMON
from streams.log.ports import Record, Sink
from topology.topics import EVENTS, RECORD_BYTES_LIMIT

_log = structlog.get_logger(__name__)

SLICE_COUNT: Final = 100
_POLL_S: Final = 0.1  # also how long a new partition waits when others are quiet
_POLL_COUNT: Final = 500
_REST_S: Final = 0.001
_LEADERS_TIMEOUT_S: Final = 10.0
_QUEUED_KBYTES: Final = 16_384
_OUT_OF_RANGE: Final = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001  # librdkafka's own error
_TRANSIENT: Final = (
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001  # librdkafka's own errors
    KafkaError._TRANSPORT,  # noqa: SLF001  # so is this one
    KafkaError.NOT_LEADER_FOR_PARTITION,
)

Rdkafka = Callable[[dict[str, Any]], confluent_kafka.Consumer]
OnCrash = Callable[[BaseException], None]


class _Order(NamedTuple):
    """Follow a partition from a position, or (no sink) stop following it."""

    partition: int
    position: int
    sink: Sink | None


class KafkaReaders:
    """`ports.Readers`: a reader near the ends and one far behind."""

    def __init__(
        self,
        address: str,
        *,
        on_crash: OnCrash,
        is_serving: Callable[[], bool] = lambda: False,
        topic: str = EVENTS.name,
        rdkafka: Rdkafka = Consumer,
    ) -> None:
        """Start both threads, inside a running loop.

        `on_crash` is called in that loop when a sink raises (L7); while `is_serving()`, the far
        reader rests a little after each slice, so that calls are answered meanwhile.
        """
        loop = asyncio.get_running_loop()

        def crashed(error: BaseException) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(on_crash, error)

        def reader(name: str, rests: Callable[[], bool]) -> _Reader:
            consumer = rdkafka(dict(_settings(address, name)))
            return _Reader(name, topic, consumer, rests=rests, on_crash=crashed)

        self._tail = reader("tail", lambda: False)
        self._cold = reader("cold", is_serving)

    def follow(self, partition: int, position: int, sink: Sink, *, far: bool) -> None:
        """Read a partition from a position on and give it to the sink; replaces a former one."""
        reader, other = (self._cold, self._tail) if far else (self._tail, self._cold)
        other.order(_Order(partition, 0, None))
        reader.order(_Order(partition, position, sink))

    def forget(self, partition: int) -> None:
        """Stop reading a partition."""
        for reader in (self._tail, self._cold):
            reader.order(_Order(partition, 0, None))

    def stop(self) -> None:
        """End both threads; waits for the slices being folded."""
        for reader in (self._tail, self._cold):
            reader.end()
        for reader in (self._tail, self._cold):
            reader.thread.join()


class _Reader:
    """One consumer and its thread."""

    def __init__(
        self,
        name: str,
        topic: str,
        consumer: confluent_kafka.Consumer,
        *,
        rests: Callable[[], bool],
        on_crash: OnCrash,
    ) -> None:
        self._topic = topic
        self._consumer = consumer
        self._rests = rests
        self._on_crash = on_crash
        self._orders: deque[_Order] = deque()
        self._wake = threading.Event()
        self._is_live = True
        self._sinks: dict[int, Sink] = {}
        self.thread = threading.Thread(target=self._run, name=f"reader-{name}", daemon=True)
        self.thread.start()

    def order(self, order: _Order) -> None:
        """Hand an order to the thread."""
        self._orders.append(order)
        self._wake.set()

    def end(self) -> None:
        """Tell the thread to end."""
        self._is_live = False
        self._wake.set()

    def _run(self) -> None:
        try:
            self._know_leaders()
            while self._is_live:
                self._take_orders()
                if self._sinks:
                    self._poll()
                else:  # nothing is read by an owner: no polling then
                    self._wake.wait()
                    self._wake.clear()
        except Exception as error:  # noqa: BLE001  # the loop that owns the thread (L7)
            self._on_crash(error)
        finally:
            self._consumer.close()

    def _know_leaders(self) -> None:
        """Without it half of all starts wait for a second before the first fetch."""
        try:
            self._consumer.list_topics(self._topic, timeout=_LEADERS_TIMEOUT_S)
        except confluent_kafka.KafkaException as error:
            _log.warning("leaders_unknown", topic=self._topic, error=str(error))

    def _take_orders(self) -> None:
        while self._orders:
            order = self._orders.popleft()
            self._drop(order.partition)
            if order.sink is not None:
                where = TopicPartition(self._topic, order.partition, order.position)
                self._consumer.incremental_assign([where])
                self._sinks[order.partition] = order.sink

    def _drop(self, partition: int) -> None:
        if self._sinks.pop(partition, None) is not None:
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def _poll(self) -> None:
        first = self._consumer.poll(_POLL_S)
        if first is None:
            return
        messages = [first, *self._consumer.consume(_POLL_COUNT, 0)]
        read: dict[int, list[Record]] = {}
        for message in messages:
            error = message.error()
            partition = message.partition()
            if error is None:
                assert partition is not None, "expected a record to have a partition"
                read.setdefault(partition, []).append(_record(message))
            elif error.code() == _OUT_OF_RANGE and partition is not None:
                self._out_of_range(partition)
            elif error.code() not in _TRANSIENT:
                _log.warning("events_read_failed", error=str(error))
        for partition, records in read.items():
            self._fold(partition, records)

    def _fold(self, partition: int, records: Sequence[Record]) -> None:
        sink = self._sinks.get(partition)
        for start in range(0, len(records), SLICE_COUNT):
            if sink is None or not self._is_live or self._has_order(partition):
                return
            if not sink.fold(records[start : start + SLICE_COUNT]):
                self._drop_if(partition, sink)
                return
            if self._rests():
                time.sleep(_REST_S)

    def _has_order(self, partition: int) -> bool:
        """Say whether the partition is about to be left, or read from another position."""
        return any(order.partition == partition for order in tuple(self._orders))

    def _out_of_range(self, partition: int) -> None:
        sink = self._sinks.get(partition)
        if sink is not None:
            self._drop(partition)
            sink.out_of_range()

    def _drop_if(self, partition: int, sink: Sink) -> None:
        if self._sinks.get(partition) is sink:
            self._drop(partition)


def _record(message: Message) -> Record:
    offset = message.offset()
    assert offset is not None, "expected a record that was read to have an offset"
    return Record(offset, message.key(), message.value(), message.timestamp()[1])


def _settings(address: str, name: str) -> Mapping[str, Any]:
    return {
        "bootstrap.servers": address,
        "client.id": f"millrace-{name}",
        "group.id": "unused",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_uncommitted",  # nobody writes `events` in transactions
        "fetch.wait.max.ms": 100,  # a partition that is added waits for the fetch in flight
        "fetch.message.max.bytes": 2 << 20,
        "receive.message.max.bytes": 8 * RECORD_BYTES_LIMIT,
        "queued.max.messages.kbytes": _QUEUED_KBYTES,
        "fetch.queue.backoff.ms": 10,  # with the default (1 s) a full queue stalls the fetcher
        "check.crcs": True,
        **COMMON,
    }
