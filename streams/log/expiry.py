"""Deletes closed runs whose retention is over, and erases what deleted ones leave behind.

However many are due at once, neither commands nor timers wait for them: each step is bounded, and
after it comes a pause that leaves the most of the time to the others.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from schemas.instants import SECOND
from streams.log.due_line import DueLine
from streams.log.folded import Folded
from streams.log.layers import Rows
from streams.log.outbox import Outbox
from streams.log.outside import Outside
from topology.decision import Ask

PREFIX: Final = b"e"
_FAR_S: Final = 3600.0
_SOON_S: Final = 0.001


class Expiry:
    """The deletions of one partition: which are due, and when the next step may be."""

    def __init__(
        self, folded: Folded, outbox: Outbox, outside: Outside, *, wake: Callable[[], object]
    ) -> None:
        self._folded = folded
        self._outbox = outbox
        self._clock = outside.clock
        self._settings = outside.settings
        self._wake = wake
        self._line = DueLine(PREFIX)
        self._began_at = 0.0
        self._rests_until = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Begin anew."""
        self._line.begin()
        self._rests_until = 0.0
        self.disarm()

    def on_written(self, rows: Rows) -> None:
        """Look at rows that were stored for runs that will be due."""
        self._line.on_written(rows)

    def may_step(self, now: int) -> bool:
        """Whether there is something to do, and the last step's pause is over."""
        if self._folded.erasing.is_waiting():  # for effects that may be done
            with self._folded.lock:
                self._folded.forget_done(self._outbox.take_done())
        is_due = self._line.is_due(now) or self._folded.erasing.may_step()
        return is_due and self._clock.monotonic() >= self._rests_until

    def step(self, now: int) -> list[Ask]:
        """Erase a few runs that are deleted, and return what is due now; `rest` comes after it."""
        self._began_at = self._clock.monotonic()
        folded, limit = self._folded, self._settings.expiry_count
        with folded.lock:
            folded.erasing.step(limit)
        found = self._line.find(folded.machine, folded.layers, now=now, limit=limit)
        return [ask for _, ask in found]

    def rescan(self) -> None:
        """What was returned last was not all decided: return it again."""
        self._line.rescan()

    def rest(self) -> None:
        """Leave the time to others, in proportion to what the step took."""
        ended_at = self._clock.monotonic()
        share = self._settings.expiry_factor
        self._rests_until = ended_at + (ended_at - self._began_at) * (1 / share - 1)

    def arm(self, now: int) -> None:
        """Arm the wake-up for the next step."""
        delay_s = self._rests_until - self._clock.monotonic()
        if not self._folded.erasing.may_step() and not self._line.is_due(now):
            if self._line.next_at is None:
                return
            delay_s = max(delay_s, (self._line.next_at - now) / SECOND)
        loop = asyncio.get_running_loop()
        at = loop.time() + min(max(_SOON_S, delay_s), _FAR_S)
        if self._alarm is None or self._alarm.when() > at:
            self.disarm()
            self._alarm = loop.call_at(at, self._rang)

    def disarm(self) -> None:
        """Take the wake-up back."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None

    def _rang(self) -> None:
        self._alarm = None
        self._wake()
