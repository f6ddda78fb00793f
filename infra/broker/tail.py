"""The newest batches of all partitions, in memory within one budget: hot readers skip the disk."""

from bisect import bisect_right
from collections import deque
from typing import NamedTuple

from infra.broker.wire import Buffer


class _Entry(NamedTuple):
    base_offset: int
    next_offset: int
    batch: Buffer


def _base_offset(entry: _Entry) -> int:
    return entry.base_offset


class TailBudget:
    """Memory shared by all tails; the oldest batch of any partition goes first."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._order: deque[tuple[Tail, _Entry]] = deque()

    def take(self, tail: "Tail", entry: _Entry) -> None:
        """Count an entry and evict what no longer fits."""
        self._order.append((tail, entry))
        self.used_bytes += len(entry.batch)
        while self.used_bytes > self.max_bytes:
            owner, oldest = self._order.popleft()
            self.used_bytes -= len(oldest.batch)
            owner.evict(oldest)


class Tail:
    """The newest batches of one partition, without gaps up to its end."""

    __slots__ = ("_budget", "_entries")

    def __init__(self, budget: TailBudget) -> None:
        self._budget = budget
        self._entries: deque[_Entry] = deque()

    def add(self, base_offset: int, next_offset: int, batch: Buffer) -> None:
        """Keep a batch that was just appended."""
        entry = _Entry(base_offset, next_offset, batch)
        self._entries.append(entry)
        self._budget.take(self, entry)

    def evict(self, entry: _Entry) -> None:
        """Drop an entry that the budget has no room for."""
        if self._entries and self._entries[0] is entry:
            self._entries.popleft()

    def clear(self) -> None:
        """Drop everything."""
        self._entries.clear()

    def read(self, offset: int, max_bytes: int, upto: int) -> list[Buffer] | None:
        """Return whole batches from offset up to upto, or None where the disk must be asked."""
        entries = self._entries
        if not entries or offset < entries[0].base_offset:
            return None
        at = bisect_right(entries, offset, key=_base_offset) - 1
        chunks: list[Buffer] = []
        left = max_bytes
        while at < len(entries):
            entry = entries[at]
            if entry.base_offset >= upto or (chunks and len(entry.batch) > left):
                break
            chunks.append(entry.batch)
            left -= len(entry.batch)
            at += 1
        return chunks
