"""Serves one partition under one claim: batch in, decide, append, apply, perform, answer.

One append is in flight at a time; what comes meanwhile is decided into the next batch. Everything
runs in the event loop, in slices, so that neither commands, nor timers, nor the owner's own work
starve each other. The first append whose outcome is not exactly the expected one ends it (L4).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable
from enum import Enum, auto

import structlog

from schemas.errors import Internal, ServiceError
from streams.clock import PartitionClock
from streams.log import commands
from streams.log.append import Flight, is_contiguous
from streams.log.batch import Batch
from streams.log.commands import Command, Poison
from streams.log.counts import Counts
from streams.log.deciding import Deciding, Unwritten
from streams.log.expiry import Expiry
from streams.log.folded import Folded
from streams.log.forwarding import Forwarding
from streams.log.intake import Intake, Taken
from streams.log.outbox import Outbox
from streams.log.outside import Outside
from streams.log.reads import Reads
from streams.log.takeover import EVENTS, Claimed, Takeover
from streams.log.timers import Timers
from streams.log.waiting import Waiting
from streams.log.writing import Moment, Unwritable, Writing
from topology.decision import Ask, ReplyBody

_log = structlog.get_logger(__name__)

_SETTLE_EVERY = 8
"""Batches after which the pipeline is emptied once, so that the core may evict (`settle`)."""

Own = tuple[Ask, asyncio.Future[bytes]]


class End(Enum):
    """Why serving ended."""

    UNKNOWN = auto()
    """Something may have been appended, or somebody else has: read the log, claim anew."""
    CLAIM = auto()
    """The clocks are apart: claim again (T1)."""
    DRAINED = auto()
    """A planned stop: everything appended is decided and answered (C7)."""


class Serving:
    """The owner's loop."""

    def __init__(
        self, takeover: Takeover, folded: Folded, outside: Outside, counts: Counts
    ) -> None:
        self._takeover = takeover
        self._folded = folded
        self._outside = outside
        self._counts = counts
        self._settings = settings = outside.settings
        self._wake = asyncio.Event()
        self.clock = PartitionClock(outside.clock)
        self.waiting = Waiting(limit=settings.waiters_max_count, wake=self._wake.set)
        self.intake = Intake(folded.partition, counts, gate_timeout_s=settings.commands_gate_s)
        self.outbox = Outbox(
            folded.partition,
            outside.performer,
            outside.random,
            forwarding=Forwarding(
                f"{settings.generation}/{folded.partition}",
                outside.commands,
                outside.random,
                quoted=lambda quotes: folded.machine.quoted(quotes, folded.store),
            ),
            wake=self._wake.set,
        )
        self.reads = Reads(
            lambda: outside.admin.end(EVENTS, folded.partition), on_ahead=self._wake.set
        )
        self._timers = Timers(self._wake.set)
        self._expiry = Expiry(folded, self.outbox, outside, wake=self._wake.set)
        self._writing = Writing(folded, settings, performed=self.outbox.performed)
        self._deciding = Deciding(
            folded,
            self._writing,
            commands_of=(outside.namespaces, outside.parse, outside.parse_client),
            settings=settings,
            counts=counts,
        )
        self._own: deque[Own] = deque()
        self._flight: Flight | None = None
        self._in_flight = Batch()
        self._base = 0
        self._blocked: asyncio.Future[bool] | None = None
        self._arrived: dict[str, int] = {}
        self._read_for: dict[str, int] = {}
        """Up to which offsets commands arrived before `namespaces` was last read to its end."""
        self._unblocked: Taken | None = None
        self._head: Command | None = None
        self._unwritten: Unwritten | None = None
        self._unsettled = 0
        self._wants_claim = False
        self.is_open = False
        self.is_draining = False

    def wake(self) -> None:
        """There is something new to do."""
        self._wake.set()

    def do_own(self, ask: Ask) -> asyncio.Future[bytes]:
        """Queue the owner's own work (L0)."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._own.append((ask, future))
        self._wake.set()
        return future

    # -- begin and end

    def begin(self, claimed: Claimed) -> None:
        """Begin to serve under an accepted claim."""
        folded = self._folded
        self.clock.appended(claimed.appended_at)
        self.clock.record(folded.position.recorded_at)
        self._writing.begin(claimed.topic_ids)
        self.intake.begin(claimed.wanted, claimed.gate, at=self._outside.clock.monotonic())
        self._timers.begin()
        self._expiry.begin()
        self._unsettled = 0
        self._wants_claim = False
        self.outbox.stop()
        for seq, effects in folded.outbox.outstanding(folded.store):
            self.outbox.add(seq, effects)
        self.outbox.accepted(folded.position.seq)
        self.reads.begin(folded.position.next_offset)
        self.is_open = True
        self._wake.set()

    def pause(self) -> None:
        """Stop serving for a claim of our own; waiters stay (T1)."""
        self.is_open = False
        self._writing.drop()
        self._folded.drop()
        self._timers.begin()
        self._expiry.begin()
        self._flight = None
        self._read_for = {}
        self._head = self._unwritten = self._unblocked = None
        if self._blocked is not None:
            self._blocked.cancel()
            self._blocked = None

    def end(self, error: ServiceError) -> None:
        """Drop everything that is not accepted, and everybody who waits (L5)."""
        if self._flight is not None:
            for decided in self._in_flight.transitions:
                self._folded.answers.drop(decided.command_ids)
            self._fail(self._in_flight, error)
        self._fail(self._writing.batch, error)
        self.pause()
        self.outbox.stop()
        self.waiting.fail(error)
        self.reads.fail(error)
        for _, future in self._own:
            _set(future, error)
        self._own.clear()

    def _fail(self, batch: Batch, error: ServiceError) -> None:
        for caller, _ in batch.answers:
            if isinstance(caller, asyncio.Future):
                _set(caller, error)

    # -- the loop

    async def serve(self) -> End:
        """Serve until something ends it."""
        while True:
            self._wake.clear()
            if self._flight is not None and self._flight.is_settled() and not self._land():
                return End.UNKNOWN
            end = self._reason_to_end()
            if end is not None:
                return end
            is_busy = self._decide_slice() if self._may_decide() else False
            self._launch()
            if is_busy and self._may_decide():
                await asyncio.sleep(0)
            else:
                self._arm()
                await self._wake.wait()

    def _arm(self) -> None:
        """Arm the wake-up for timers, unless an append in flight will wake the loop anyway."""
        now = self.clock.now()
        self._expiry.arm(now)
        if not self._timers.is_due(now, self.waiting):
            self._timers.arm(now)
        elif self._flight is None:
            self._timers.arm_later()

    def _reason_to_end(self) -> End | None:
        if self._flight is not None or not self._writing.batch.is_empty():
            return None
        if self.reads.is_behind():
            _log.warning("foreign_records_found", partition=self._folded.partition)
            return End.UNKNOWN
        if self._wants_claim:
            return End.CLAIM
        return End.DRAINED if self.is_draining and self.is_idle() else None

    def is_idle(self) -> bool:
        """Whether all that came is decided, accepted, answered and performed."""
        return (
            self._flight is None
            and self._writing.batch.is_empty()
            and not self.intake.backlog()
            and not self._own
            and self._unwritten is None
            and self.outbox.is_empty()
        )

    def check_clocks(self) -> None:
        """Claim again where the clocks have come apart (T1)."""
        if self.is_open and self.clock.should_claim():
            _log.warning(
                "clocks_apart",
                partition=self._folded.partition,
                difference_ms=self.clock.difference() // 1_000_000,
            )
            self.clock.forget_appends()
            self._wants_claim = True
            self._wake.set()

    def _may_decide(self) -> bool:
        """Whether another ask may go into the batch that is being decided."""
        if self._unwritten is not None:
            return self._flight is None and self._writing.batch.is_empty()
        if self._wants_claim or (self._unsettled >= _SETTLE_EVERY and self._flight is not None):
            return False
        batch, settings = self._writing.batch, self._settings
        is_full = len(batch.records) >= settings.batch_max_count
        return not is_full and batch.size_bytes < settings.batch_max_bytes

    # -- decide

    def _decide_slice(self) -> bool:
        """Decide a slice of everything that waits; True: there may be more."""
        moment = Moment(self.clock.now(), self._outside.random.bytes(16))
        if self._unwritten is not None:
            unwritten, self._unwritten = self._unwritten, None
            self._deciding.again(unwritten, moment)
            return True
        is_more = self._decide_own(moment)
        is_more |= self._decide_commands(moment)
        is_more |= self._fire_due(moment)
        self._expire(moment)
        return is_more or self._unwritten is not None

    def _decide_own(self, moment: Moment) -> bool:
        for _ in range(min(len(self._own), self._settings.slice_count)):
            ask, future = self._own.popleft()
            if future.done():
                continue
            try:
                self._deciding.own(ask, future, moment)
            except Unwritable as error:
                self._unwritten = Unwritten(error, future, None)
                return True
        return bool(self._own)

    def _decide_commands(self, moment: Moment) -> bool:
        for _ in range(self._settings.slice_count):
            taken = self.intake.head()
            if taken is None or self._unwritten is not None:
                return False
            try:
                command = self._read(taken)
            except Poison as poison:
                self._writing.cover(taken.topic, taken.record.offset)
                self._deciding.unreadable(taken.topic, taken.record, poison, moment)
                self.intake.pop()
                continue
            if command is None:
                return False
            self._decide_command(command, moment)
            self.intake.pop()
        return True

    def _decide_command(self, command: Command, moment: Moment) -> None:
        self._counts.commands += 1
        try:
            self._deciding.command(command, moment)
        except Unwritable as error:
            caller = command.asked or command.wanted[0].command_id
            self._unwritten = Unwritten(error, caller, command)

    def _read(self, taken: Taken) -> Command | None:
        """Read the next command; None: it waits for `namespaces` (N1)."""
        if self._blocked is not None:
            if not self._blocked.done():
                return None
            if self._blocked.result():
                self._read_for = self._arrived
            self._unblocked, self._blocked = taken, None
        command = commands.read(
            taken.topic,
            taken.record,
            partition=self._folded.partition,
            partitions=self._outside.partitions,
        )
        if self._unblocked is taken:
            self._unblocked = None
            return command
        is_fresh = taken.record.offset < self._read_for.get(taken.topic, 0)
        awaited = commands.awaits(command, self._outside.namespaces, is_fresh=is_fresh)
        if awaited is None:
            return command
        self._arrived = self.intake.all_wanted()
        is_whole = command.namespaces_position <= self._outside.namespaces.position
        self._blocked = asyncio.ensure_future(self._wait_for(awaited, is_whole=is_whole))
        self._blocked.add_done_callback(lambda _: self._wake.set())
        return None

    async def _wait_for(self, awaited: Awaitable[None], *, is_whole: bool) -> bool:
        """Wait for `namespaces`; whether all that is there was read."""
        try:
            async with asyncio.timeout(self._settings.namespaces_timeout_s):
                await awaited
        except (TimeoutError, ServiceError) as error:
            _log.warning("namespaces_not_read", partition=self._folded.partition, error=repr(error))
            return False
        return is_whole

    def _fire_due(self, moment: Moment) -> bool:
        if not self._timers.is_due(moment.now, self.waiting) or self._unwritten is not None:
            return False
        if not self.intake.may_fire(at=self._outside.clock.monotonic()):
            return False
        folded, settings = self._folded, self._settings
        due = self._timers.due(
            folded.machine,
            folded.layers,
            self.waiting,
            now=moment.now,
            limit=settings.timers_count,
        )
        if not self._fired(due, moment):
            self._timers.rescan()
            return True
        return self._timers.is_due(moment.now, self.waiting)

    def _expire(self, moment: Moment) -> None:
        """Delete some of the runs whose retention is over; the rest has its own wake-up."""
        if self._unwritten is not None or not self._expiry.may_step(moment.now):
            return
        if not self.intake.may_fire(at=self._outside.clock.monotonic()):
            return
        if not self._fired(self._expiry.step(moment.now), moment):
            self._expiry.rescan()
        self._expiry.rest()

    def _fired(self, due: Iterable[Ask], moment: Moment) -> bool:
        """Decide what is due; False: one could not be written, nor could those behind it."""
        for ask in due:
            try:
                self._deciding.fire(ask, moment)
            except Unwritable as error:
                self._unwritten = Unwritten(error, b"", None)
                return False
        return True

    # -- append and apply

    def _launch(self) -> None:
        """Hand the batch over, if none is in flight."""
        if self._flight is not None:
            return
        moment = Moment(self.clock.now(), b"")
        batch = self._writing.launch(moment)
        if batch.is_empty():
            self._folded.layers.land()
            self._answer(batch)
            return
        self._in_flight = batch
        self._base = self._folded.position.next_offset
        self._flight = self._takeover.launch(batch.records)
        self._flight.settle(self._settings.append_timeout_s, self._wake.set)
        self.reads.launched()

    def _land(self) -> bool:
        """Look at the acknowledgements (L4); False: the outcome is unknown."""
        flight, batch, folded = self._flight, self._in_flight, self._folded
        assert flight is not None, "expected an append in flight"
        acknowledged = flight.acknowledgements()
        with folded.lock:
            at = folded.position
            is_ours = (at.epoch, at.incarnation) == self._writing.claim
            if not (
                is_ours
                and at.next_offset == self._base
                and is_contiguous(acknowledged, self._base, flight.count)
            ):
                self._counts.unknown += 1
                return False
            written = folded.layers.in_flight
            folded.accept(batch, self.outbox.take_done())
        self._flight = None
        self._counts.appends += 1
        self._counts.accepted += flight.count
        self.clock.appended(acknowledged[-1].appended_at)
        self._timers.on_written(written)
        self._expiry.on_written(written)
        self._settle()
        self._leave(batch)
        return True

    def _settle(self) -> None:
        """Let the core evict, whenever all that was decided is stored."""
        self._unsettled += 1
        if not self._folded.layers.decided:
            self._folded.machine.settle()
            self._unsettled = 0

    # -- what leaves (L9)

    def _leave(self, batch: Batch) -> None:
        self._answer(batch)
        for outgoing in batch.outgoing:
            self._outside.replies.send(outgoing)
        self.waiting.touched(batch.runs)
        self.reads.landed(self._folded.position.next_offset)
        self.outbox.accepted(batch.transitions[-1].seq)
        for decided in batch.transitions:
            if decided.effects:
                self.outbox.add(decided.seq, decided.effects)

    def _answer(self, batch: Batch) -> None:
        for caller, body in batch.answers:
            futures = self.waiting.take(caller) if isinstance(caller, bytes) else [caller]
            if futures:
                answer = self._bytes_of(body)
                for future in futures:
                    _set(future, answer)

    def _bytes_of(self, body: ReplyBody) -> bytes | ServiceError:
        if not callable(body):
            return body
        try:
            return body(self._folded.store)
        except ServiceError as error:
            return error
        except Exception:  # noqa: BLE001  (L13) the answer's end, not the partition's (L13)
            _log.exception("answer_not_built", partition=self._folded.partition)
            return Internal("the answer could not be built")


def _set(future: asyncio.Future[bytes], answer: bytes | ServiceError) -> None:
    if future.done():
        return
    if isinstance(answer, ServiceError):
        future.set_exception(answer)
        future.exception()  # looked at: a caller that has gone away is no error of ours
    else:
        future.set_result(answer)
