"""All that is overridden in Faust and reached into in aiokafka, and why.

Stock Faust costs 200-700 us a record, loses records at rebalances, and pauses a whole node until
its last table is recovered. Here it assigns, keeps the group alive, and runs agents over batches:

- `BatchConsumerThread` polls aiokafka itself, in its own thread, and hands each poll result to the
  loop with one `call_soon_threadsafe`; seeks happen between two polls.
- Each batch says from which position its poll read (log protocol L10): whatever Faust or a
  rebalance drops shows as a batch that starts too far on, and the feed seeks back.
- The feed knows its position, not the group: commits are advisory, for lag metrics.
- There are no tables, so recovery is over at once, and no producer: producing is librdkafka's.

Every attribute of Faust and aiokafka used here is private to them: both are pinned, and
`tests/streams/test_faust_contract.py` has a test for each. This file decides nothing about records.
"""
# ruff: noqa: SLF001 - reaching into Faust and aiokafka is what this one file is for

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import faust
import structlog
from aiokafka.errors import ConsumerStoppedError, KafkaError
from aiokafka.protocol.group import LeaveGroupRequest
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from schemas.errors import NotTheOwner
from streams.log.ports import CommandBatch, Record

_log = structlog.get_logger(__name__)

GroupError = KafkaError
"""What the group's client says of Kafka."""

READ_COMMITTED: Final = "read_committed"
_WAIT_S: Final = 1.0  # nothing to do: a wake-up ends it
_RETRY_S: Final = 0.05  # some partitions are not wanted now, and nobody says when they are
_LAST_COMMIT_S: Final = 0.5
_NEVER: Final = 1 << 62
_BATCHES_AHEAD: Final = 16  # handed to the loop and not yet taken by the agent


class Feed(Protocol):
    """Who takes the batches of a role, and says what it wants next."""

    def wants(self, topic: str, partition: int) -> bool:
        """Say whether a partition should be read now. Called in any thread: it only looks."""
        ...

    def position(self, topic: str, partition: int) -> int:
        """Return the offset of the next record wanted; raises NotTheOwner when unknown yet."""
        ...


