"""The visibility agent's node: batches of `events` in, searchable records out.

One write is on its way at a time, in a thread; what comes meanwhile goes into the next one. The
cursors are written with the records, so a crash repeats at most what it had not finished, and the
versions make a repeat harmless. A store that fails is tried again for as long as it takes.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final, TypeVar

import structlog

from schemas.errors import Unavailable
from search.store import Cursor, Store, Superseded
from streams.log.ports import Admin, CommandBatch, CommandTopics
from streams.log.records import Transition
from streams.visibility.identity import is_of_log
from streams.visibility.indexing import concerns
from streams.visibility.making import Making, Pending
from streams.visibility.partition import Followed
from topology.topics import EVENTS

_log = structlog.get_logger(__name__)

_BACKLOG_MAX: Final = 2_000
_WRITE_MAX: Final = 1_000
_GATHER_MIN_S: Final = 0.005
_GATHER_MAX_S: Final = 0.25
_GATHER_WRITES: Final = 4
"""A change waits for others as long as so many writes take: writing costs little of the time."""
_MEMORY: Final = 0.8
"""How much of the time that a write takes is remembered from those before."""
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
        self._making = Making(store)
        self._followed: dict[int, Followed] = {}
        self._generation = ""
        self._topic_id = ""
        self._cursors: dict[int, Cursor] = {}
        self._indexed: dict[int, int] = {}
        self._unmade: list[Pending] = []
        self._on_the_way: list[Pending] = []
        self._moved: set[int] = set()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._is_writing = False
        self._write_s = 0.0
        self._writing: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Read the store's cursors and begin to write."""
        self._topic_id = await self._admin.topic_id(EVENTS.name)
        await self._read_cursors()
        if not await is_of_log(self._cursors, self._topic_id, self._admin):
            await self._begin_anew()
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

    # -- how far it is

    def indexed(self) -> Mapping[int, int]:
        """Return the next offset of `events` that is not in the store, by partition followed."""
        return {number: self._indexed[number] for number in self._followed}

    def oldest_at(self) -> int | None:
        """Return when the oldest change that was read and is not in the store happened, ns."""
        waiting = self._on_the_way or self._unmade
        return waiting[0].decided_at if waiting else None

    # -- for the group's consumer

    def assigned(self, partitions: Collection[int], generation: int) -> None:  # noqa: ARG002  the port gives it
        """Take note of an assignment; what was read of lost partitions is written all the same."""
        for number in set(self._followed) - set(partitions):
            del self._followed[number]
        for number in partitions:
            if number not in self._followed:
                followed = Followed(self._cursors.get(number), self._topic_id)
                self._followed[number] = followed
                self._indexed[number] = followed.wanted

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
            self._unmade += pending_of(transition)
        self._moved.add(batch.partition)
        self._wake.set()

    # -- writing

    async def _write_on(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._gather_s())  # one write for what comes meanwhile
            self._wake.clear()
            self._is_writing = True
            while self._unmade or self._moved:
                await self._write_some()
            self._is_writing = False
            self._settled.set()

    def _gather_s(self) -> float:
        return min(max(_GATHER_WRITES * self._write_s, _GATHER_MIN_S), _GATHER_MAX_S)

    async def _write_some(self) -> None:
        """Make records of what was read, and write them with the cursors behind it."""
        self._on_the_way, self._unmade = self._unmade, []
        moved, self._moved = self._moved, set()
        read = {number: self._followed[number] for number in moved if number in self._followed}
        cursors = {number: followed.cursor() for number, followed in read.items()}
        indexed = {number: followed.wanted for number, followed in read.items()}
        while len(self._on_the_way) > _WRITE_MAX:
            if not await self._written(self._on_the_way[:_WRITE_MAX], {}):
                return
            del self._on_the_way[:_WRITE_MAX]
        if await self._written(self._on_the_way, cursors):
            self._cursors |= cursors
            self._indexed |= indexed
            self._on_the_way = []

    async def _written(self, pending: list[Pending], cursors: dict[int, Cursor]) -> bool:
        """Write; False: to another generation from now on, from where its cursors are."""
        try:
            began_at = time.monotonic()
            await self._insisted(partial(self._write, pending, cursors))
            took_s = time.monotonic() - began_at
            self._write_s = _MEMORY * self._write_s + (1 - _MEMORY) * took_s
        except Superseded:
            _log.info("search_generation_superseded", generation=self._generation)
            await self._begin_again()
            return False
        return True

    def _write(self, pending: list[Pending], cursors: dict[int, Cursor]) -> None:
        """Make records and write them; in a thread."""
        self._store.write(self._making.batch(pending, cursors), self._generation)

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
        self._making.forget()
        self._unmade, self._on_the_way = [], []
        self._moved.clear()
        partitions, self._followed = set(self._followed), {}
        self.assigned(partitions, 0)
        if self.topic is not None:
            for number, followed in self._followed.items():
                self.topic.seek(EVENTS.name, number, followed.wanted)

    async def _begin_anew(self) -> None:
        """Put an empty generation in the place of one that was made from another log (L6)."""
        _log.warning("search_index_of_another_log", generation=self._generation)

        def replace() -> None:
            self._store.replace_by(self._store.beside())

        await self._insisted(replace)
        await self._read_cursors()

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


def pending_of(transition: Transition) -> list[Pending]:
    """Return the changes of a transition that alter searchable records."""
    return [
        Pending(change, transition.seq, transition.decided_at)
        for change in transition.changes
        if concerns(change)
    ]
