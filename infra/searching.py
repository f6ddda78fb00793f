"""The search store of a node and the agent that fills it, made and started.

A SQLite store is a file of this node: every node follows all of `events` into its own, in a
consumer group of its own, so each answers alike. An Elasticsearch cluster is filled by all nodes
together, in one group.
"""

import asyncio
import hashlib
import socket
from functools import partial
from pathlib import Path

import msgspec

from infra.failures import StartFailure
from infra.ground import Ground
from search.settings import SearchSettings
from search.sqlite import InUse, SqliteStore
from search.store import Store
from streams.agents.visibility import ROLE, build_visibility
from streams.app import GroupSettings
from streams.calls.roles import RoleCalls
from streams.kafka.log_reader import LogReader
from streams.search import StoreSearch
from streams.visibility.forgetting import Forgetting
from streams.visibility.lag import Lag
from streams.visibility.node import VisibilityNode
from streams.visibility.rebuild import Origin, Rebuild
from topology.topics import EVENTS


async def start_searching(ground: Ground, calls: RoleCalls) -> StoreSearch:
    """Open the store, follow `events` into it, and return the search for the frontend."""
    wanted, stack = ground.settings.search, ground.stack
    store = await _opened(wanted, ground.folder)
    stack.callback(store.close)
    await _start_following(ground, store)
    search = StoreSearch(
        store,
        wanted,
        accepted=partial(_accepted, calls, ground.settings.kafka.counts.history),
        begin_rebuild=partial(Rebuild, store, _origin(ground, calls)),
    )
    stack.push_async_callback(search.stop)
    return search


async def _start_following(ground: Ground, store: Store) -> None:
    """Follow `events` into the store."""
    stack = ground.stack
    node = VisibilityNode(store, ground.admin)
    on_crash = ground.crashed("the visibility agent")
    app = build_visibility(_group(ground), node, on_crash=on_crash)
    node.topic = app

    def ended(failed: "asyncio.Future[None]") -> None:
        if not failed.cancelled() and (error := failed.exception()) is not None:
            on_crash(error)

    node.failed.add_done_callback(ended)
    await node.start()
    stack.push_async_callback(node.stop)
    stack.push_async_callback(app.stop)
    await app.start()
    lag = Lag(node, ground.admin, ground.clock, ground.metrics)
    for work in (lag.run(), Forgetting(store, ground.clock).run()):
        stack.callback(asyncio.create_task(work).cancel)


def _group(ground: Ground) -> GroupSettings:
    group = ground.group(ROLE)
    if ground.settings.search.store != "sqlite":
        return group
    own = own_group(ground.settings.node.name, ground.folder)
    return msgspec.structs.replace(group, group_prefix=f"{group.group_prefix}{own}-")


def own_group(name: str, folder: Path) -> str:
    """Return what tells a node's group from those of others: its name, its host and folder.

    Two nodes of one name must not share a group: each would have half of the runs in its file.
    """
    place = f"{socket.gethostname()}:{folder.resolve()}"
    digest = hashlib.blake2b(place.encode(), digest_size=6).hexdigest()
    return f"{name}-{digest}" if name else digest


def _origin(ground: Ground, calls: RoleCalls) -> Origin:
    """Return where a rebuild takes everything from."""
    return Origin(
        scan=calls.scan,
        open_log=partial(LogReader, ground.kafka),
        topic_id=partial(ground.admin.topic_id, EVENTS.name),
        partitions=ground.settings.kafka.counts.history,
    )


async def _accepted(calls: RoleCalls, partitions: int) -> dict[int, int]:
    """Ask the owners for the seq of the newest accepted record of each partition."""
    scanned = [await calls.scan(number, "", 0) for number in range(partitions)]
    return {number: each.seq for number, each in enumerate(scanned)}


async def _opened(wanted: SearchSettings, folder: Path) -> Store:
    """Open the store; raises StartFailure."""
    try:
        if wanted.store == "sqlite":
            return await asyncio.to_thread(SqliteStore, folder / "search", wanted.sqlite)
        from search.elastic import ElasticStore  # noqa: PLC0415  only where it is used

        return ElasticStore(wanted.elastic)
    except InUse as error:
        raise StartFailure(
            f"This node would search the SQLite file of another node ({error.message}): give each "
            "node a --data-dir of its own, or all of them one cluster with "
            "search.store = elasticsearch."
        ) from error
    except ValueError as error:
        raise StartFailure(f"Cannot open the search store ([search] settings): {error}") from error
