"""What a node makes sure of before it takes part: topics that can be read, clocks that agree (L7).

A node that joins and then finds that it cannot serve would hold up what others serve well. The
settings of topics are `streams/kafka/creation.py`'s business.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from infra.failures import StartFailure
from schemas.errors import Unavailable
from schemas.instants import SECOND
from streams.log.ports import Clock

_log = structlog.get_logger(__name__)

_READ_TRIES: Final = 50
_READ_DELAY_S: Final = 0.1


async def patiently(read: Callable[[], Awaitable[None]]) -> None:
    """Read a topic that was made a moment ago: its leader may not know yet that it leads."""
    for _ in range(_READ_TRIES):
        try:
            await read()
        except Unavailable as error:
            _log.info("not_readable_yet", error=error.message)
            await asyncio.sleep(_READ_DELAY_S)
        else:
            return
    await read()


async def check_clock(
    log_time: Callable[[], Awaitable[int]], clock: Clock, *, tolerance_s: float
) -> None:
    """Compare this machine's clock with the log's; raises StartFailure, Unavailable.

    `log_time` returns what Kafka's clock says now, ns, or 0 where Kafka does not say it. However
    long it takes to answer, a clock that is right is between our instants before and after it.
    """
    before = clock.now()
    by_log = await log_time()
    after = clock.now()
    if not by_log:
        _log.info("clock_not_checked", reason="the topic has its producers' timestamps")
        return
    difference = max(before - by_log, 0) or min(after - by_log, 0)
    if abs(difference) > tolerance_s * SECOND:
        ahead = "ahead of" if difference > 0 else "behind"
        raise StartFailure(
            f"The clock of this machine is {abs(difference) / SECOND:.0f} s {ahead} Kafka's; "
            f"set it right (allowed: node.clock_tolerance_s = {tolerance_s:g})."
        )
