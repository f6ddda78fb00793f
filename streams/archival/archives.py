"""The archives of all namespaces, opened once each; everything that blocks runs in threads.

Readers and writers have threads of their own: an archive that is away holds up nobody else's.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from archival.archive import Archive
from archival.archiver import Archiver, Outcome
from archival.opening import open_archive
from archival.query import Page
from archival.record import Record, Types
from archival.run import ClosedRun, HistoryPage, RunKey
from archival.settings import ArchivalSettings
from schemas.errors import ServiceError
from schemas.instants import DAY
from schemas.temporal import history
from streams.archival.filters import Wanted
from streams.log.ports import Clock

_OPEN_LIMIT: Final = 256
_READERS: Final = 8
_WRITERS: Final = 8

T = TypeVar("T")


class Archives:
    """Opens the archive at a URI, and asks archives in threads."""

    def __init__(self, settings: ArchivalSettings, clock: Clock) -> None:
        self.history_uri = settings.history_uri
        self.visibility_uri = settings.visibility_uri
        self._settings = settings
        self._clock = clock
        self._opened: OrderedDict[str, Archive] = OrderedDict()
        self._lock = threading.Lock()
        self._readers = ThreadPoolExecutor(_READERS, "archive-reader")
        self._writers = ThreadPoolExecutor(_WRITERS, "archive-writer")

    def at(self, uri: str) -> Archive:
        """Return the archive at a URI; raises InvalidArgument."""
        with self._lock:
            archive = self._opened.get(uri)
            if archive is None:
                archive = self._opened[uri] = open_archive(uri, self._settings)
            self._opened.move_to_end(uri)
            while len(self._opened) > _OPEN_LIMIT:
                self._opened.popitem(last=False)  # who still uses it does; then it is collected
            return archive

    async def check(self, uri: str) -> None:
        """Raise InvalidArgument, with Temporal's texts, unless runs can be archived at a URI."""
        await self._read(uri, Archive.check)

    # -- writing

    async def archive(
        self, history_uri: str, visibility_uri: str, runs: list[ClosedRun]
    ) -> list[Outcome]:
        """Archive runs that go to the same places; say what became of each."""
        return await self._write(lambda: self._archived(history_uri, visibility_uri, runs))

    async def tidy(self, uri: str, namespace_id: str) -> None:
        """Merge the small files of a namespace's lake; raises ServiceError."""
        await self._write(lambda: _compact(self.at(uri), namespace_id))

    async def sweep(self, uri: str, namespace_id: str) -> int:
        """Remove the files that crashes left in a lake a day ago or earlier; return how many."""
        before = self._clock.now() - DAY
        return await self._write(lambda: self.at(uri).lake(namespace_id).sweep(before))

    def _archived(
        self, history_uri: str, visibility_uri: str, runs: list[ClosedRun]
    ) -> list[Outcome]:
        try:
            histories = self.at(history_uri) if history_uri else None
            records = self.at(visibility_uri) if visibility_uri else None
        except ServiceError as error:
            return [Outcome(run.key, error=error) for run in runs]
        archiver = Archiver(histories, records, self._settings)
        try:
            return archiver.archive_all(runs)
        finally:
            archiver.close()

    # -- reading

    async def history_page(self, uri: str, key: RunKey, size: int, token: bytes) -> HistoryPage:
        """Return a page of an archived history; raises NotFound, Damaged."""
        return await self._read(uri, lambda archive: archive.history_page(key, size, token))

    async def last_event(self, uri: str, key: RunKey) -> history.HistoryEvent:
        """Return the last event of an archived history; raises NotFound, Damaged."""
        return await self._read(uri, lambda archive: archive.histories.last_event(key))

    async def describe(
        self, uri: str, key: RunKey, types: Types, *, closed_at: int | None = None
    ) -> Record:
        """Return the archived record of a run; raises NotFound, Damaged."""
        return await self._read(
            uri, lambda archive: archive.describe(key, types, closed_at=closed_at)
        )

    async def list(
        self, uri: str, namespace_id: str, wanted: Wanted, *, size: int, token: bytes
    ) -> Page:
        """Return a page of the archived runs that match, the last closed first."""
        return await self._read(
            uri, lambda archive: archive.list(namespace_id, wanted, size, token)
        )

    def close(self) -> None:
        """Let go of all connections; what a thread still does, it does."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._writers.shutdown(wait=False, cancel_futures=True)
        for archive in self._opened.values():
            archive.close()

    async def _read(self, uri: str, ask: Callable[[Archive], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: ask(self.at(uri)))

    async def _write(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writers, work)


def _compact(archive: Archive, namespace_id: str) -> None:
    lake = archive.lake(namespace_id)
    while lake.compact():
        pass
