"""Waiting until the index has what was accepted: one look at its cursors for all who wait.

The cursors are asked of the store itself, because another node may be the one that fills it.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from schemas.errors import Unavailable
from search.store import Store

_log = structlog.get_logger(__name__)

_LOOK_MIN_S: Final = 0.005
_LOOK_MAX_S: Final = 0.1

Seqs = Mapping[int, int]
"""By partition, the seq of a transition."""


class Reached:
    """Who waits for the index of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[asyncio.Future[None], Seqs] = {}
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, wanted: Seqs, timeout_s: float) -> None:
        """Return when all of it is visible to lists and counts; raises Unavailable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = wanted
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="search-reached")
        done, _ = await asyncio.wait({future}, timeout=timeout_s)
        self._waiting.pop(future, None)
        if not done:
            raise Unavailable(
                f"expected the search index to have caught up within {timeout_s:g} s, "
                "found it is behind: see `millrace search lag`"
            )

    async def seqs(self) -> Seqs:
        """Return how far the index is; raises Unavailable."""
        position = await asyncio.to_thread(self._store.position)
        return {number: cursor.seq for number, cursor in position.cursors.items()}

    async def _look(self) -> None:
        delay_s = _LOOK_MIN_S
        while self._waiting:
            asked = dict(self._waiting)  # a write that is newer than the look is not in it
            try:
                seqs = await self.seqs()
            except Unavailable as error:
                _log.info("search_store_away", error=error.message)
            else:
                self._tell(asked, seqs)
            if self._waiting:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _LOOK_MAX_S)

    def _tell(self, asked: Mapping[asyncio.Future[None], Seqs], seqs: Seqs) -> None:
        for future, wanted in asked.items():
            if all(seqs.get(number, 0) >= seq for number, seq in wanted.items()):
                self._waiting.pop(future, None)
                if not future.done():
                    future.set_result(None)
