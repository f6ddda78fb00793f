"""Erases the rows of deleted runs from the store, in bounded steps and outside the log.

A deletion is a fact of a few rows, whatever the size of its run; what is left nobody reads. One row
says so until the rest is gone, so a crash loses nothing. Nothing is erased while the outbox has a
row of the deletion or of what was before it: whoever performs it may have to quote the history.
"""

from collections import deque
from typing import Final

from streams.log.layers import Rows
from streams.log.outbox_rows import OutboxRows
from streams.log.ports import Store
from topology.machine import Machine

PREFIX: Final = b"g"
_FIRST: Final = PREFIX[0]
_ROWS_MAX: Final = 256
"""Rows of one kind beyond which they are erased by one mark; a few are cheaper one by one."""


class Erasing:
    """The deleted runs of one partition whose rows are still there."""

    def __init__(self, store: Store, machine: Machine, outbox: OutboxRows) -> None:
        self._store = store
        self._machine = machine
        self._outbox = outbox
        self._waiting: deque[tuple[int, bytes]] = deque()

    def load(self, seq: int) -> None:
        """Find what a former life left; all of it was deleted up to a seq."""
        self._waiting = deque((seq, key) for key, _ in self._store.scan(PREFIX))

    def put(self, seq: int, rows: Rows) -> None:
        """Look at rows of accepted transitions, the last of which has a seq."""
        for key, value in rows.items():
            if key[0] == _FIRST and value is not None:
                self._waiting.append((seq, key))

    def is_waiting(self) -> bool:
        """Whether there is something to erase, now or later."""
        return bool(self._waiting)

    def may_step(self) -> bool:
        """Whether there is something that may be erased now."""
        if not self._waiting:
            return False
        first = self._outbox.done_below()
        return first is None or self._waiting[0][0] < first

    def step(self, limit: int) -> None:
        """Erase the rows of some runs."""
        rows: Rows = {}
        for _ in range(limit):
            if not self.may_step():
                break
            _, key = self._waiting.popleft()
            for prefix in self._machine.rows_of_deleted(key):
                _gather(self._store, prefix, rows)
            rows[key] = None
        if rows:
            self._store.write(rows)


def _gather(store: Store, prefix: bytes, rows: Rows) -> None:
    """Note the rows of a prefix for erasing; many are erased at once."""
    found = []
    for key, _ in store.scan(prefix):
        found.append(key)
        if len(found) == _ROWS_MAX:
            store.delete_prefix(prefix)
            return
    rows.update(dict.fromkeys(found))
