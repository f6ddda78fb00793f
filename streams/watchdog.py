"""Notices a consumer that has silently stopped: its position stands while the topic goes on.

Seen in the field with long-lived consumers: no error, no records. The end of the topic is asked of
another client than the one that is watched. What to do about it is the process owner's decision.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

import structlog

from schemas.errors import Unavailable
from streams.log.ports import Clock

_log = structlog.get_logger(__name__)

INTERVAL_S: Final = 10.0
PATIENCE_S: Final = 30.0

Where = tuple[str, int]


class Stalled(Exception):
    """A partition is wanted and has records, but nothing of it was read for too long."""


class _Seen(NamedTuple):
    """A position, and since when (monotonic, s) it stands there."""

    position: int
    since: float


class Watchdog:
    """Watches the consumer of one role."""

    def __init__(
        self,
        positions: Callable[[], Mapping[Where, int]],
        wants: Callable[[str, int], bool],
        *,
        end: Callable[[str, int], Awaitable[int]],
        clock: Clock,
    ) -> None:
        """`end` is `ports.Admin.stable_end`: an open transaction is no stall."""
        self._positions = positions
        self._wants = wants
        self._end = end
        self._clock = clock
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
        now = self._clock.monotonic()
        positions = {where: at for where, at in self._positions().items() if self._wants(*where)}
        for where in self._seen.keys() - positions.keys():
            del self._seen[where]
        for where, position in positions.items():
            seen = self._seen.get(where)
            if seen is None or seen.position != position:
                self._seen[where] = _Seen(position, now)
            elif now - seen.since >= PATIENCE_S:
                await self._check(where, position, now)

    async def _check(self, where: Where, position: int, now: float) -> None:
        end = await self._end(*where)
        if end > position:
            raise Stalled(
                f"expected {where[0]}-{where[1]} to be read on to {end}, "
                f"found it at {position} for {PATIENCE_S:.0f} s"
            )
        self._seen[where] = _Seen(position, now)
