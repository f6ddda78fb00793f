"""A new index beside the live one: from the run rows of the tables, and the tail of the log.

Each partition's owner hands its runs out with the position they are true of; what comes behind the
first position is read from the log, until both indexes stand at the same place and change places.
Nothing waits for it, and killed in the middle it leaves the live index as it was. Records that both
rows and log have are the same; the higher version stays.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
import structlog

from schemas.errors import NotTheOwner, OutcomeUnknown, ServiceError
from search.store import Batch, Cursor, Store
from streams.log.partition import Scanned
from streams.log.ports import CommandBatch, Record
from streams.visibility.making import Making
from streams.visibility.node import pending_of
from streams.visibility.partition import Followed
from streams.visibility.rows import record_of
from topology.topics import EVENTS
from topology.workflow.scanning import RunRows, scanned_of

_log = structlog.get_logger(__name__)

_SCAN_COUNT: Final = 500
_TRIES: Final = 120
_RETRY_S: Final = 0.5


class Progress(msgspec.Struct):
    """How far a rebuild is."""

    phase: str = "begins"  # copies, catches up, done, failed
    runs_count: int = 0
    partitions_count: int = 0
    partitions_done_count: int = 0
    error: str = ""


class Log(Protocol):
    """The topic `events`, read by the caller's thread."""

    def end(self, partition: int) -> int:
        """Return the end offset (the next record's); may raise Unavailable."""
        ...

    def read(self, partition: int, start: int, end: int) -> Iterator[Sequence[Record]]:
        """Yield the records from one offset up to another; may raise Unavailable."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


Scan = Callable[[int, str, int], Awaitable[Scanned]]
"""Asks the owner of a partition for runs behind a run id: (partition, run id, count)."""


class Origin(NamedTuple):
    """Where a rebuild takes everything from."""

    scan: Scan
    open_log: Callable[[], Log]
    topic_id: Callable[[], Awaitable[str]]
    partitions: int


class Rebuild:
    """One rebuild."""

    def __init__(self, store: Store, origin: Origin) -> None:
        self.progress = Progress(partitions_count=origin.partitions)
        self._store = store
        self._origin = origin

    async def run(self) -> None:
        """Build, catch up, change places; the live index is untouched where it fails."""
        try:
            await self._run()
            self.progress.phase = "done"
        except ServiceError as error:
            self.progress.error = error.message
            _log.warning("search_rebuild_failed", error=error.message)
        finally:
            if self.progress.phase != "done":
                self.progress.phase = "failed"

    async def _run(self) -> None:
        topic_id = await self._origin.topic_id()
        log = self._origin.open_log()
        try:
            beside = await asyncio.to_thread(self._store.beside)
            is_live = False
            try:
                await self._built(beside, _Tail(beside, log, topic_id))
                is_live = True
            finally:
                if not is_live:
                    await asyncio.to_thread(beside.discard)
        finally:
            log.close()

    async def _built(self, beside: Store, tail: "_Tail") -> None:
        self.progress.phase = "copies"
        await asyncio.to_thread(tail.open)
        for partition in range(self._origin.partitions):
            await self._copy(partition, tail)
            self.progress.partitions_done_count += 1
        self.progress.phase = "catches up"
        await asyncio.to_thread(tail.catch_up)
        await asyncio.to_thread(self._store.replace_by, beside, tail.reach)

    async def _copy(self, partition: int, tail: "_Tail") -> None:
        """Copy the runs of a partition; the tail begins where its first rows are true.

        The next runs are asked for while the ones before are written.
        """
        scanned = await self._scanned(partition, "", least=0)
        first = scanned.seq
        tail.begin(partition, scanned)
        while True:
            rows = scanned_of(scanned.rows)
            writing = asyncio.ensure_future(asyncio.to_thread(tail.copy, rows.runs, scanned.seq))
            try:
                if rows.after:
                    scanned = await self._scanned(partition, rows.after, least=first)
            finally:
                await writing
            self.progress.runs_count += len(rows.runs)
            if not rows.after:
                return

    async def _scanned(self, partition: int, after: str, *, least: int) -> Scanned:
        """Ask the owner, whoever it is; one that has fallen behind is asked again."""
        for _ in range(_TRIES):
            try:
                scanned = await self._origin.scan(partition, after, _SCAN_COUNT)
            except (NotTheOwner, OutcomeUnknown) as error:
                _log.info("scan_repeated", partition=partition, error=error.message)
            else:
                if scanned.seq >= least:
                    return scanned
            await asyncio.sleep(_RETRY_S)
        raise NotTheOwner(f"expected an owner of partition {partition}, found none for a minute")


class _Tail:
    """The index that is built: copied rows, then the log behind them. In threads, one at a time."""

    def __init__(self, store: Store, log: Log, topic_id: str) -> None:
        self._store = store
        self._log = log
        self._topic_id = topic_id
        self._generation = ""
        self._making = Making(store)
        self._followed: dict[int, Followed] = {}

    def open(self) -> None:
        """Ask for the generation to write to."""
        self._generation = self._store.position().generation

    def begin(self, partition: int, at: Scanned) -> None:
        """Read a partition's log from the position of its first rows on."""
        cursor = Cursor(at.accepted_offset, at.epoch, at.incarnation, at.seq, self._topic_id)
        self._followed[partition] = Followed(cursor, self._topic_id)

    def copy(self, runs: Sequence[RunRows], seq: int) -> None:
        """Write the records of some runs."""
        documents = [record_of(each, version=seq) for each in runs]
        self._store.write(Batch(documents), self._generation)

    def catch_up(self) -> None:
        """Read on to the ends of the log as they are now, twice: the first time takes long."""
        for _ in range(2):
            for partition in self._followed:
                self._read_to(partition, self._log.end(partition))

    def reach(self, cursors: Mapping[int, Cursor]) -> None:
        """Read on to where another index is."""
        for partition, cursor in cursors.items():
            self._read_to(partition, cursor.offset + 1)
        written = {number: followed.cursor() for number, followed in self._followed.items()}
        self._store.write(Batch(cursors=written), self._generation)

    def _read_to(self, partition: int, end: int) -> None:
        followed = self._followed[partition]
        if followed.wanted >= end:
            return
        for records in self._log.read(partition, followed.wanted, end):
            batch = CommandBatch(EVENTS.name, partition, followed.wanted, records)
            pending = [each for read in followed.read(batch) for each in pending_of(read)]
            self._store.write(self._making.batch(pending, {}), self._generation)
