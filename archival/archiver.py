"""Archive closed runs and read them back: one `Archive` for one URI.

Archiving is idempotent: of a run there is one history and one record, however often and by however
many it is archived, and what a crash left half-done is finished by the next. A history that was
not written whole is never shown as one.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from archival.history_files import HistoryFiles
from archival.history_objects import HistoryObjects
from archival.proto_json import Malformed
from archival.record import Record, Types, parse_record, record_of, to_text
from archival.records import RecordFiles, RecordObjects
from archival.run import ClosedRun, HistoryPage, Refused, RunKey, Written
from archival.settings import ArchivalSettings
from archival.store import Store
from archival.uri import Uri
from schemas.errors import NotFound
from schemas.temporal import history


class Histories(Protocol):
    """Histories in a store, in one of Temporal's layouts."""

    def write(self, run: ClosedRun) -> Written:
        """Write a history, or what is missing of it; raises Refused."""
        ...

    def page(
        self, key: RunKey, size: int, token: bytes = b"", version: int | None = None
    ) -> HistoryPage:
        """Return whole batches of at least `size` events; raises NotFound, Damaged."""
        ...

    def bodies(self, key: RunKey, version: int) -> Iterator[bytes]:
        """Return the bytes of its objects in their order; none if it is not there."""
        ...

    def last_event(self, key: RunKey) -> history.HistoryEvent:
        """Return its last event; raises NotFound, Damaged."""
        ...

    def delete(self, key: RunKey) -> None:
        """Remove all versions of it."""
        ...


class Records(Protocol):
    """Visibility records in a store, in one of Temporal's layouts."""

    def names(self, record: Record) -> tuple[str, ...]:
        """Return the names of its copies."""
        ...

    def find(self, key: RunKey, closed_at: int) -> bytes | None:
        """Return the record of a run that closed then."""
        ...

    def all(self, namespace_id: str) -> Iterator[bytes]:
        """Return every record of a namespace once."""
        ...


class Archive:
    """The archive at one URI."""

    def __init__(self, uri: Uri, store: Store, settings: ArchivalSettings | None = None) -> None:
        settings = settings or ArchivalSettings()
        self.uri = uri
        self.store = store
        is_folder = uri.scheme == "file"
        self.histories: Histories = (
            HistoryFiles(store) if is_folder else HistoryObjects(store, settings.blob_bytes)
        )
        self.records: Records = RecordFiles(store) if is_folder else RecordObjects(store)
        self._workers = ThreadPoolExecutor(settings.workers_count, "archive")

    def check(self) -> None:
        """Raise InvalidArgument unless runs can be archived here."""
        self.store.check()

    def archive_history(self, run: ClosedRun) -> Written:
        """Write a run's history; raises Refused, Unavailable."""
        run.check()
        return self.histories.write(run)

    def archive_record(self, run: ClosedRun, history_uri: str = "") -> Record:
        """Write a run's visibility record, all its copies; raises Refused, Unavailable."""
        record = record_of(run, history_uri)
        text = to_text(record)
        names = self.records.names(record)
        for _ in self._workers.map(lambda name: self._write_record(name, text), names):
            pass
        return record

    def history_page(
        self, key: RunKey, size: int, token: bytes = b"", version: int | None = None
    ) -> HistoryPage:
        """Return a page of a history: at least `size` events but for the last; raises NotFound."""
        return self.histories.page(key, max(1, size), token, version)

    def history(self, key: RunKey, size: int = 1_000) -> Iterator[history.History]:
        """Return the batches of a whole history, a page in memory at a time."""
        page = self.history_page(key, size)
        yield from page.batches
        while page.token:
            page = self.history_page(key, size, page.token)
            yield from page.batches

    def describe(
        self, key: RunKey, types: Types | None = None, *, closed_at: int | None = None
    ) -> Record:
        """Return the record of a run; raises NotFound.

        Its name holds the time at which it closed: that of the last event, where not given.
        """
        if closed_at is None:
            event_time = self.histories.last_event(key).event_time
            closed_at = event_time.seconds * 1_000_000_000 + event_time.nanos
        text = self.records.find(key, closed_at)
        if text is None:
            raise NotFound(f"expected an archived record of {key.run_id}, found none")
        return parse_record(text, types)

    def delete(self, record: Record) -> None:
        """Remove a run: its record first, its history last, so that a rest is found again."""
        self.store.delete(self.records.names(record))
        self.histories.delete(record.key)

    def close(self) -> None:
        """Let go of threads and connections; idempotent."""
        self._workers.shutdown()
        self.store.close()

    def _write_record(self, name: str, text: bytes) -> None:
        """Write one copy; one that is there stays, unless it is none."""
        if self.store.put_new(name, (text,)):
            return
        found = self.store.get(name)
        if found == text:
            return
        try:
            theirs, ours = parse_record(found).key, parse_record(text).key
        except Malformed:
            self.store.put(name, (text,))
            return
        if theirs != ours:
            raise Refused(f"expected {name!r} to belong to {ours}, found {theirs}")
