"""An event loop in virtual time: it never waits, it jumps to the next timer. Deterministic.

Tasks know which node they belong to (`BELONGS_TO`), so that a crash can end all of a node's tasks.
"""

import asyncio
import selectors
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

BELONGS_TO: ContextVar[object] = ContextVar("belongs_to", default=None)
TURNS_MAX = 100_000
PASSED_MAX_S = 7_200.0
EPOCH_NS = 1_700_000_000_000_000_000


class Stuck(AssertionError):
    """Nothing will ever happen again, and the test still waits."""


class _NoWaiting(selectors.SelectSelector):
    """Jumps where a real selector would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Let virtual time pass."""
        if timeout is None:
            raise Stuck("no timer is armed and nothing is ready")
        self._turns = 0 if timeout > 0 else self._turns + 1
        self.passed += max(0.0, timeout)
        if self._turns > TURNS_MAX or self.passed > PASSED_MAX_S:
            raise Stuck(f"{self.passed} s have passed, {self._turns} turns in the last instant")
        return []


class Clockwork(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self) -> None:
        self._selector_of_time = _NoWaiting()
        super().__init__(self._selector_of_time)
        self.tasks: dict[object, set[asyncio.Task[Any]]] = defaultdict(set)
        self.set_task_factory(self._make_task)
        self.failures: list[str] = []
        self.set_exception_handler(self._note_failure)

    def time(self) -> float:
        """Virtual seconds."""
        return self._selector_of_time.passed

    def _write_to_self(self) -> None:
        """There are no other threads."""

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **more)
        context = more.get("context")
        belongs_to = BELONGS_TO.get() if context is None else context.get(BELONGS_TO)
        if belongs_to is not None:
            self.tasks[belongs_to].add(task)
            task.add_done_callback(self.tasks[belongs_to].discard)
        return task

    def _note_failure(self, _loop: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(f"{context['message']}: {error!r}")


class SimClock:
    """The clocks of one node: wall time may be set apart; implements `ports.Clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.wall_ahead_s = 0.0
        self.suspended_s = 0.0

    def now(self) -> int:
        """Wall clock."""
        return EPOCH_NS + int((self._loop.time() + self.wall_ahead_s) * 1e9)

    def monotonic(self) -> float:
        """Monotonic time; it stands still while the machine is suspended."""
        return self._loop.time() - self.suspended_s


def run(make: Callable[[], Coroutine[Any, Any, None]]) -> Clockwork:
    """Run a coroutine in virtual time to its end."""
    loop = Clockwork()
    try:
        loop.run_until_complete(make())
    finally:
        _end(loop)
        asyncio.set_event_loop(None)
        loop.close()
    return loop


def _end(loop: Clockwork) -> None:
    async def gone() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    loop.run_until_complete(gone())
