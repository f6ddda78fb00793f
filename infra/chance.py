"""Randomness of the machine; implements `streams.log.ports.Random`."""

import os
import random
from typing import Final

_POOL_BYTES: Final = 4_096


class SystemRandom:
    """Bytes that nobody can guess, and fractions that nobody needs to; for one thread.

    Bytes are asked of the system a pool at a time, and each is given out once.
    """

    def __init__(self) -> None:
        self._pool = b""
        self._taken = 0

    def bytes(self, count: int) -> bytes:
        """Return random bytes."""
        end = self._taken + count
        if end > len(self._pool):
            self._pool = os.urandom(max(count, _POOL_BYTES))
            self._taken, end = 0, count
        taken, self._taken = self._pool[self._taken : end], end
        return taken

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()  # noqa: S311  # jitter, no secret
