"""Time: the process' clocks, and the clock of a partition (T1).

A partition's raw clock is the earlier of the wall clock and (monotonic time + the largest "append
time - monotonic time at its acknowledgement" of the last minute), so that one fast clock cannot
run ahead alone. Its `now` is never below the last recorded instant: where it would be, it runs on
at half speed until both meet.
"""

import time
from collections import deque
from typing import Final

from schemas.instants import SECOND
from streams.log.ports import Clock

WINDOW_S: Final = 60.0
APART: Final = 1 * SECOND
AGAIN_S: Final = 60.0


class SystemClock:
    """The clocks of the machine; implements `streams.log.ports.Clock`."""

    def now(self) -> int:
        """Wall clock, ns since 1970."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class PartitionClock:
    """The clock of one partition."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offsets: deque[tuple[float, int]] = deque()  # falling: the first is the largest
        self._last = 0
        self._last_at = clock.monotonic()
        self._told_at: float | None = None

    def record(self, instant: int) -> None:
        """Take note of a recorded instant: `now` will not be below it."""
        if instant > self._last:
            self._last = instant
            self._last_at = self._clock.monotonic()

    def appended(self, appended_at: int) -> None:
        """Take note of an append time (ns by the log's clock; 0: unknown), as acknowledged."""
        if appended_at <= 0:
            return
        at = self._clock.monotonic()
        offset = appended_at - int(at * SECOND)
        offsets = self._offsets
        while offsets and offsets[-1][1] <= offset:
            offsets.pop()
        offsets.append((at, offset))
        while len(offsets) > 1 and offsets[0][0] < at - WINDOW_S:
            offsets.popleft()

    def now(self) -> int:
        """Return the instant to decide at, ns."""
        at = self._clock.monotonic()
        raw = self._raw(at)
        if raw < self._last:
            raw = max(raw, self._last + int((at - self._last_at) * SECOND) // 2)
        self._last, self._last_at = raw, at
        return raw

    def difference(self) -> int:
        """Return wall clock - log's clock, ns; 0 where nothing was appended yet."""
        by_log = self._by_log(self._clock.monotonic())
        return 0 if by_log is None else self._clock.now() - by_log

    def should_claim(self) -> bool:
        """Whether the clocks are more than 1 s apart; true at most once a minute."""
        if abs(self.difference()) <= APART:
            return False
        at = self._clock.monotonic()
        if self._told_at is not None and at - self._told_at < AGAIN_S:
            return False
        self._told_at = at
        return True

    def forget_appends(self) -> None:
        """Begin anew with the next append: the clocks have come apart."""
        self._offsets.clear()

    def _raw(self, at: float) -> int:
        wall = self._clock.now()
        by_log = self._by_log(at)
        return wall if by_log is None else min(wall, by_log)

    def _by_log(self, at: float) -> int | None:
        if not self._offsets:
            return None
        return int(at * SECOND) + self._offsets[0][1]
