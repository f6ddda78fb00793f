"""Waiting for a condition: a deadline bounds every wait, and nothing else looks at the clock."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 30.0
_PAUSE = 0.02


def eventually(
    what: str, look: Callable[[], T | None], *, within: float = DEADLINE, pause: float = _PAUSE
) -> T:
    """Return what `look` finds, asked again until it is neither None nor False nor empty."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"expected {what} within {within:.0f} s, found {found}"
        time.sleep(pause)


async def eventually_async(
    what: str, look: Callable[[], Awaitable[T | None]], *, within: float = DEADLINE
) -> T:
    """Do as `eventually` does, on the event loop."""
    deadline = time.monotonic() + within
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, f"expected {what} within {within:.0f} s, found {found}"
        await asyncio.sleep(_PAUSE)
