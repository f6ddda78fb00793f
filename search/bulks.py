"""How large the next bulk is: grows while the cluster answers fast, shrinks when it does not."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

_START_COUNT: Final = 250
_LEAST_COUNT: Final = 10
_FAST_S: Final = 0.25
_SLOW_S: Final = 1.0


class Action(NamedTuple):
    """One line pair of a bulk, its size known."""

    id: str
    version: int
    source: bytes  # JSON


class BulkSize:
    """The size of bulks to one cluster."""

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self.count = min(_START_COUNT, count_max)

    def on_answered(self, seconds: float) -> None:
        """Learn from the time that a bulk took."""
        if seconds > _SLOW_S:
            self.on_refused()
        elif seconds < _FAST_S:
            self.count = min(self._count_max, self.count * 2)

    def on_refused(self) -> None:
        """Learn from a cluster that has too much to do."""
        self.count = max(min(_LEAST_COUNT, self._count_max), self.count // 2)

    def next_bulk(self, actions: Sequence[Action]) -> Sequence[Action]:
        """Return the first actions, as many as a bulk should have; at least one."""
        taken = size = 0
        for action in actions[: self.count]:
            size += len(action.source)
            if taken and size > self._bytes_max:
                break
            taken += 1
        return actions[:taken]


def backoff_delays(first_s: float = 0.1, most_s: float = 5.0) -> Iterator[float]:
    """Yield how long to wait before each further try, seconds, without jitter."""
    delay = first_s
    while True:
        yield delay
        delay = min(most_s, delay * 2)