class MemberNote(Protocol):
    """Where the id of the group's member is kept, for the next life (V6)."""

    def read(self) -> str | None:
        """Return the id of the last life, if any."""
        ...

    def write(self, member_id: str) -> None:
        """Keep an id; on disk when this returns."""
        ...


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread: joins, beats, and polls into batches."""

    app: Any  # a BatchApp
    consumer: "BatchConsumer"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.last_heartbeat_at = 0.0
        self._seeks: deque[tuple[TP, int]] = deque()
        self._starts: dict[TP, int] = {}
        self._assignment: Any = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_woken = False
        self._handed_count = 0

    # -- what Faust calls

    def _create_worker_consumer(self, transport: Any) -> Any:
        """Read committed (Faust: only in its own transactions); poll shorter than Faust's 1.5 s."""
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = READ_COMMITTED
        consumer._fetch_max_wait_ms = self.app.fetch_max_wait_ms
        return consumer

    async def on_start(self) -> None:
        """Start; then, before the join: evict the former life, note heartbeats and member ids."""
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        self._note_heartbeats(coordinator)
        await self._evict_former_life(coordinator)
        self._note_member_ids(coordinator)

    async def on_thread_stop(self) -> None:
        """Stop; where a fetch waits to be tried again, aiokafka's own `stop` raises."""
        with suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust's check logs false alarms; `streams/watchdog.py` has ours."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit, which is advisory: what Kafka says against it ends nothing."""
        consumer = self._ensure_consumer()
        mine = {driver.ensure_aiokafka_TP(tp): at for tp, at in offsets.items()}
        try:
            await consumer.commit(mine)
        except KafkaError as error:
            _log.info("advisory_commit_failed", error=repr(error))
            return False
        return True

    # -- from the loop

    def seek_between_polls(self, tp: TP, offset: int) -> None:
        """Read on from an offset, from the next poll on."""
        self._seeks.append((tp, offset))
        self.wake()

    def wake(self) -> None:
        """Look again now at seeks, assignment and what is wanted."""
        if self.thread_loop is not None and not self.thread_loop.is_closed():
            self.thread_loop.call_soon_threadsafe(self._woken)

    @property
    def is_rebalancing(self) -> bool:
        """Whether the group is being assigned anew: nothing is read meanwhile."""
        return self._consumer is None or bool(
            self._consumer._fetcher._subscriptions.reassignment_in_progress
        )

    def positions(self) -> dict[TP, int]:
        """Return how far each assigned partition has been read."""
        assignment = self._current_assignment()
        if assignment is None:
            return {}
        states = [(tp, assignment.state_value(tp)) for tp in list(assignment.tps)]
        return {TP(*tp): one.position for tp, one in states if one and one.has_valid_position}

    # -- in the thread

    async def poll_forever(self) -> None:
        """Poll until stopped; raises what aiokafka raises."""
        consumer = self._ensure_consumer()
        while not self.should_stop:
            consumer._coordinator.check_errors()
            with consumer._fetcher._subscriptions.fetch_context():
                await self._poll(consumer)

    async def _poll(self, consumer: Any) -> None:
        """Hand over what has been fetched, or wait until there may be something."""
        assignment = self._current_assignment()
        if assignment is not self._assignment:
            self._assignment = assignment
            self._starts.clear()
            self._handed_count = self.consumer.taken_count
        reassigning = consumer._fetcher._subscriptions.reassignment_in_progress
        if assignment is None or reassigning or not self.consumer.flow_active:
            await self._wait(consumer, _WAIT_S)
            return
        self._apply_seeks(consumer, assignment)
        active = [TP(*tp) for tp in assignment.tps]
        wanted = {tp for tp in active if self.consumer.wants(tp)}
        is_ahead = self._handed_count - self.consumer.taken_count >= _BATCHES_AHEAD
        if wanted and not is_ahead:
            before = self.positions()
            limit = consumer._max_poll_records
            found = await consumer._fetcher.fetched_records(wanted, timeout=0, max_records=limit)
            after = self.positions()
            batches = [
                self._batch(tp, found.get(tp, ()), start, after[tp])
                for tp in wanted & after.keys()
                if (start := self._start(tp, found.get(tp, ()), before)) < after[tp]
            ]
            if batches:
                self._hand_over(batches, consumer._coordinator.generation)
                await asyncio.sleep(0)  # heartbeats share this loop
                return
        is_all = len(wanted) == len(active) and not is_ahead
        await self._wait(consumer, _WAIT_S if is_all else _RETRY_S)

    def _start(self, tp: TP, fetched: Sequence[Any], before: Mapping[TP, int]) -> int:
        """Return from where the poll read: the end of the batch before, or where we sought."""
        if (start := self._starts.get(tp, before.get(tp))) is not None:
            return start
        return int(fetched[0].offset) if fetched else _NEVER

    def _batch(self, tp: TP, fetched: Sequence[Any], start: int, end: int) -> CommandBatch:
        """Return a batch; without records it says that nothing is there up to its end."""
        self._starts[tp] = end
        records = [Record(one.offset, one.key, one.value, one.timestamp) for one in fetched]
        return CommandBatch(tp.topic, tp.partition, start, records, end)

    def _hand_over(self, batches: list[CommandBatch], generation: int) -> None:
        self._handed_count += len(batches)
        self.parent_loop.call_soon_threadsafe(self.consumer.deliver, generation, batches)

    def _apply_seeks(self, consumer: Any, assignment: Any) -> None:
        while self._seeks:
            tp, offset = self._seeks.popleft()
            if tp not in assignment.tps:
                continue
            state = assignment.state_value(tp)
            if not (state.has_valid_position and state.position == offset):
                consumer.seek(driver.ensure_aiokafka_TP(tp), offset)
            self._starts[tp] = offset

    async def _wait(self, consumer: Any, timeout_s: float) -> None:
        """Wait for fetched records, a wake-up, or the time to be over."""
        if self._is_woken:
            self._is_woken = False
            return
        waiter = self._waiter = consumer._fetcher._create_fetch_waiter()
        try:
            await asyncio.wait([waiter], timeout=timeout_s)
            if waiter.done():
                waiter.result()  # authorization errors come this way
        finally:
            waiter.cancel()
            self._waiter = None
            self._is_woken = False

    def _woken(self) -> None:
        self._is_woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _current_assignment(self) -> Any:
        """Return aiokafka's assignment: another object after each rebalance."""
        subscription = self._consumer._subscription.subscription if self._consumer else None
        return subscription.assignment if subscription is not None else None

    def _note_heartbeats(self, coordinator: Any) -> None:
        """Keep the instant of the last good heartbeat (L5)."""
        beat = coordinator._do_heartbeat

        async def noted() -> Any:
            is_good = await beat()
            if is_good:
                self.last_heartbeat_at = time.monotonic()
            return is_good

        coordinator._do_heartbeat = noted

    def _note_member_ids(self, coordinator: Any) -> None:
        """Keep a member id before we are that member: MEMBER_ID_REQUIRED tells it first (V6)."""
        send = coordinator._send_req

        async def noted(request: Any) -> Any:
            response = await send(request)
            if member_id := getattr(response, "member_id", None):
                self.app.member_note.write(member_id)
            return response

        coordinator._send_req = noted

    async def _evict_former_life(self, coordinator: Any) -> None:
        """Leave the group for our former life, which would hold up the join until it expires."""
        member_id = self.app.member_note.read()
        if member_id is not None:
            await self.evict(member_id, coordinator)

    async def evict(self, member_id: str, coordinator: Any = None) -> None:
        """Leave the group for a member that is gone."""
        if coordinator is None:
            coordinator = self._ensure_consumer()._coordinator
        try:
            await coordinator.ensure_coordinator_known()
            await coordinator._send_req(LeaveGroupRequest(coordinator.group_id, member_id))
        except KafkaError as error:
            _log.warning("member_not_evicted", member=member_id, error=repr(error))


