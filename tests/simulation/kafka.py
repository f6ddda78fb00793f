"""Kafka as the engine sees it, in virtual time: topics with offsets, acks that get lost, zombies.

What is written is never lost, unless a test tears it off; acknowledgements may be. Delays are drawn
from the world's seed. Records of a producer keep their order within a partition.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable, Iterable, Sequence

from schemas.errors import Unavailable
from streams.log.ports import Appended, Record, Sink
from tests.simulation.clockwork import EPOCH_NS

KeyValue = tuple[bytes | None, bytes | None]
FAILED = Appended(-1, 0)


class Log:
    """One partition of one topic; None stands for a control record."""

    def __init__(self) -> None:
        self.start = 0
        self.records: list[Record | None] = []

    @property
    def end(self) -> int:
        """The next offset."""
        return self.start + len(self.records)

    def append(self, key: bytes | None, value: bytes | None, at_ms: int) -> int:
        """Append a record."""
        offset = self.end
        self.records.append(Record(offset, key, value, at_ms))
        return offset

    def at(self, offset: int) -> Record | None:
        """Return a record."""
        if not self.start <= offset < self.end:
            return None
        return self.records[offset - self.start]

    def read(self, offset: int, count: int) -> list[Record]:
        """Return records from an offset on, control records left out."""
        first = offset - self.start
        return [each for each in self.records[first : first + count] if each is not None]

    def tear(self, count: int) -> None:
        """Lose the tail."""
        del self.records[max(0, len(self.records) - count) :]

    def trim(self, offset: int) -> None:
        """Lose the head."""
        del self.records[: offset - self.start]
        self.start = max(self.start, offset)


class Kafka:
    """All topics."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.logs: dict[tuple[str, int], Log] = {}
        self.topic_ids: dict[str, int] = {}
        self.append_s: tuple[float, float] = (0.0005, 0.004)
        self.question_s: tuple[float, float] = (0.0005, 0.003)
        self.ahead_s = 0.0
        """How far the broker's clock is ahead."""
        self.is_down = False
        self._waiting: list[asyncio.Future[None]] = []

    def log(self, topic: str, partition: int) -> Log:
        """Return a partition."""
        return self.logs.setdefault((topic, partition), Log())

    def recreate(self, topic: str) -> None:
        """Delete a topic and make it anew."""
        for name, partition in list(self.logs):
            if name == topic:
                self.logs[name, partition] = Log()
        self.topic_ids[topic] = self.topic_ids.get(topic, 0) + 1

    def topic_id(self, topic: str) -> str:
        """Return a topic's id."""
        return f"{topic}#{self.topic_ids.get(topic, 0)}"

    def now_ms(self) -> int:
        """The broker's clock."""
        loop = asyncio.get_running_loop()
        return (EPOCH_NS + int((loop.time() + self.ahead_s) * 1e9)) // 1_000_000

    def write(self, topic: str, partition: int, records: Iterable[KeyValue]) -> list[Appended]:
        """Append now."""
        log, at_ms = self.log(topic, partition), self.now_ms()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            _resolve(future)
        return [
            Appended(log.append(key, value, at_ms), at_ms * 1_000_000) for key, value in records
        ]

    async def news(self) -> None:
        """Wait until something is written, or for a while."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        timer = asyncio.get_running_loop().call_later(0.25, _resolve, future)
        try:
            await future
        finally:
            timer.cancel()

    async def pause(self, bounds: tuple[float, float]) -> None:
        """Let some time pass."""
        await asyncio.sleep(self.rng.uniform(*bounds))


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class SimProducer:
    """One producer of one topic; what it has sent may arrive after its node's death."""

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._tails: dict[int, asyncio.Future[None]] = {}
        self._underway: set[asyncio.Task[None]] = set()
        self.is_alive = True
        self.before_append: Callable[[], object] = lambda: None
        self.lost_acks = 0.0
        self.refused = 0.0
        self.slow = 0.0
        """Chances of faults, for each append."""
        self.append_s: tuple[float, float] | None = None
        """How long an append takes to arrive; None: as Kafka has it."""
        self.count = 0

    async def append(self, partition: int, records: Sequence[KeyValue]) -> list[Appended]:
        """Append records in order."""
        self.before_append()
        if not self.is_alive:
            return [FAILED] * len(records)
        self.count += 1
        loop = asyncio.get_running_loop()
        before = self._tails.get(partition)
        done: asyncio.Future[list[Appended]] = loop.create_future()
        tail = self._tails[partition] = loop.create_future()
        underway = asyncio.create_task(
            self._arrive(partition, list(records), before, tail, done),
            context=contextvars.Context(),  # on its way, whatever becomes of its node
        )
        self._underway.add(underway)
        underway.add_done_callback(self._underway.discard)
        return await asyncio.shield(done)

    async def _arrive(
        self,
        partition: int,
        records: list[KeyValue],
        before: asyncio.Future[None] | None,
        tail: asyncio.Future[None],
        done: asyncio.Future[list[Appended]],
    ) -> None:
        kafka, rng = self._kafka, self._kafka.rng
        if before is not None:
            await asyncio.shield(before)
        await kafka.pause(self.append_s or kafka.append_s)
        if rng.random() < self.slow:
            await asyncio.sleep(rng.uniform(0.5, 20.0))
        while kafka.is_down:  # noqa: ASYNC110  a stand-in tells nobody
            await asyncio.sleep(0.1)
        if rng.random() < self.refused:
            split = rng.randrange(len(records))
            written = kafka.write(self._topic, partition, records[:split])
            acknowledged = [*written, *[FAILED] * (len(records) - split)]
        else:
            acknowledged = kafka.write(self._topic, partition, records)
            if rng.random() < self.lost_acks:
                acknowledged = [FAILED] * len(records)
        tail.set_result(None)
        await kafka.pause((0.0001, 0.002))
        if not done.done():
            done.set_result(acknowledged)


