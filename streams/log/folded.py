"""What the accepted records of one partition amount to: its position, its rows, and the core.

Readers fold what they read, the owner folds what it decided once that is accepted; both come to
the same rows, written together with the position. A fold that raises stops the process; nothing is
skipped (L7). Whoever calls holds `lock`.
"""

import threading
from collections.abc import Callable, Sequence

import structlog

from schemas.rows import UnknownRowVersion
from streams.log import counters
from streams.log import position as positions
from streams.log.accept import accepts_claim, accepts_transition
from streams.log.answers import Answers
from streams.log.batch import Batch
from streams.log.erasing import Erasing
from streams.log.faults import LogFault
from streams.log.layers import Layers, Rows
from streams.log.outbox_rows import OutboxRows
from streams.log.ports import Record, Store
from streams.log.position import Position, Source
from streams.log.records import Claim, Transition, decode
from streams.log.replaying import Replaying
from streams.log.settings import EngineSettings
from topology import decision
from topology.effects import Effect, Forward, effect_of
from topology.machine import Machine

_log = structlog.get_logger(__name__)

MachineFactory = Callable[[decision.Rows], Machine]


class Folded:
    """The folded state of one partition."""

    def __init__(
        self,
        partition: int,
        store: Store,
        *,
        make_machine: MachineFactory,
        settings: EngineSettings,
        partitions: int,
    ) -> None:
        self.partition = partition
        self.store = store
        self.lock = threading.Lock()
        self.ignored_count = 0
        self.layers = Layers(store)
        self.machine = make_machine(self.layers)
        self.answers = Answers(settings)
        self.outbox = OutboxRows()
        self.erasing = Erasing(store, self.machine, self.outbox)
        self.position = Position()
        self._settings = settings
        self.partitions = partitions
        self._replaying = Replaying(store, make_machine) if settings.check_replay else None
        self._load()

    def discard(self) -> None:
        """Empty the store: it was folded from another log (L6)."""
        self.store.discard()
        self._load()

    def drop(self) -> None:
        """Forget everything that was decided and not accepted (L5)."""
        self.layers.drop()
        self.machine.forget()
        self._forget_replay()

    def rewind(self) -> None:
        """Read on behind the last accepted record: what was ignored may have been replaced."""
        self.position.next_offset = self.position.accepted_offset + 1

    # -- a reader's way

    def fold(self, records: Sequence[Record]) -> bool:
        """Fold records in order; False: there is a hole before the next one (L3)."""
        rows = self.layers.decided
        is_dense = True
        for record in records:
            if record.offset < self.position.next_offset:
                continue
            if record.offset > self.position.next_offset:
                is_dense = False
                break
            self._fold_one(record, rows)
        rows[positions.KEY] = positions.row_of(self.position)
        self.store.write(rows)
        self._forget_replay()
        self.erasing.put(self.position.seq, rows)
        self.layers.drop()
        self.machine.settle()
        self.erasing.step(self._settings.expiry_count)
        return is_dense

    def _fold_one(self, record: Record, rows: Rows) -> None:
        self._fold_read(record, rows)
        self.position.next_offset = record.offset + 1

    def _fold_read(self, record: Record, rows: Rows) -> None:
        read = decode(record.value)
        at = self.position
        if isinstance(read, Claim):
            if accepts_claim(at, epoch=read.epoch, seq=read.seq):
                self.on_claim(read, record.offset)
                return
        elif accepts_transition(at, epoch=read.epoch, incarnation=read.incarnation, seq=read.seq):
            self._on_transition(read, record.offset, rows)
            return
        self.ignored_count += 1

    def on_claim(self, claim: Claim, offset: int) -> None:
        """Accept a claim."""
        mapping = (claim.generation, claim.partitions)
        if mapping != (self._settings.generation, self.partitions):
            raise LogFault(
                f"expected generation {self._settings.generation} with {self.partitions} "
                f"partitions, found generation {mapping[0]} with {mapping[1]} (L11)"
            )
        at = self.position
        at.epoch, at.incarnation = claim.epoch, claim.incarnation
        at.generation, at.partitions = mapping
        at.seq, at.accepted_offset = claim.seq, offset
        at.command_ends = dict(claim.command_ends)
        at.sources.update(claim.sources)

    def _on_transition(self, read: Transition, offset: int, rows: Rows) -> None:
        self._advance(read.sources)
        rows.update(self.machine.fold(read.changes, decided_at=read.decided_at))
        if read.effects:
            self.outbox.put(read.seq, read.effects, rows)
            self.outbox.on_accepted(read.seq)
            self._count_sent([effect_of(body) for body in read.forwards])
        ids: tuple[bytes, ...] = ()
        if read.answers:
            ids = self.answers.on_decided(read.seq, read.decided_at, read.answers, rows)
        self.answers.on_accepted(read.seq, read.decided_at, ids, rows)
        self.outbox.on_performed(read.performed, rows)
        at = self.position
        at.seq, at.accepted_offset, at.performed = read.seq, offset, read.performed
        at.recorded_at = max(at.recorded_at, read.decided_at)

    # -- the owner's way

    def accept(self, batch: Batch, done: Sequence[int]) -> None:
        """Take in a batch whose records are accepted, and forget effects that are done."""
        rows = self.layers.in_flight
        if self._replaying is not None:
            self._replaying.check(self.partition, batch.records, rows)
        at = self.position
        self._advance(batch.sources)
        for seq, decided_at, command_ids, effects in batch.transitions:
            if effects:
                self.outbox.on_accepted(seq)
                self._count_sent(effects)
            self.answers.on_accepted(seq, decided_at, command_ids, rows)
        for seq in done:
            self.outbox.delete(seq, rows)
        self.outbox.on_performed(batch.performed, rows)
        count = len(batch.records)
        at.seq += count
        at.next_offset += count
        at.accepted_offset = at.next_offset - 1
        at.performed = batch.performed
        at.recorded_at = max(at.recorded_at, batch.recorded_at)
        rows[positions.KEY] = positions.row_of(at)
        self.store.write(rows)
        self.erasing.put(at.seq, rows)
        self.layers.land()

    def forget_done(self, done: Sequence[int]) -> None:
        """Forget effects that are done, between two batches."""
        rows: Rows = {}
        for seq in done:
            self.outbox.delete(seq, rows)
        if rows:
            self.store.write(rows)

    def accept_claim(self, claim: Claim) -> None:
        """Take in our own claim, acknowledged where the log ended."""
        self.on_claim(claim, self.position.next_offset)
        self.position.next_offset += 1
        self.write_position()

    def write_position(self) -> None:
        """Write the position alone."""
        self.store.write({positions.KEY: positions.row_of(self.position)})

    # -- inside

    def _advance(self, sources: dict[str, Source]) -> None:
        known, received = self.position.sources, self.position.received
        for topic, source in sources.items():
            if sender := counters.sender_of(topic):
                self._receive(received, sender, source.position)
                continue
            last = known.get(topic)
            if last is not None and (
                source.position <= last.position or source.topic_id != last.topic_id
            ):
                raise LogFault(f"expected the source {topic} behind {last}, found {source} (L1)")
            known[topic] = source

    def _receive(self, received: dict[str, int], sender: str, counter: int) -> None:
        last = received.get(sender, 0)
        if counter <= last:
            raise LogFault(f"expected forwards of {sender} behind {last}, found {counter} (L16)")
        received[sender] = counter

    def _count_sent(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Forward):
                self.position.sent[str(effect.receiver)] = effect.counter

    def _forget_replay(self) -> None:
        if self._replaying is not None:
            self._replaying.forget()

    def _load(self) -> None:
        self.drop()
        try:
            self._read_engine_rows()
        except UnknownRowVersion:
            _log.warning("store_of_another_version_discarded", partition=self.partition)
            self.store.discard()
            self._read_engine_rows()

    def _read_engine_rows(self) -> None:
        self.position = positions.load(self.store)
        self.answers.load(self.store)
        self.outbox.load(self.store)
        self.erasing.load(self.position.seq)

    def fault(self, error: Exception) -> LogFault:
        """Return what a fold that raised means: its record is the next one (L7)."""
        offset = self.position.next_offset
        found = error if isinstance(error, LogFault) else repr(error)
        return LogFault(
            f"events-{self.partition}: cannot fold the record at offset {offset}: {found}"
        )
