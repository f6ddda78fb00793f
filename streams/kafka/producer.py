"""Producers: idempotent, `acks=all`, no linger; appends come back to the loop in bursts.

A delivery callback only notes an offset (in the poll thread); when batches are complete, one
`call_soon_threadsafe` per burst hands all of them to the loop. Whether offsets are the expected
ones is the engine's question (L4), not asked here.

A producer that librdkafka declares fatal is replaced by a new one; what the old one had not
delivered is failed. Nothing is ever produced again by itself.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import confluent_kafka
import structlog
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message

from schemas.errors import Unavailable
from streams.kafka.rdkafka import COMMON
from streams.log.ports import Appended
from topology import topics

_log = structlog.get_logger(__name__)

FAILED: Final = Appended(-1, 0)
DELIVERY_TIMEOUT_MS: Final = 120_000  # above any deadline of the engine (L4)
_POLL_S: Final = 1.0
_LEADERS_TIMEOUT_S: Final = 10.0
_NS_PER_MS: Final = 1_000_000
_CLOSE_TIMEOUT_S: Final = 10.0

Rdkafka = Callable[[dict[str, Any]], confluent_kafka.Producer]


class _Flight:
    """One append: which of its records came back as what."""

    __slots__ = ("_count", "_noted", "future")

    def __init__(self, count: int, future: asyncio.Future[list[Appended]]) -> None:
        self._count = count
        self._noted: list[tuple[int, Appended]] = []
        self.future = future

    def note(self, index: int, acknowledgement: Appended) -> bool:
        """Note one record; True: it was the last one missing. From any thread."""
        self._noted.append((index, acknowledgement))
        return len(self._noted) >= self._count

    def settle(self) -> None:
        """Resolve the future, in its loop."""
        if not self.future.done():
            acknowledgements = [FAILED] * self._count
            for index, acknowledgement in self._noted:
                acknowledgements[index] = acknowledgement
            self.future.set_result(acknowledgements)


class _Client:
    """One librdkafka producer with the thread that polls it."""

    def __init__(self, rdkafka: confluent_kafka.Producer, name: str) -> None:
        self.rdkafka = rdkafka
        self.is_fatal = False
        self._loop = asyncio.get_running_loop()
        self._complete: deque[_Flight] = deque()
        self._is_live = True
        self._is_told = False
        self._thread = threading.Thread(target=self._poll, name=name, daemon=True)
        self._thread.start()

    def produce(
        self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> asyncio.Future[list[Appended]]:
        """Hand records over together; those that librdkafka refuses have failed."""
        flight = _Flight(len(records), self._loop.create_future())
        batch: list[dict[str, Any]] = [
            {"key": key, "value": value, "callback": partial(self._delivered, flight, index)}
            for index, (key, value) in enumerate(records)
        ]
        refused: Iterable[int] = ()
        try:
            if self.rdkafka.produce_batch(topic, batch, partition=partition) < len(batch):
                refused = [index for index, one in enumerate(batch) if "_error" in one]
                self._refused(batch[refused[0]]["_error"])
        except BufferError as error:
            self._refused(error)
            refused = range(len(batch))
        except KafkaException as error:
            self._refused(error.args[0])
            refused = range(len(batch))
        for index in refused:
            if flight.note(index, FAILED):
                flight.settle()
        return flight.future

    def abandon(self) -> None:
        """Stop using a fatal producer: whatever it holds fails."""
        self.is_fatal = True
        self.rdkafka.purge(in_queue=True, in_flight=True, blocking=False)
        self._is_live = False

    def close(self) -> None:
        """Wait for what is in flight (bounded) and end the thread."""
        self.rdkafka.flush(_CLOSE_TIMEOUT_S)
        self._is_live = False
        self._tell(self._settle)  # the flush may have taken callbacks from the poll thread

    def _delivered(
        self, flight: _Flight, index: int, error: KafkaError | None, message: Message
    ) -> None:
        if error is None:
            kind, at_ms = message.timestamp()
            by_log = kind == TIMESTAMP_LOG_APPEND_TIME
            offset = message.offset()
            assert offset is not None, "expected a delivered record to have an offset"
            noted = Appended(offset, at_ms * _NS_PER_MS if by_log else 0)
        else:
            noted = FAILED
            self.is_fatal = self.is_fatal or error.fatal()
        if flight.note(index, noted):
            self._complete.append(flight)

    def _refused(self, error: KafkaError | BufferError) -> None:
        _log.error("produce_refused", error=str(error))
        if isinstance(error, KafkaError) and error.fatal():
            self.is_fatal = True

    def _poll(self) -> None:
        while self._is_live or len(self.rdkafka):
            self.rdkafka.poll(_POLL_S)
            if self._complete and not self._is_told:
                self._is_told = True
                self._tell(self._settle)

    def _tell(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._is_live = False

    def _settle(self) -> None:
        self._is_told = False  # first: what completes from here on is told again
        while self._complete:
            self._complete.popleft().settle()


class KafkaProducer:
    """One producer for a set of topics; replaces itself when librdkafka calls it fatal."""

    def __init__(
        self,
        address: str,
        *,
        name: str,
        settings: Mapping[str, object] | None = None,
        rdkafka: Rdkafka = confluent_kafka.Producer,
    ) -> None:
        """Create it inside a running loop; `settings` are further ones of librdkafka."""
        self._name = name
        self._rdkafka = rdkafka
        self._settings: dict[str, Any] = {
            "bootstrap.servers": address,
            "client.id": f"millrace-{name}",
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,
            "message.timeout.ms": DELIVERY_TIMEOUT_MS,
            "message.max.bytes": topics.RECORD_BYTES_LIMIT,
            "socket.nagle.disable": True,
            **COMMON,
            **(settings or {}),
        }
        self._client = self._started()

    def topic(self, topic: str) -> "TopicProducer":
        """Return the port that appends to one topic."""
        return TopicProducer(self, topic)

    def hand_over(
        self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> asyncio.Future[list[Appended]]:
        """Hand records over at once; the future brings their acknowledgements, in order."""
        if self._client.is_fatal:
            self._replace()
        return self._client.produce(topic, partition, records)

    def warm(self, topic: str) -> None:
        """Learn the leaders of a topic, so that the first append finds them; raises Unavailable."""
        try:
            self._client.rdkafka.list_topics(topic, timeout=_LEADERS_TIMEOUT_S)
        except KafkaException as error:
            raise Unavailable(f"expected to reach Kafka, found: {error.args[0].str()}") from error

    async def close(self) -> None:
        """Wait for what is in flight and end."""
        await asyncio.to_thread(self._client.close)

    def _started(self) -> _Client:
        return _Client(self._rdkafka(dict(self._settings)), f"producer-{self._name}")

    def _replace(self) -> None:
        _log.error("fatal_producer_replaced", producer=self._name)
        self._client.abandon()
        self._client = self._started()


class TopicProducer:
    """`ports.Producer` for one topic."""

    def __init__(self, producer: KafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def append(
        self, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> list[Appended]:
        """Append records in order; return their acknowledgements in order, failures included."""
        if not records:
            return []
        return await self._producer.hand_over(self._topic, partition, records)


class Producers:
    """The three producers of a process, and the topics behind them (L4, L17)."""

    def __init__(self, address: str) -> None:
        """Create them inside a running loop."""
        self._of_events = KafkaProducer(address, name="events")
        self._of_the_rest = KafkaProducer(address, name="rest")
        by_key = {"partitioner": "murmur2_random"}  # as Kafka's Java client does
        self._of_replies = KafkaProducer(address, name="replies", settings=by_key)
        self.events = self._of_events.topic(topics.EVENTS.name)
        self.commands_internal = self._of_the_rest.topic(topics.COMMANDS_INTERNAL.name)
        self.tasks = self._of_the_rest.topic(topics.TASKS.name)
        self.owners = self._of_the_rest.topic(topics.OWNERS.name)
        self.namespaces = self._of_the_rest.topic(topics.NAMESPACES.name)
        self.dead_letters = self._of_the_rest.topic(topics.DEAD_LETTERS.name)

    def reply(self, topic: str) -> TopicProducer:
        """Return the port that appends replies to a topic (the asker may name it)."""
        return self._of_replies.topic(topic)

    async def start(self) -> None:
        """Learn the leaders of the hot topics."""
        await asyncio.gather(
            asyncio.to_thread(self._of_events.warm, topics.EVENTS.name),
            asyncio.to_thread(self._of_the_rest.warm, topics.COMMANDS_INTERNAL.name),
        )

    async def stop(self) -> None:
        """Wait for what is in flight and end."""
        await asyncio.gather(
            *(one.close() for one in (self._of_events, self._of_the_rest, self._of_replies))
        )
