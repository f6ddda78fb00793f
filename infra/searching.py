"""The search store of a node and the agent that fills it, made and started.

A SQLite store is a file of this node: every node follows all of `events` into its own, in a
consumer group of its own, so each answers alike. An Elasticsearch cluster is filled by all nodes
together, in one group.
"""

import asyncio
import hashlib
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from infra.failures import StartFailure
from infra.ground import Ground
from search.settings import SearchSettings
from search.sqlite import SqliteStore
from search.store import Store
from streams.agents.visibility import ROLE, build_visibility
from streams.search import StoreSearch
from streams.visibility.node import VisibilityNode


async def start_searching(ground: Ground) -> StoreSearch:
    """Open the store, follow `events` into it, and return the search for the frontend."""
    settings, stack = ground.settings, ground.stack
    wanted = settings.search
    try:
        store = await asyncio.to_thread(_opened(wanted, ground.folder))
    except ValueError as error:
        raise StartFailure(f"Cannot open the search store ([search] settings): {error}") from error
    stack.callback(store.close)
    node = VisibilityNode(store, ground.admin)
    group = ground.group(ROLE)
    if wanted.store == "sqlite":
        own = f"{group.group_prefix}{own_group(settings.node.name, ground.folder)}-"
        group = msgspec.structs.replace(group, group_prefix=own)
    on_crash = ground.crashed("the visibility agent")
    app = build_visibility(group, node, on_crash=on_crash)
    node.topic = app

    def ended(failed: "asyncio.Future[None]") -> None:
        if not failed.cancelled() and (error := failed.exception()) is not None:
            on_crash(error)

    node.failed.add_done_callback(ended)
    await node.start()
    stack.push_async_callback(node.stop)
    stack.push_async_callback(app.stop)
    await app.start()
    return StoreSearch(store, allows_order_by=wanted.allows_order_by)


def own_group(name: str, folder: Path) -> str:
    """Return what tells a node's group from those of others: its name, else its host and folder."""
    if name:
        return name
    place = f"{socket.gethostname()}:{folder.resolve()}"
    return hashlib.blake2b(place.encode(), digest_size=6).hexdigest()


def _opened(wanted: SearchSettings, folder: Path) -> Callable[[], Store]:
    if wanted.store == "sqlite":
        return lambda: SqliteStore(folder / "search", wanted.sqlite)
    from search.elastic import ElasticStore  # noqa: PLC0415  only where it is used

    return lambda: ElasticStore(wanted.elastic)
