"""Tombstones are forgotten after a while: what is so late that it would bring a run back is not.

A deletion keeps its version in the index, against writes that come after it and are older. They
come again at most as long as the agent was away, and then so does the deletion itself.
"""

import asyncio
from typing import Final

import structlog

from schemas.errors import ServiceError
from schemas.instants import DAY
from search.store import Store
from streams.log.ports import Clock

_log = structlog.get_logger(__name__)

_KEPT: Final = DAY
_INTERVAL_S: Final = 3_600.0


class Forgetting:
    """Forgets the old deletions of one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def forget(self) -> None:
        """Forget those that are a day old."""
        before = self._clock.now() - _KEPT
        count = await asyncio.to_thread(self._store.forget_deletions, before)
        _log.debug("deletions_forgotten", count=count)

    async def run(self) -> None:
        """Forget every hour until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            try:
                await self.forget()
            except ServiceError as error:
                _log.info("search_store_away", error=error.message)
