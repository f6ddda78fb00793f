"""Which namespaces' archives are away, and until when they are left alone."""

from typing import Final

from streams.log.ports import Clock, Random

_SHORTEST_S: Final = 1.0
_REMEMBERED_S: Final = 600.0
"""So long a failure counts for the length of the next pause."""


class Away:
    """Pauses that grow while an archive stays away; by namespace id."""

    def __init__(self, clock: Clock, random: Random, *, longest_s: float) -> None:
        self._clock = clock
        self._random = random
        self._longest_s = longest_s
        self._until: dict[str, tuple[float, float]] = {}  # monotonic s, and the pause

    def note(self, namespace_id: str) -> None:
        """Take note that an archive failed."""
        _, before = self._until.get(namespace_id, (0.0, 0.0))
        pause = min(self._longest_s, max(_SHORTEST_S, before * 2))
        jittered = pause * (0.75 + self._random.fraction() / 2)
        self._until[namespace_id] = (self._clock.monotonic() + jittered, pause)

    def forget(self, namespace_id: str) -> None:
        """Take note that an archive works."""
        self._until.pop(namespace_id, None)

    def namespaces(self) -> tuple[str, ...]:
        """Return the namespaces that are to be passed over now."""
        now = self._clock.monotonic()
        return tuple(each for each, (until, _) in self._until.items() if until > now)

    def pause_s(self, longest_s: float) -> float:
        """Return the seconds until the next one is to be tried, at most so many."""
        now = self._clock.monotonic()
        self._until = {
            each: entry for each, entry in self._until.items() if entry[0] > now - _REMEMBERED_S
        }
        return min([longest_s, *(until - now for until, _ in self._until.values() if until > now)])
