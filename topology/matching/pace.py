"""How fast tasks of a queue come and go, and how fast they may go: pure, instants are arguments.

`Pace` bounds (the workers' `max_tasks_per_second`, the last one who says so wins), `Rate` measures.
"""

import math
from collections import deque
from typing import Final

from schemas.instants import SECOND

_WINDOW: Final = 30 * SECOND
_SLOT: Final = 5 * SECOND


class Pace:
    """A token bucket that holds as many tokens as come in a second, at least one."""

    def __init__(self) -> None:
        self.per_second: float | None = None
        """The bound; None: there is none, 0: nothing goes."""
        self._tokens = 0.0
        self._at = 0

    def set(self, per_second: float, now: int) -> None:
        """Set the bound; what has gathered under another one stays within the new."""
        if self.per_second is None:
            self._tokens = self._size(per_second)
            self._at = now
        else:
            self._gather(now)
        self.per_second = per_second
        self._tokens = min(self._tokens, self._size(per_second))

    def take(self, now: int) -> bool:
        """Take a token for one task; False: not yet."""
        if self.per_second is None:
            return True
        self._gather(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def delay(self, now: int) -> int | None:
        """Return how long it takes until a token is there, ns; None: for ever."""
        if self.per_second is None:
            return 0
        self._gather(now)
        if self._tokens >= 1:
            return 0
        if self.per_second <= 0:
            return None
        return math.ceil((1 - self._tokens) / self.per_second * SECOND)

    def _gather(self, now: int) -> None:
        passed, self._at = max(0, now - self._at), max(now, self._at)
        rate = self.per_second or 0.0
        self._tokens = min(self._size(rate), self._tokens + passed * rate / SECOND)

    @staticmethod
    def _size(per_second: float) -> float:
        return float(max(1, math.ceil(per_second)))


class Rate:
    """How many a second, over the last half minute."""

    def __init__(self, now: int) -> None:
        self._since = now
        self._slots: deque[tuple[int, int]] = deque()

    def count(self, now: int) -> None:
        """Count one."""
        slot = now // _SLOT
        if self._slots and self._slots[-1][0] == slot:
            self._slots[-1] = (slot, self._slots[-1][1] + 1)
        else:
            self._slots.append((slot, 1))
            self._forget(now)

    def per_second(self, now: int) -> float:
        """Return the rate."""
        self._forget(now)
        passed = min(_WINDOW, max(now - self._since, SECOND))
        return sum(count for _, count in self._slots) * SECOND / passed

    def _forget(self, now: int) -> None:
        first = (now - _WINDOW) // _SLOT
        while self._slots and self._slots[0][0] <= first:
            self._slots.popleft()
