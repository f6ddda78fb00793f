"""Waiting for a condition, bounded by a deadline: tests never sleep and never time anything."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

DEADLINE = 30.0
_PAUSE = 0.005


async def until(what: str, holds: Callable[[], object | Awaitable[object]]) -> None:
    """Return once a condition holds; fails with what was expected."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not await _asked(holds):  # noqa: ASYNC110  # a condition has no event
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        raise AssertionError(f"expected {what} within {DEADLINE:.0f} s") from None


async def _asked(holds: Callable[[], object | Awaitable[object]]) -> object:
    found = holds()
    return await found if inspect.isawaitable(found) else found
