"""The search of a node for those who await: lists and counts run in threads, rebuilds, its lag."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog

from schemas.errors import FailedPrecondition
from search.attributes import Value
from search.query.expressions import Query
from search.query.resolve import Names
from search.settings import SearchSettings
from search.store import Page, Store
from streams.positions import Wanted
from streams.visibility.reached import Reached
from streams.visibility.rebuild import Progress, Rebuild
from topology.decision import Namespace

_log = structlog.get_logger(__name__)


class PartitionLag(msgspec.Struct, frozen=True):
    """How far the index is in one partition, in transitions."""

    partition: int
    accepted_seq: int
    indexed_seq: int

    @property
    def count(self) -> int:
        """How many transitions are not in the index."""
        return max(self.accepted_seq - self.indexed_seq, 0)


class Search(Protocol):
    """What the frontend asks of search."""

    def names(self, namespace: Namespace) -> Names:
        """Return what queries in a namespace may name."""
        ...

    async def list(self, namespace: Namespace, query: Query, size: int, token: bytes) -> Page:
        """Return a page of runs."""
        ...

    async def count(self, namespace: Namespace, query: Query) -> int:
        """Return how many runs match."""
        ...

    async def count_groups(self, namespace: Namespace, query: Query) -> dict[Value, int]:
        """Return how many runs match, by the values of the query's GROUP BY."""
        ...

    async def add_attributes(self, namespace: Namespace, added: Mapping[str, int]) -> None:
        """Make attributes searchable that a namespace has got."""
        ...

    async def wait(self, wanted: Wanted, *, timeout_s: float) -> None:
        """Wait, for a bounded time, until lists and counts see what was accepted."""
        ...

    async def lag(self) -> Sequence[PartitionLag]:
        """Return how far the index is behind."""
        ...

    def rebuild(self) -> Progress:
        """Begin to build the index anew beside the live one; raises FailedPrecondition."""
        ...

    @property
    def progress(self) -> Progress | None:
        """How far the newest rebuild is; None: there was none."""
        ...


Accepted = Callable[[], Awaitable[Mapping[int, int]]]
"""Asks the owners for the seq of the newest accepted record of each partition."""


class StoreSearch:
    """Search in one store."""

    def __init__(
        self,
        store: Store,
        settings: SearchSettings,
        *,
        accepted: Accepted,
        begin_rebuild: Callable[[], Rebuild],
    ) -> None:
        self._store = store
        self._settings = settings
        self._accepted = accepted
        self._begin_rebuild = begin_rebuild
        self._reached = Reached(store)
        self._rebuild: Rebuild | None = None
        self._rebuilding: asyncio.Task[None] | None = None

    def names(self, namespace: Namespace) -> Names:
        """Return what queries in a namespace may name."""
        return Names(namespace.search_attributes, self._settings.allows_order_by)

    async def list(self, namespace: Namespace, query: Query, size: int, token: bytes) -> Page:
        """Return a page of runs."""
        return await asyncio.to_thread(self._store.list, namespace.id, query, size, token)

    async def count(self, namespace: Namespace, query: Query) -> int:
        """Return how many runs match."""
        return await asyncio.to_thread(self._store.count, namespace.id, query)

    async def count_groups(self, namespace: Namespace, query: Query) -> dict[Value, int]:
        """Return how many runs match, by the values of the query's GROUP BY."""
        return await asyncio.to_thread(self._store.count_groups, namespace.id, query)

    async def add_attributes(self, namespace: Namespace, added: Mapping[str, int]) -> None:
        """Make attributes searchable that a namespace has got."""
        await asyncio.to_thread(self._store.add_attributes, namespace.id, added)

    async def wait(self, wanted: Wanted, *, timeout_s: float) -> None:
        """Wait, for a bounded time, until lists and counts see what was accepted."""
        seqs = dict(wanted.seqs)
        if wanted.is_newest:
            for partition, seq in (await self._accepted()).items():
                seqs[partition] = max(seq, seqs.get(partition, 0))
        await self._reached.wait(seqs, min(timeout_s, self._settings.wait_timeout_s))

    async def lag(self) -> Sequence[PartitionLag]:
        """Return how far the index is behind."""
        accepted = await self._accepted()
        indexed = await self._reached.seqs()
        return [
            PartitionLag(partition, seq, indexed.get(partition, 0))
            for partition, seq in sorted(accepted.items())
        ]

    def rebuild(self) -> Progress:
        """Begin to build the index anew beside the live one; raises FailedPrecondition."""
        if self._rebuilding is not None and not self._rebuilding.done():
            raise FailedPrecondition("expected no rebuild of this node to be under way, found one")
        self._rebuild = rebuild = self._begin_rebuild()
        self._rebuilding = asyncio.create_task(rebuild.run(), name="search-rebuild")
        self._rebuilding.add_done_callback(_note_failure)
        return rebuild.progress

    @property
    def progress(self) -> Progress | None:
        """How far the newest rebuild is; None: there was none."""
        return None if self._rebuild is None else self._rebuild.progress

    async def stop(self) -> None:
        """Leave a rebuild that is under way; the live index stays."""
        if self._rebuilding is not None:
            self._rebuilding.cancel()
            await asyncio.wait({self._rebuilding})


def _note_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("search_rebuild_crashed", exc_info=error)
