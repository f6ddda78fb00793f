"""The archive at one URI: histories, visibility records, and the lakes that search them.

Every write is idempotent: of a run there is one history and one record, however often and by
however many it is written, and what a crash left half-done is finished by the next. A history that
was not written whole is never shown as one. The order of the writes is `archiver.py`'s.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from archival.history_files import HistoryFiles
from archival.history_objects import HistoryObjects
from archival.lake import Lake
from archival.layout import namespace_folder, our_folder
from archival.proto_json import Malformed
from archival.query import Filter, Page
from archival.record import Record, Types, parse_record, record_of, to_text
from archival.records import RecordFiles, RecordObjects
from archival.run import ClosedRun, HistoryPage, Refused, RunKey, Written
from archival.settings import ArchivalSettings
from archival.store import Store
from archival.uri import Uri
from schemas.errors import NotFound
from schemas.instants import instant_of
from schemas.temporal import history

_LAKES_LIMIT: Final = 256
_DELETED_AT_ONCE: Final = 1_000


class Histories(Protocol):
    """Histories in a store, in one of Temporal's layouts."""

    def write(self, run: ClosedRun) -> Written:
        """Write a history, or what is missing of it; raises Refused."""
        ...

    def page(
        self, key: RunKey, size: int, token: bytes = b"", version: int | None = None
    ) -> HistoryPage:
        """Return whole batches of at least `size` events, or less than that and some MiB.

        Raises NotFound, Damaged.
        """
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

    def prefix(self, namespace_id: str) -> str:
        """Return how the names of a namespace's histories begin."""
        ...


class Records(Protocol):
    """Visibility records in a store, in one of Temporal's layouts."""

    def names(self, record: Record) -> tuple[str, ...]:
        """Return the names of its copies."""
        ...

    def find(self, key: RunKey, closed_at: int) -> bytes | None:
        """Return the record of a run that closed then."""
        ...

    def closed_in(self, namespace_id: str, workflow_id: str) -> tuple[int, ...] | None:
        """Return the seconds in which the runs of a workflow id closed; None if not known."""
        ...

    def all(self, namespace_id: str, after: str = "") -> Iterator[str]:
        """Return the names of a namespace's records behind a name, each record once."""
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
        self._settings = settings
        self._lakes: dict[str, Lake] = {}

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
        for name in self.records.names(record):
            self._write_record(name, text)
        return record

    def history_page(
        self, key: RunKey, size: int, token: bytes = b"", version: int | None = None
    ) -> HistoryPage:
        """Return a page of a history: `size` events, or some MiB of them; raises NotFound."""
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
            closed_at = instant_of(self.histories.last_event(key).event_time)
        text = self.records.find(key, closed_at)
        if text is None:
            raise NotFound(f"expected an archived record of {key.run_id}, found none")
        return parse_record(text, types)

    def list(
        self,
        namespace_id: str,
        filter_: Filter | None = None,
        size: int = 1_000,
        token: bytes = b"",
    ) -> Page:
        """Return a page of the archived runs that match, the last closed first.

        A filter for one workflow id is helped by the names of the records.
        """
        ids = filter_.hints.equal.get("workflow_id", frozenset()) if filter_ else frozenset()
        closed_in = None
        if len(ids) == 1:
            closed_in = self.records.closed_in(namespace_id, *ids)
        return self.lake(namespace_id).list(filter_, size, token, closed_in=closed_in)

    def lake(self, namespace_id: str) -> Lake:
        """Return what searches the archived runs of a namespace."""
        lake = self._lakes.get(namespace_id)
        if lake is None:
            if len(self._lakes) >= _LAKES_LIMIT:
                self._lakes.clear()
            lake = Lake(self.store, namespace_id, self._settings.lake)
            self._lakes[namespace_id] = lake
        return lake

    def delete_record(self, record: Record) -> None:
        """Remove a run's record, all its copies."""
        self.store.delete(self.records.names(record))

    def delete_history(self, key: RunKey) -> None:
        """Remove a run's history, all its versions."""
        self.histories.delete(key)

    def delete_namespace(self, namespace_id: str) -> Iterator[int]:
        """Remove all that is archived of a namespace; how many objects so far, now and then.

        To be gone on with after a crash: what is left is removed then.
        """
        count = 0
        own = (f"{namespace_folder(namespace_id)}/", f"{our_folder(namespace_id)}/")
        for prefix in {*own, self.histories.prefix(namespace_id)}:
            while some := [one.key for one in self.store.list(prefix, limit=_DELETED_AT_ONCE)]:
                self.store.delete(some)
                count += len(some)
                yield count
        self._lakes.pop(namespace_id, None)

    def close(self) -> None:
        """Let go of its connections; idempotent."""
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
