"""Due timers of one partition: found behind a cursor, in bounded batches, one armed wake-up.

Everything below the cursor was fired or is gone, so rows that were deleted are never scanned
again; a row that is written below it sets it back. What a due row means is the core's question;
only the order of their keys is known here: `b"d"` and the instant (8 bytes, big-endian ns).
"""

import asyncio
from collections.abc import Callable
from typing import Final

from schemas.instants import SECOND
from streams.log.layers import Layers, Rows
from streams.log.waiting import Waiting
from topology.decision import Ask
from topology.machine import Machine

PREFIX: Final = b"d"
_FIRST: Final = PREFIX[0]
_FAR_S: Final = 3600.0
_SOON_S: Final = 0.001
"""A clock that runs at half speed would else ring ever sooner (T1)."""
_NOT_YET_S: Final = 1.0


class Timers:
    """When something is due next, and what is due now."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._cursor = PREFIX
        self._next_at: int | None = None
        self._is_known = False
        self._held: dict[tuple[str, str], bytes] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at: int | None = None

    def begin(self) -> None:
        """Begin anew: scan from the first row on."""
        self._cursor, self._next_at, self._is_known = PREFIX, None, False
        self._held.clear()
        self.disarm()

    def on_written(self, rows: Rows) -> None:
        """Look at rows that were stored for new due ones."""
        for key, value in rows.items():
            if key[0] == _FIRST and value is not None:
                at = int.from_bytes(key[1:9])
                if self._next_at is None or at < self._next_at:
                    self._next_at = at
                self._cursor = min(self._cursor, key)

    def due(
        self, machine: Machine, layers: Layers, waiting: Waiting, *, now: int, limit: int
    ) -> list[Ask]:
        """Return what is due now, oldest first, and go past it."""
        if waiting.released() and self._held:
            self._cursor = min(self._cursor, *self._held.values())
            self._held.clear()
            self._is_known = False
        if not self._is_known:
            self._next_at = machine.next_due_at(layers, after=self._cursor)
            self._is_known = True
        if self._next_at is None or self._next_at > now:
            return []
        found = machine.due(layers, after=self._cursor, until=now, limit=limit)
        if found:
            self._cursor = found[-1][0] + b"\x00"
        self._next_at = machine.next_due_at(layers, after=self._cursor)
        return [ask for key, ask in found if not self._is_held(key, ask, waiting)]

    def rescan(self) -> None:
        """What was returned last was not all decided: return it again."""
        self._cursor, self._is_known = PREFIX, False

    def is_due(self, now: int, waiting: Waiting) -> bool:
        """Whether `due` may have something to return."""
        if waiting.has_released() and self._held:
            return True
        return not self._is_known or (self._next_at is not None and self._next_at <= now)

    def arm(self, now: int) -> None:
        """Arm the wake-up for what is due next."""
        at = self._next_at
        if at == self._alarm_at:
            return
        self.disarm()
        if at is not None:
            self._alarm_at = at
            self._ring_in((at - now) / SECOND)

    def arm_later(self) -> None:
        """Arm the wake-up for what is due, but may not fire yet."""
        self.disarm()
        self._ring_in(_NOT_YET_S)

    def disarm(self) -> None:
        """Take the wake-up back."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._alarm_at = None

    def _ring_in(self, delay_s: float) -> None:
        delay_s = min(max(_SOON_S, delay_s), _FAR_S)
        self._alarm = asyncio.get_running_loop().call_later(delay_s, self._rang)

    def _rang(self) -> None:
        self._alarm = self._alarm_at = None
        self._wake()

    def _is_held(self, key: bytes, ask: Ask, waiting: Waiting) -> bool:
        hold = (ask.namespace.name, ask.workflow_id)
        if not waiting.is_held(hold):
            return False
        self._held.setdefault(hold, key)
        return True
