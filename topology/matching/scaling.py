"""Hints to workers that scale their polls: one more, one fewer, or nothing (temporal-core 3).

A poll that waited long for its task says that there are too many; tasks that wait, or come faster
than they go, say that there are too few. Not where a bound keeps tasks back: more polls would not
help. Pure: instants and counts are arguments.
"""

from collections.abc import Callable
from typing import Final, Protocol

from schemas.instants import MILLISECOND, SECOND
from topology.matching.pace import Pace

IDLE_WAIT: Final = SECOND
"""A poll that waited so long for a fresh task was not needed."""
BACKLOG_AGE: Final = 200 * MILLISECOND
"""Tasks that wait longer than so want another poll."""
ADDED_PER_DISPATCHED: Final = 1.2
"""Tasks that come faster than they go by this factor want another poll."""
HINTS_PER_SECOND: Final = 10.0
"""So many times a second another poll is asked for at most."""


class Flow(Protocol):
    """What goes on in a queue."""

    @property
    def backlog_count(self) -> int:
        """Tasks that wait."""
        ...

    @property
    def backlog_age(self) -> int:
        """How long the first one waits, ns."""
        ...

    @property
    def add_rate(self) -> float:
        """Tasks that come in a second."""
        ...

    @property
    def dispatch_rate(self) -> float:
        """Tasks that go in a second."""
        ...

    @property
    def limit(self) -> float | None:
        """How many may go in a second."""
        ...


class Scaling:
    """The hints of one queue."""

    def __init__(self, now: int) -> None:
        self._pace = Pace()
        self._pace.set(HINTS_PER_SECOND, now)

    def change(self, waited: int, flow: Callable[[], Flow], now: int) -> int:
        """Return by how many polls to change, for a poll that waited so long for its task.

        `waited` is 0 for a task of the backlog; `flow` is only asked where it matters.
        """
        if waited >= IDLE_WAIT:
            return -1
        if not self._pace.take(now):
            return 0
        seen = flow()
        if seen.limit is not None:
            return 0
        is_late = seen.backlog_count > 0 and seen.backlog_age > BACKLOG_AGE
        is_falling_behind = seen.add_rate > ADDED_PER_DISPATCHED * seen.dispatch_rate > 0
        return 1 if is_late or is_falling_behind else 0
