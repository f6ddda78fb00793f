"""Randomness of the machine; implements `streams.log.ports.Random`."""

import os
import random


class SystemRandom:
    """Bytes that nobody can guess, and fractions that nobody needs to."""

    def bytes(self, count: int) -> bytes:
        """Return random bytes."""
        return os.urandom(count)

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()  # noqa: S311  # jitter, no secret
