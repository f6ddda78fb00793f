"""Reads by position (R1): nothing is answered from a state that somebody else has left behind.

A read waits until an append that was handed over after it came is acknowledged in sequence, or
until the log's end, asked for after it came, is what is folded. One question for all that wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from schemas.errors import NotTheOwner, ServiceError

Future = asyncio.Future[None]


class Reads:
    """The reads that wait in one partition."""

    def __init__(
        self, ask_end: Callable[[], Awaitable[int]], *, on_ahead: Callable[[], object]
    ) -> None:
        self._ask_end = ask_end
        self._on_ahead = on_ahead
        self._new: list[Future] = []
        self._asked: list[Future] = []
        self._behind: list[tuple[int, Future]] = []
        self._riding: list[Future] = []
        self._task: asyncio.Task[None] | None = None
        self._next_offset = 0

    def count(self) -> int:
        """Return how many wait."""
        return len(self._new) + len(self._asked) + len(self._behind)

    def current(self) -> Future:
        """Return a future that is resolved when the state is as new as this call."""
        future: Future = asyncio.get_running_loop().create_future()
        self._new.append(future)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._ask())
        return future

    def launched(self) -> None:
        """An append is handed over: it speaks for all reads that came before."""
        self._riding = [*self._new, *self._asked, *(each for _, each in self._behind)]

    def landed(self, next_offset: int) -> None:
        """The append is acknowledged in sequence and applied."""
        self._next_offset = next_offset
        riding, self._riding = self._riding, []
        for future in riding:
            _resolve(future)
        self._let_go()

    def begin(self, next_offset: int) -> None:
        """A claim of ours is accepted."""
        self._next_offset = next_offset

    def fail(self, error: ServiceError) -> None:
        """Lose all that wait."""
        lost = [*self._new, *self._asked, *(each for _, each in self._behind)]
        self._new, self._asked, self._behind, self._riding = [], [], [], []
        if self._task is not None:
            self._task.cancel()
            self._task = None
        _refuse(lost, error)

    async def _ask(self) -> None:
        while self._new:
            self._asked, self._new = self._new, []
            try:
                end = await self._ask_end()
            except ServiceError as error:
                asked, self._asked = self._asked, []
                _refuse(asked, NotTheOwner(f"expected the log's end: {error}"))
                continue
            self._behind += [(end, future) for future in self._asked]
            self._asked = []
            self._let_go()
        if self._behind:
            self._on_ahead()

    def _let_go(self) -> None:
        behind = []
        for end, future in self._behind:
            if end <= self._next_offset:
                _resolve(future)
            elif not future.done():
                behind.append((end, future))
        self._behind = behind

    def is_behind(self) -> bool:
        """Whether the log is known to go on behind what is folded."""
        self._let_go()
        return bool(self._behind)


def _refuse(futures: Iterable[Future], error: ServiceError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
            future.exception()  # looked at: a caller that has gone away is no error of ours


def _resolve(future: Future) -> None:
    if not future.done():
        future.set_result(None)
