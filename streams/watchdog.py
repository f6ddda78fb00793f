"""Notices a consumer that has silently stopped: its position stands while the topic goes on.

Seen in the field with long-lived consumers: no error, no records. The end of the topic is asked of
another client than the one that is watched. Looks are counted, not seconds: a process that was
suspended has not looked, and a record that has just arrived was not missed. What to do about it is
the process owner's decision.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

import structlog

from schemas.errors import Unavailable

_log = structlog.get_logger(__name__)

INTERVAL_S: Final = 10.0
PATIENCE_LOOKS: Final = 4
"""So often in a row a partition is found behind at the same position."""

Where = tuple[str, int]


class Stalled(Exception):
    """A partition is wanted and has records, but nothing of it was read for too long."""


class _Seen(NamedTuple):
    """A position, and how often in a row it was found there with records behind it."""

    position: int
    looks: int


class Watchdog:
    """Watches the consumer of one role."""

    def __init__(
        self,
        positions: Callable[[], Mapping[Where, int]],
        wants: Callable[[str, int], bool],
        *,
        end: Callable[[str, int], Awaitable[int]],
    ) -> None:
        """`positions` are those that may be read now: there are none during a rebalance.

        `end` is `ports.Admin.stable_end`: an open transaction is no stall.
        """
        self._positions = positions
        self._wants = wants
        self._end = end
        self._seen: dict[Where, _Seen] = {}

    async def run(self, on_stall: Callable[[BaseException], None]) -> None:
        """Look now and then, until a stall is found or this is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.look()
            except Unavailable as error:  # Kafka is away: that is no stall of ours
                _log.warning("watchdog_without_answer", error=error.message)
            except Stalled as stall:
                on_stall(stall)
                return

    async def look(self) -> None:
        """Compare positions with what was seen before; raises Stalled, Unavailable."""
        positions = {where: at for where, at in self._positions().items() if self._wants(*where)}
        for where in self._seen.keys() - positions.keys():
            del self._seen[where]
        for where, position in positions.items():
            seen = self._seen.get(where)
            if seen is None or seen.position != position:
                self._seen[where] = _Seen(position, 0)
            else:
                await self._check(where, seen)

    async def _check(self, where: Where, seen: _Seen) -> None:
        end = await self._end(*where)
        looks = seen.looks + 1 if end > seen.position else 0
        if looks >= PATIENCE_LOOKS:
            raise Stalled(
                f"expected {where[0]}-{where[1]} to be read on to {end}, "
                f"found it at {seen.position} in {looks} looks, {INTERVAL_S:.0f} s apart"
            )
        self._seen[where] = seen._replace(looks=looks)
