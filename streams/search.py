"""The search store for those who await: lists and counts, run in threads."""

import asyncio
from typing import Protocol

from search.attributes import Value
from search.query.expressions import Query
from search.query.resolve import Names
from search.store import Page, Store
from topology.decision import Namespace


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


class StoreSearch:
    """Search in one store."""

    def __init__(self, store: Store, *, allows_order_by: bool) -> None:
        self._store = store
        self._allows_order_by = allows_order_by

    def names(self, namespace: Namespace) -> Names:
        """Return what queries in a namespace may name."""
        return Names(namespace.search_attributes, self._allows_order_by)

    async def list(self, namespace: Namespace, query: Query, size: int, token: bytes) -> Page:
        """Return a page of runs."""
        return await asyncio.to_thread(self._store.list, namespace.id, query, size, token)

    async def count(self, namespace: Namespace, query: Query) -> int:
        """Return how many runs match."""
        return await asyncio.to_thread(self._store.count, namespace.id, query)

    async def count_groups(self, namespace: Namespace, query: Query) -> dict[Value, int]:
        """Return how many runs match, by the values of the query's GROUP BY."""
        return await asyncio.to_thread(self._store.count_groups, namespace.id, query)
