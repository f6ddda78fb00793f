"""How long to wait before asking again: longer each time, with jitter (C2)."""

from streams.log.ports import Random

_SHORTEST_S = 0.02
_LONGEST_S = 1.0


class Pause:
    """Pauses between repeats; no two callers repeat in step."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def after(self, attempts: int) -> float:
        """Return the pause (s) after so many attempts."""
        ceiling = min(_LONGEST_S, _SHORTEST_S * (1 << min(attempts, 10)))
        return ceiling * (0.5 + self._random.fraction() / 2)