class BatchConsumer(driver.Consumer):
    """Faust's consumer in the loop: delivers batches to agents, keeps advisory offsets."""

    app: Any  # a BatchApp
    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.taken_count = 0
        self._marks: dict[TP, int] = {}
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:  # noqa: ARG002  # Faust's signature
        """Let the thread poll; nothing per record here."""
        thread = self._thread
        polling = asyncio.run_coroutine_threadsafe(thread.poll_forever(), thread.thread_loop)
        try:
            await asyncio.wrap_future(polling)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    def deliver(self, generation: int, batches: Iterable[CommandBatch]) -> None:
        """Put each batch, as one event, before the agents of its partition."""
        is_current = generation == self.app.consumer_generation_id and self.flow_active
        for batch in batches:
            tp = TP(batch.topic, batch.partition)
            channels = self.app.topics._tp_index.get(tp) if is_current else None
            if not channels:  # perform_seek, or the feed's guard, puts it right
                self.taken_count += 1
                continue
            event = self.app.create_event(None, batch, None, _message(tp, batch, generation))
            for channel in channels:
                event.message.incref()
                channel.queue.put_nowait(event)

    def wants(self, tp: TP) -> bool:
        """Say whether the feed wants this partition now; in the thread."""
        return bool(self.app.feed.wants(tp.topic, tp.partition))

    def seek_soon(self, tp: TP, offset: int) -> None:
        """Read on from an offset."""
        self._thread.seek_between_polls(tp, offset)

    async def perform_seek(self) -> None:
        """Seek to where the feed is; the group's committed offsets are never used."""
        for tp in self.assignment():
            try:
                position = self.app.feed.position(tp.topic, tp.partition)
            except NotTheOwner:
                continue  # not claimed yet: the claim will seek
            self.seek_soon(TP(*tp), position)

    def resume_flow(self) -> None:
        """Resume, and tell the thread."""
        super().resume_flow()
        self._thread.wake()

    def ack(self, message: Any) -> bool:
        """Note a batch as taken: a watermark, committed now and then for lag metrics."""
        if message.acked:
            return False
        message.acked = True
        self.taken_count += 1
        if self.taken_count % _BATCHES_AHEAD == 0:
            self._thread.wake()
        tp = message.tp
        self._marks[tp] = max(message.offset + 1, self._marks.get(tp, 0))
        self._acked[tp] = [message.offset]
        return True

    def _new_offset(self, tp: TP) -> int | None:
        return self._marks.get(tp)

    async def commit_and_end_transactions(self) -> None:
        """Commit once more when stopping, if Kafka answers soon: it is advisory."""
        with suppress(TimeoutError):
            await asyncio.wait_for(super().commit_and_end_transactions(), _LAST_COMMIT_S)

    @property
    def last_heartbeat_at(self) -> float:
        """The monotonic instant of the last good heartbeat."""
        return self._thread.last_heartbeat_at

    def positions(self) -> dict[TP, int]:
        """Return how far each assigned partition has been read; none during a rebalance."""
        is_reading = self.flow_active and not self._thread.is_rebalancing
        return self._thread.positions() if is_reading else {}

    async def evict(self, member_id: str) -> None:
        """Leave the group for a member that is gone (V6)."""
        await self._thread.call_thread(self._thread.evict, member_id)

    async def rejoin(self) -> None:
        """Ask the group for a new assignment (V4)."""
        coordinator = self._thread._ensure_consumer()._coordinator
        await self._thread.call_thread(coordinator.request_rejoin)


def _message(tp: TP, batch: CommandBatch, generation: int) -> ConsumerMessage:
    """Return what Faust needs to know of a batch: only its end, for the advisory commit."""
    last = batch.end - 1
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        last,
        0.0,
        0,
        [],
        None,
        None,
        None,
        tp=tp,
        generation_id=generation,
    )


class BatchTransport(driver.Transport):
    """Faust's transport with our consumer."""

    Consumer = BatchConsumer


class NoTables(TableManager):
    """Faust's tables, of which there are none: started without its sleep of a second."""

    async def on_start(self) -> None:
        """Start the recovery that has nothing to recover and resumes the streams."""
        await self._update_channels()
        await self.recovery.start()


class NoProducer(BootStrategy):
    """Faust's start without its producer."""

    enable_kafka_producer = False


class BatchApp(faust.App):
    """A Faust app whose agents get batches; it tells its owner when it crashes."""

    BootStrategy = NoProducer
    feed: Feed
    member_note: MemberNote
    fetch_max_wait_ms: int
    warm: Callable[[], Iterable[int]]
    on_crash: Callable[[BaseException], None]

    def use_batches(self) -> None:
        """Put our transport in; before the first use of the consumer."""
        self.transport = BatchTransport(self.conf.broker_consumer, self)

    def _crash(self, reason: BaseException) -> None:
        is_first = not self._crashed.is_set()
        super()._crash(reason)
        if is_first:
            self.on_crash(reason)
