"""Copy archives, make existing ones searchable, verify, empty: what `millrace archive` does.

All of it can be stopped and gone on with: what was done is found done. Progress is told after each
page of runs, with the token to go on from. Memory holds a page of records and a part of a history.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final

import msgspec

from archival.archive import Archive
from archival.archiver import Archiver
from archival.proto_json import Malformed
from archival.query import Filter
from archival.record import Record, Types, parse_record
from archival.row import ArchivedRun, row_of
from archival.run import ClosedRun, Damaged, Refused, RunKey, Written
from archival.store import Missing
from schemas.errors import NotFound, ServiceError
from schemas.temporal import history

_PAGE: Final = 256
_WORKERS: Final = 16


class Trouble(msgspec.Struct, frozen=True):
    """A run that is not as it should be, and why."""

    key: RunKey
    reason: str


class Progress(msgspec.Struct, frozen=True):
    """How far it is; `token` goes on from here."""

    done_count: int
    troubles: tuple[Trouble, ...]  # since the last report
    token: bytes = b""


Report = Callable[[Progress], None]


def copy(
    source: Archive,
    target: Archive,
    namespace_id: str,
    report: Report,
    *,
    wanted: Filter | None = None,
    token: bytes = b"",
) -> int:
    """Archive the runs of one archive in another; return how many. A copied run is verified."""
    archiver = Archiver(target, target)

    def copied(rows: tuple[ArchivedRun, ...]) -> list[Trouble]:
        outcomes = archiver.archive_all([_again(source, namespace_id, row) for row in rows])
        return [Trouble(one.key, str(one.error)) for one in outcomes if one.error is not None]

    try:
        return _walk(source, namespace_id, copied, (report, wanted, token))
    finally:
        archiver.close()


def verify(
    archive: Archive,
    namespace_id: str,
    report: Report,
    *,
    wanted: Filter | None = None,
    token: bytes = b"",
) -> int:
    """Read every archived run and compare it with what was written; return how many were read."""
    with ThreadPoolExecutor(_WORKERS, "verify") as workers:

        def verified(rows: tuple[ArchivedRun, ...]) -> list[Trouble]:
            reasons = workers.map(lambda row: _fault(archive, namespace_id, row), rows)
            found = zip(rows, reasons, strict=True)
            return [Trouble(row.key(namespace_id), reason) for row, reason in found if reason]

        return _walk(archive, namespace_id, verified, (report, wanted, token))


def remove(
    archive: Archive,
    namespace_id: str,
    report: Report,
    *,
    wanted: Filter | None = None,
    token: bytes = b"",
) -> int:
    """Remove runs from an archive, their histories and records; return how many.

    They are gone from lists first; in the end nothing of them is left in the lake's files either.
    """
    archiver = Archiver(archive, archive)

    def removed(rows: tuple[ArchivedRun, ...]) -> list[Trouble]:
        archiver.delete_all([_record(row, namespace_id) for row in rows])
        return []

    try:
        count = _walk(archive, namespace_id, removed, (report, wanted, token))
    finally:
        archiver.close()
    archive.lake(namespace_id).settle()
    return count


def _record(row: ArchivedRun, namespace_id: str) -> Record:
    return Record(row.namespace, row.key(namespace_id), row.shown(), row.history_uri)


def index(
    archive: Archive,
    namespace_id: str,
    report: Report,
    *,
    types: Types | None = None,
    token: bytes = b"",
) -> int:
    """Make the runs of an existing archive, Temporal's say, searchable where they lie; how many.

    `types` are the namespace's search attributes. Histories are read once, for their checksums.
    """
    lake = archive.lake(namespace_id)
    names = archive.records.all(namespace_id, token.decode())
    count = 0
    with ThreadPoolExecutor(_WORKERS, "index") as workers:
        while some := list(islice(names, _PAGE)):
            found = list(workers.map(lambda name: _indexed(archive, name, types), some))
            rows = [one for one in found if isinstance(one, ArchivedRun)]
            lake.add(rows)
            count += len(rows)
            troubles = [one for one in found if isinstance(one, Trouble)]
            report(Progress(count, tuple(troubles), some[-1].encode()))
    return count


def _indexed(archive: Archive, name: str, types: Types | None) -> ArchivedRun | Trouble:
    """Return the row of the run whose record has this name."""
    try:
        record = parse_record(archive.store.get(name), types)
        return row_of(record, _found(archive, record.key))
    except (Malformed, Missing, ServiceError) as error:
        return Trouble(RunKey("", "", name), str(error))


_Asked = tuple[Report, Filter | None, bytes]


def _walk(
    source: Archive,
    namespace_id: str,
    visit: Callable[[tuple[ArchivedRun, ...]], list[Trouble]],
    asked: _Asked,
) -> int:
    """Go through the runs of a lake, page by page."""
    report, wanted, token = asked
    lake = source.lake(namespace_id)
    count = 0
    while True:
        page = lake.list(wanted, _PAGE, token)
        troubles = visit(page.runs)
        count += len(page.runs)
        token = page.token
        report(Progress(count, tuple(troubles), token))
        if not token:
            return count


def _again(source: Archive, namespace_id: str, row: ArchivedRun) -> ClosedRun:
    """Return an archived run as one to archive."""
    key = row.key(namespace_id)
    execution = row.shown()
    return ClosedRun(
        namespace=row.namespace,
        key=key,
        execution=execution,
        batches=_Batches(source, key),
        last_event_id=execution.history_length,
        close_version=row.close_version,
    )


class _Batches:
    """A history in an archive, read anew each time."""

    def __init__(self, source: Archive, key: RunKey) -> None:
        self._source = source
        self._key = key

    def __iter__(self) -> Iterator[history.History]:
        try:
            yield from self._source.history(self._key)
        except NotFound as error:
            raise Refused(str(error)) from error


def _found(archive: Archive, key: RunKey) -> Written | None:
    """Return what there is of a run's history; None if there is none."""
    try:
        event = archive.histories.last_event(key)
    except NotFound:
        return None
    digest, size, count = hashlib.sha256(), 0, 0
    for body in archive.histories.bodies(key, event.version):
        digest.update(body)
        size += len(body)
        count += 1
    return Written(event.version, count, size, digest.digest(), event.event_id)


def _fault(archive: Archive, namespace_id: str, row: ArchivedRun) -> str:
    """Say what is wrong with an archived run, nothing if all is well."""
    key = row.key(namespace_id)
    try:
        record = archive.describe(key, closed_at=row.closed_at)
        if record.started_at != row.started_at or record.workflow_type != row.workflow_type:
            return "the visibility record is another than the one in the lake"
        return _history_fault(archive, key, row) if row.objects_count else ""
    except (NotFound, Damaged, Malformed) as error:
        return str(error)


def _history_fault(archive: Archive, key: RunKey, row: ArchivedRun) -> str:
    digest = hashlib.sha256()
    for body in archive.histories.bodies(key, row.close_version):
        digest.update(body)
    if digest.digest() != row.history_sha256:
        return "the history is not what was written: expected another checksum"
    last = 0
    for batch in archive.history(key):
        for event in batch.events:
            if event.event_id != last + 1:
                return f"expected event {last + 1} of the history, found {event.event_id}"
            last = event.event_id
    return ""
