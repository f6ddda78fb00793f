"""The visibility agent's node: batches of `events` in, searchable records out.

One write is on its way at a time, in a thread; what comes meanwhile goes into the next one. The
cursors are written with the records, so a crash repeats at most what it had not finished, and the
versions make a repeat harmless. A store that fails is tried again for as long as it takes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection
from functools import partial
from typing import Final, TypeVar

import structlog

from schemas.errors import Unavailable
from search.document import Document
from search.store import Batch, Cursor, Store, Superseded
from streams.log.ports import Admin, CommandBatch, CommandTopics
from streams.log.records import Transition
from streams.visibility.indexing import begins, changed, concerns
from streams.visibility.partition import Followed
from topology.decision import Change
from topology.topics import EVENTS

_log = structlog.get_logger(__name__)

_BACKLOG_MAX: Final = 2_000
_GATHER_S: Final = 0.05
"""So long a change waits for others before all are written at once; lists are behind by it."""
_WRITE_MAX: Final = 1_000
_CACHED_MAX: Final = 20_000
_RETRY_MIN_S: Final = 0.1
_RETRY_MAX_S: Final = 10.0

T = TypeVar("T")


class VisibilityNode:
    """Follows the partitions of `events` that the group gives it into one store."""

    def __init__(self, store: Store, admin: Admin) -> None:
        """Make it inside a running loop; set `topic` before the first assignment."""
        self.topic: CommandTopics | None = None
        self._store = store
        self._admin = admin
        self._followed: dict[int, Followed] = {}
        self._generation = ""
        self._topic_id = ""
        self._cursors: dict[int, Cursor] = {}
        self._unmade: list[tuple[Change, int]] = []
        self._moved: set[int] = set()
        self._cache: OrderedDict[tuple[str, str], Document] = OrderedDict()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._is_writing = False
        self._writing: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Read the store's cursors and begin to write."""
        self._topic_id = await self._admin.topic_id(EVENTS.name)
        await self._read_cursors()
        self._writing = asyncio.create_task(self._write_on(), name="visibility-writer")
        self._writing.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Stop writing; the cursors say where to go on."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})

    async def caught_up(self) -> None:
        """Wait until all that was handed in is in the store."""
        while self._unmade or self._moved or self._is_writing:
            self._settled.clear()
            await self._settled.wait()

    # -- for the group's consumer

    def assigned(self, partitions: Collection[int], generation: int) -> None:  # noqa: ARG002  the port gives it
        """Take note of an assignment; what was read of lost partitions is written all the same."""
        for number in set(self._followed) - set(partitions):
            del self._followed[number]
        missing = [number for number in partitions if number not in self._followed]
        cursors = self._cursors
        for number in missing:
            cursor = cursors.get(number)
            is_same = cursor is not None and cursor.topic_id == self._topic_id
            self._followed[number] = Followed(cursor if is_same else None, self._topic_id)

    def wants(self, topic: str, partition: int) -> bool:  # noqa: ARG002  the port gives it
        """Whether more of `events` is wanted now."""
        return partition in self._followed and len(self._unmade) < _BACKLOG_MAX

    def position(self, topic: str, partition: int) -> int:  # noqa: ARG002  the port gives it
        """Return the next offset wanted."""
        followed = self._followed.get(partition)
        return followed.wanted if followed else 0

    def submit(self, batch: CommandBatch) -> None:
        """Take in what was read of `events`."""
        followed = self._followed.get(batch.partition)
        if followed is None:
            return
        if batch.start > followed.wanted:  # something was dropped on the way
            assert self.topic is not None, "expected the group's consumer to be set"
            self.topic.seek(batch.topic, batch.partition, followed.wanted)
            return
        for transition in followed.read(batch):
            self._take(transition)
        self._moved.add(batch.partition)
        self._wake.set()

    def _take(self, transition: Transition) -> None:
        for change in transition.changes:
            if concerns(change):
                self._unmade.append((change, transition.seq))

    # -- writing

    async def _write_on(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER_S)  # one write for what comes meanwhile
            self._wake.clear()
            self._is_writing = True
            while self._unmade or self._moved:
                await self._write_some()
            self._is_writing = False
            self._settled.set()

    async def _write_some(self) -> None:
        """Make records of what was read, and write them with the cursors behind it."""
        unmade, self._unmade = self._unmade, []
        moved, self._moved = self._moved, set()
        cursors = {
            number: self._followed[number].cursor() for number in moved if number in self._followed
        }
        for at in range(0, max(len(unmade), 1), _WRITE_MAX):
            some = unmade[at : at + _WRITE_MAX]
            is_last = at + _WRITE_MAX >= len(unmade)
            documents = await self._made(some)
            await self._written(Batch(documents, cursors=cursors if is_last else {}))

    async def _made(self, some: list[tuple[Change, int]]) -> list[Document]:
        made: dict[tuple[str, str], Document] = {}
        for change, seq in some:
            key = (change.namespace_id, change.run_id)
            before = None
            if not begins(change):
                before = made.get(key) or self._cache.get(key) or await self._found(key)
            document = changed(before, change, version=seq)
            if document is not None:
                made[key] = self._cache[key] = document
                self._cache.move_to_end(key)
        while len(self._cache) > _CACHED_MAX:
            self._cache.popitem(last=False)
        return list(made.values())

    async def _found(self, key: tuple[str, str]) -> Document | None:
        return await self._insisted(partial(self._store.find, *key))

    async def _written(self, batch: Batch) -> None:
        try:
            await self._insisted(partial(self._store.write, batch, self._generation))
        except Superseded:
            _log.info("search_generation_superseded", generation=self._generation)
            await self._begin_again()

    async def _insisted(self, ask: Callable[[], T]) -> T:
        """Ask the store in a thread, again and again while it is away; raises Superseded."""
        delay_s = _RETRY_MIN_S
        while True:
            try:
                return await asyncio.to_thread(ask)
            except Superseded:
                raise
            except Unavailable as error:
                _log.warning("search_store_away", error=error.message, retry_s=delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _RETRY_MAX_S)

    async def _begin_again(self) -> None:
        """Go on from the cursors of the generation that is live now."""
        await self._read_cursors()
        self._cache.clear()
        self._unmade.clear()
        self._moved.clear()
        partitions, self._followed = set(self._followed), {}
        self.assigned(partitions, 0)
        if self.topic is not None:
            for number, followed in self._followed.items():
                self.topic.seek(EVENTS.name, number, followed.wanted)

    async def _read_cursors(self) -> None:
        position = await self._insisted(self._store.position)
        self._generation = position.generation
        self._cursors = dict(position.cursors)

    def _ended(self, writing: asyncio.Task[None]) -> None:
        if self.failed.done() or writing.cancelled():
            return
        error = writing.exception()
        if error is not None:
            self.failed.set_exception(error)
