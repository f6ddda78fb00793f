"""Rows that become due, by their instants: found behind a cursor, in bounded batches.

Everything below the cursor was found before or is gone, so rows that were deleted are never scanned
again; a row that is written below it sets it back. What a row means is the core's question; only
the order of the keys is known here: a prefix of one byte and the instant (8 bytes, big-endian ns).
"""

from streams.log.layers import Layers, Rows
from topology.decision import Ask
from topology.machine import Machine


class DueLine:
    """The rows of one prefix."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._first = prefix[0]
        self._cursor = prefix
        self._is_known = False
        self.next_at: int | None = None
        """When something is due next, as far as is known."""

    def begin(self) -> None:
        """Begin anew: scan from the first row on."""
        self.next_at = None
        self.rescan()

    def on_written(self, rows: Rows) -> None:
        """Look at rows that were stored for new due ones."""
        for key, value in rows.items():
            if key[0] == self._first and value is not None:
                at = int.from_bytes(key[1:9])
                if self.next_at is None or at < self.next_at:
                    self.next_at = at
                self._cursor = min(self._cursor, key)

    def rescan(self) -> None:
        """Find again what was found and not decided."""
        self.back_to(self._prefix)

    def back_to(self, key: bytes) -> None:
        """Find again what is due from a key on."""
        self._cursor = min(self._cursor, key)
        self._is_known = False

    def is_due(self, now: int) -> bool:
        """Whether `find` may have something to return."""
        return not self._is_known or (self.next_at is not None and self.next_at <= now)

    def find(
        self, machine: Machine, layers: Layers, *, now: int, limit: int
    ) -> list[tuple[bytes, Ask]]:
        """Return what is due now, oldest first, with its keys, and go past it."""
        if not self._is_known:
            self.next_at = machine.next_due_at(layers, after=self._cursor)
            self._is_known = True
        if self.next_at is None or self.next_at > now:
            return []
        found = machine.due(layers, after=self._cursor, until=now, limit=limit)
        if found:
            self._cursor = found[-1][0] + b"\x00"
        self.next_at = machine.next_due_at(layers, after=self._cursor)
        return found
