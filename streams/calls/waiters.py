"""Who waits: long polls as bounded memory, counted by kind (C3), ended at a planned stop (C7).

A wait is a `with` block around what is awaited. A planned stop ends it by cancelling what is
awaited inside, and the block swallows that cancellation; one that came from the client goes on.
This file knows nothing of what is waited for.
"""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self

from schemas.errors import ResourceExhausted
from schemas.temporal import enums

_CONCURRENT = enums.ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT
_NAMESPACE = enums.ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE


class Wait:
    """One wait; made by `Waiters.waiting`."""

    def __init__(self, waiters: "Waiters", kind: str, namespace: str) -> None:
        self.kind = kind
        self.namespace = namespace
        self.is_ended = False
        self._waiters = waiters
        self._task: asyncio.Task[object] | None = None
        self._cancels = 0

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None, "expected to wait inside a task"
        self._cancels = self._task.cancelling()
        self._waiters.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._waiters.leave(self)
        if not self.is_ended:
            return False
        assert self._task is not None, "expected to leave what was entered"
        return self._task.uncancel() <= self._cancels and kind is asyncio.CancelledError

    def end(self) -> None:
        """End the wait: what is awaited inside is cancelled."""
        if not self.is_ended and self._task is not None:
            self.is_ended = True
            self._task.cancel()


class Waiters:
    """All that wait in this process."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._open: set[Wait] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._is_over = False

    def waiting(self, kind: str, namespace: str) -> Wait:
        """Return the block to wait in; entering it raises ResourceExhausted over the limit."""
        return Wait(self, kind, namespace)

    def counts(self) -> dict[str, int]:
        """Return how many wait, by kind."""
        kinds: Counter[str] = Counter()
        for (kind, _), count in self._counts.items():
            kinds[kind] += count
        return kinds

    def end_all(self) -> None:
        """End every wait, and those that come later at once (C7)."""
        self._is_over = True
        for wait in list(self._open):
            wait.end()

    def enter(self, wait: Wait) -> None:
        """Count a wait in."""
        key = (wait.kind, wait.namespace)
        if self._counts[key] >= self._limit:
            raise ResourceExhausted(
                "namespace concurrent poller limit exceeded: "
                f"{self._counts[key]} of {self._limit} {wait.kind} calls are open "
                f"in namespace {wait.namespace} (frontend max_pollers)",
                cause=_CONCURRENT,
                scope=_NAMESPACE,
            )
        self._counts[key] += 1
        self._open.add(wait)
        if self._is_over:
            wait.end()

    def leave(self, wait: Wait) -> None:
        """Count a wait out."""
        self._open.discard(wait)
        key = (wait.kind, wait.namespace)
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]
