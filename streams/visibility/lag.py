"""How far the index of this node is behind the log, as metrics."""

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

import structlog

from schemas.errors import Unavailable
from schemas.instants import SECOND
from streams.log.ports import Admin, Clock
from streams.metrics import Metrics
from topology.topics import EVENTS

_log = structlog.get_logger(__name__)

_LOOK_S: Final = 5.0


class Indexer(Protocol):
    """Who follows the log."""

    def indexed(self) -> Mapping[int, int]:
        """Return the next offset of `events` that is not in the store, by partition followed."""
        ...

    def oldest_at(self) -> int | None:
        """Return when the oldest change that was read and is not in the store happened, ns."""
        ...


class Lag:
    """Looks at the ends of the log now and then."""

    def __init__(self, indexer: Indexer, admin: Admin, clock: Clock, metrics: Metrics) -> None:
        self._indexer = indexer
        self._admin = admin
        self._clock = clock
        self._ends: dict[int, int] = {}
        metrics.gauge(
            "millrace_streams_search_lag_records",
            "Records of events that are not in the search index, by partition followed here.",
            lambda: {(str(number),): float(count) for number, count in self.records().items()},
            labels=("partition",),
        )
        metrics.gauge(
            "millrace_streams_search_lag_seconds",
            "Age of the oldest change that was read and is not in the search index.",
            lambda: {(): self.seconds()},
        )

    def records(self) -> dict[int, int]:
        """Return how many records are not in the index, by partition."""
        return {
            number: max(self._ends.get(number, at) - at, 0)
            for number, at in self._indexer.indexed().items()
        }

    def seconds(self) -> float:
        """Return how old the oldest change is that waits."""
        oldest_at = self._indexer.oldest_at()
        return 0.0 if oldest_at is None else max(self._clock.now() - oldest_at, 0) / SECOND

    async def look(self) -> None:
        """Ask for the ends of the partitions that are followed."""
        for number in list(self._indexer.indexed()):
            self._ends[number] = await self._admin.end(EVENTS.name, number)

    async def run(self) -> None:
        """Look on until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                _log.info("lag_unknown", error=error.message)
            await asyncio.sleep(_LOOK_S)
