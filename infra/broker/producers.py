"""Producers of one partition: sequences (idempotence), open transactions, aborted transactions.

Everything here follows from batch headers and markers in log order, so recovery rebuilds it by the
same `note` calls, from a snapshot on. Nothing here does I/O.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from infra.broker.batches import NO_SEQUENCE, BatchHeader, following_sequence
from infra.broker.errors import ErrorCode, KafkaError

_REMEMBERED_BATCHES = 5  # as many as a producer may have in flight


class RememberedBatch(NamedTuple):
    """A batch that may arrive once more."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    timestamp: int


class AbortedTransaction(NamedTuple):
    """Records of a producer from first_offset to the marker that a read_committed reader skips."""

    producer_id: int
    first_offset: int
    marker_offset: int


@dataclass(slots=True)
class ProducerState:
    """What the partition knows of one producer id."""

    epoch: int
    last_timestamp: int = 0
    batches: deque[RememberedBatch] = field(
        default_factory=lambda: deque(maxlen=_REMEMBERED_BATCHES)
    )


class Producers:
    """All producers that wrote to a partition."""

    def __init__(self) -> None:
        self.states: dict[int, ProducerState] = {}
        self.open_transactions: dict[int, int] = {}
        self.aborted: list[AbortedTransaction] = []

    def duplicate_of(self, header: BatchHeader) -> RememberedBatch | None:
        """Return the batch that this one repeats, None if it is new; refuse gaps and old epochs."""
        state = self.states.get(header.producer_id)
        if state is None:
            return None
        if header.producer_epoch < state.epoch:
            raise KafkaError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"expected epoch {state.epoch} or later, found {header.producer_epoch}",
            )
        if header.producer_epoch > state.epoch or not state.batches:
            if header.base_sequence != 0 and header.producer_epoch > state.epoch:
                raise KafkaError(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, "expected sequence 0")
            return None
        return self._repeated(state, header)

    @staticmethod
    def _repeated(state: ProducerState, header: BatchHeader) -> RememberedBatch | None:
        expected = following_sequence(state.batches[-1].last_sequence)
        if header.base_sequence == expected:
            return None
        sequences = (header.base_sequence, header.last_sequence)
        for batch in state.batches:
            if (batch.first_sequence, batch.last_sequence) == sequences:
                return batch
        raise KafkaError(
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"expected sequence {expected}, found {header.base_sequence}",
        )

    def note(self, header: BatchHeader) -> None:
        """Take an appended batch of records into account."""
        if header.producer_id < 0:
            return
        state = self.states.get(header.producer_id)
        if state is None or state.epoch != header.producer_epoch:
            state = self.states[header.producer_id] = ProducerState(header.producer_epoch)
        state.last_timestamp = max(state.last_timestamp, header.max_timestamp)
        if header.base_sequence != NO_SEQUENCE:
            state.batches.append(
                RememberedBatch(
                    header.base_sequence,
                    header.last_sequence,
                    header.base_offset,
                    header.max_timestamp,
                )
            )
        if header.is_transactional:
            self.open_transactions.setdefault(header.producer_id, header.base_offset)

    def note_marker(self, header: BatchHeader, *, is_commit: bool) -> None:
        """Take a marker into account: its producer has no open transaction here any more."""
        first = self.open_transactions.pop(header.producer_id, None)
        if first is not None and not is_commit:
            aborted = AbortedTransaction(header.producer_id, first, header.base_offset)
            self.aborted.append(aborted)
        state = self.states.get(header.producer_id)
        if state is None or header.producer_epoch > state.epoch:
            state = self.states[header.producer_id] = ProducerState(header.producer_epoch)
        state.last_timestamp = max(state.last_timestamp, header.max_timestamp)

    def first_open_offset(self) -> int | None:
        """Return where the oldest open transaction begins."""
        return min(self.open_transactions.values(), default=None)

    def aborted_between(self, first: int, end: int) -> list[AbortedTransaction]:
        """Return the aborted transactions with records in [first, end)."""
        return [
            one for one in self.aborted if one.marker_offset >= first and one.first_offset < end
        ]

    def forget_aborted_below(self, offset: int) -> None:
        """Forget aborted transactions whose records are gone."""
        self.aborted = [one for one in self.aborted if one.marker_offset >= offset]

    def forget_silent_since(self, instant_ms: int) -> None:
        """Forget producers that wrote nothing since an instant and have nothing open."""
        for producer_id, state in list(self.states.items()):
            if state.last_timestamp < instant_ms and producer_id not in self.open_transactions:
                del self.states[producer_id]

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "states": [
                [key, state.epoch, state.last_timestamp, [list(batch) for batch in state.batches]]
                for key, state in self.states.items()
            ],
            "open": list(self.open_transactions.items()),
            "aborted": [list(one) for one in self.aborted],
        }

    @classmethod
    def restored(cls, snapshot: dict[str, Any]) -> "Producers":
        """Rebuild from what `snapshot` returned."""
        producers = cls()
        for producer_id, epoch, last_timestamp, batches in snapshot["states"]:
            state = producers.states[producer_id] = ProducerState(epoch, last_timestamp)
            state.batches.extend(RememberedBatch(*batch) for batch in batches)
        producers.open_transactions = dict(snapshot["open"])
        producers.aborted = [AbortedTransaction(*one) for one in snapshot["aborted"]]
        return producers