class SimAdmin:
    """Questions about topics; implements `ports.Admin`."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self.failing = 0.0
        self.asked_ends = 0

    async def end(self, topic: str, partition: int) -> int:
        """Return the end offset."""
        self.asked_ends += 1
        await self._ask()
        return self._kafka.log(topic, partition).end

    async def stable_end(self, topic: str, partition: int) -> int:
        """Return the last stable offset."""
        await self._ask()
        return self._kafka.log(topic, partition).end

    async def start(self, topic: str, partition: int) -> int:
        """Return the first offset."""
        await self._ask()
        return self._kafka.log(topic, partition).start

    async def topic_id(self, topic: str) -> str:
        """Return the topic's id."""
        await self._ask()
        return self._kafka.topic_id(topic)

    async def record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        """Return a record."""
        await self._ask()
        return self._kafka.log(topic, partition).at(offset)

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Trim a partition."""
        await self._ask()
        self._kafka.log(topic, partition).trim(offset)

    async def _ask(self) -> None:
        await self._kafka.pause(self._kafka.question_s)
        if self._kafka.is_down or self._kafka.rng.random() < self.failing:
            raise Unavailable("expected an answer of Kafka, found none")


class SimReaders:
    """Readers of `events`; implements `ports.Readers`."""

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self.holes = 0.0
        """Chance that fetched records get lost before they are folded."""

    def follow(self, partition: int, position: int, sink: Sink, *, far: bool) -> None:
        """Read a partition."""
        del far
        self.forget(partition)
        self._tasks[partition] = asyncio.create_task(self._read(partition, position, sink))

    def forget(self, partition: int) -> None:
        """Stop reading a partition."""
        task = self._tasks.pop(partition, None)
        if task is not None:
            task.cancel()

    async def _read(self, partition: int, position: int, sink: Sink) -> None:
        kafka = self._kafka
        while True:
            await kafka.pause((0.0002, 0.005))
            log = kafka.log(self._topic, partition)
            if not log.start <= position <= log.end:
                sink.out_of_range()
                return
            records = log.read(position, kafka.rng.randrange(1, 100))
            if not records:
                await kafka.news()
                continue
            position = records[-1].offset + 1
            if kafka.rng.random() < self.holes:
                records = records[len(records) // 2 :]
            if not sink.fold(records):
                return
