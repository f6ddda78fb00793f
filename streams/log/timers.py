"""Due timers of one partition: which may fire now, and one armed wake-up for the next.

Rows and their order are `due_line.py`'s. Timers of a workflow whose heartbeats are on their way
wait for those (T3).
"""

import asyncio
from collections.abc import Callable
from typing import Final

from schemas.instants import SECOND
from streams.log.due_line import DueLine
from streams.log.layers import Layers, Rows
from streams.log.waiting import Waiting
from topology.decision import Ask
from topology.machine import Machine

PREFIX: Final = b"d"
_FAR_S: Final = 3600.0
_SOON_S: Final = 0.001
"""A clock that runs at half speed would else ring ever sooner (T1)."""
_NOT_YET_S: Final = 1.0


class Timers:
    """When something is due next, and what is due now."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._line = DueLine(PREFIX)
        self._held: dict[tuple[str, str], bytes] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at: int | None = None

    def begin(self) -> None:
        """Begin anew: scan from the first row on."""
        self._line.begin()
        self._held.clear()
        self.disarm()

    def on_written(self, rows: Rows) -> None:
        """Look at rows that were stored for new due ones."""
        self._line.on_written(rows)

    def due(
        self, machine: Machine, layers: Layers, waiting: Waiting, *, now: int, limit: int
    ) -> list[Ask]:
        """Return what is due now, oldest first, and go past it."""
        if waiting.released() and self._held:
            self._line.back_to(min(self._held.values()))
            self._held.clear()
        found = self._line.find(machine, layers, now=now, limit=limit)
        return [ask for key, ask in found if not self._is_held(key, ask, waiting)]

    def rescan(self) -> None:
        """What was returned last was not all decided: return it again."""
        self._line.rescan()

    def is_due(self, now: int, waiting: Waiting) -> bool:
        """Whether `due` may have something to return."""
        return (waiting.has_released() and bool(self._held)) or self._line.is_due(now)

    def arm(self, now: int) -> None:
        """Arm the wake-up for what is due next."""
        at = self._line.next_at
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
