"""Who waits at the owner of a partition: bounded memory, lost with the partition (C3).

Calls parked under a command id, long polls that watch a run, and which workflows have heartbeats
on their way (T3). Nothing but a waiter is lost here: the asker asks again.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from schemas.errors import ResourceExhausted, ServiceError

Hold = tuple[str, str]
"""Namespace name and workflow id."""


class Waiting:
    """The waiters of one partition."""

    def __init__(self, *, limit: int, wake: Callable[[], object]) -> None:
        self._limit = limit
        self._wake = wake
        self._parked: dict[bytes, list[asyncio.Future[bytes]]] = {}
        self._watched: dict[str, set[asyncio.Future[None]]] = {}
        self._holds: dict[Hold, int] = {}
        self._released = False

    def counts(self) -> dict[str, int]:
        """Return how many wait, by kind."""
        watching = sum(len(futures) for futures in self._watched.values())
        return {"parked": len(self._parked), "watching": watching}

    def park(self, command_id: bytes, hold: Hold | None) -> asyncio.Future[bytes]:
        """Return the future of a command's answer; `hold` keeps back timers of a workflow."""
        self._check(len(self._parked), "parked")
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._parked.setdefault(command_id, []).append(future)
        if hold is not None:
            self._holds[hold] = self._holds.get(hold, 0) + 1
            future.add_done_callback(partial(self._release, hold))
        return future

    def take(self, command_id: bytes) -> list[asyncio.Future[bytes]]:
        """Return who still waits for a command; they wait no longer."""
        return [each for each in self._parked.pop(command_id, ()) if not each.done()]

    def is_held(self, hold: Hold) -> bool:
        """Whether heartbeats of a workflow are gathered and not yet decided."""
        return hold in self._holds

    def released(self) -> bool:
        """Whether a hold ended since this was asked last."""
        released, self._released = self._released, False
        return released

    def has_released(self) -> bool:
        """Whether a hold ended and `released` has not told yet."""
        return self._released

    def watch(self, run_id: str) -> asyncio.Future[None]:
        """Return a future that is resolved when a run is touched."""
        self._check(len(self._watched), "watching")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watched.setdefault(run_id, set()).add(future)
        future.add_done_callback(partial(self._unwatch, run_id))
        return future

    def touched(self, runs: list[str]) -> None:
        """Tell those who watch runs that they were touched."""
        if not self._watched:
            return
        for run_id in runs:
            for future in self._watched.pop(run_id, ()):
                if not future.done():
                    future.set_result(None)

    def fail(self, error: ServiceError) -> None:
        """Lose everybody who waits."""
        parked, self._parked = self._parked, {}
        watched, self._watched = self._watched, {}
        for futures in parked.values():
            for future in futures:
                _fail(future, error)
        for watchers in watched.values():
            for watcher in watchers:
                _fail(watcher, error)

    def sweep(self) -> None:
        """Forget those who went away."""
        for command_id, futures in list(self._parked.items()):
            if all(future.done() for future in futures):
                del self._parked[command_id]

    def _check(self, count: int, kind: str) -> None:
        if count >= self._limit:
            raise ResourceExhausted(f"expected fewer than {self._limit} calls {kind}, found more")

    def _unwatch(self, run_id: str, future: asyncio.Future[None]) -> None:
        watchers = self._watched.get(run_id)
        if watchers is not None:
            watchers.discard(future)
            if not watchers:
                del self._watched[run_id]

    def _release(self, hold: Hold, _future: asyncio.Future[bytes]) -> None:
        count = self._holds[hold] - 1
        if count:
            self._holds[hold] = count
        else:
            del self._holds[hold]
        self._released = True
        self._wake()


def _fail(future: asyncio.Future[bytes] | asyncio.Future[None], error: ServiceError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # looked at: a caller that has gone away is no error of ours
