"""Archive closed runs: history first, then the record, then the lake, each written once.

A run counts as archived when all three are durable, and only then. Whoever is stopped before that
is repeated: the second time finds what is there and writes the rest. Many runs share one write to
the lake. A run that cannot be archived comes back with its reason, and the others go on.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from archival.archive import Archive
from archival.record import Record
from archival.row import ArchivedRun, row_of
from archival.run import ClosedRun, Refused, RunKey, Written
from archival.settings import ArchivalSettings
from schemas.errors import ServiceError


class Outcome(msgspec.Struct, frozen=True):
    """What became of one run: archived, refused for good (Refused), or to be tried again."""

    key: RunKey
    row: ArchivedRun | None = None
    error: ServiceError | None = None

    @property
    def is_archived(self) -> bool:
        """Whether all of it is durable."""
        return self.error is None

    @property
    def is_refused(self) -> bool:
        """Whether trying again is no use."""
        return isinstance(self.error, Refused)


class Archiver:
    """Writes closed runs of namespaces whose archives these are; either may be off (None)."""

    def __init__(
        self,
        histories: Archive | None,
        records: Archive | None,
        settings: ArchivalSettings | None = None,
    ) -> None:
        settings = settings or ArchivalSettings()
        self._histories = histories
        self._records = records
        self._workers = ThreadPoolExecutor(settings.workers_count, "archiver")

    def archive(self, run: ClosedRun) -> ArchivedRun | None:
        """Archive one run; raises Refused, or Unavailable and its like when to be tried again."""
        (outcome,) = self.archive_all([run])
        if outcome.error is not None:
            raise outcome.error
        return outcome.row

    def archive_all(self, runs: Sequence[ClosedRun]) -> list[Outcome]:
        """Archive runs, some at a time, and say of each what became of it, in their order."""
        outcomes = list(self._workers.map(self._written, runs))
        if self._records is None:
            return outcomes
        by_namespace: dict[str, list[ArchivedRun]] = {}
        for outcome in outcomes:
            if outcome.row is not None:
                by_namespace.setdefault(outcome.key.namespace_id, []).append(outcome.row)
        failed = {
            namespace_id: error
            for namespace_id, rows in by_namespace.items()
            if (error := _tried(self._records.lake(namespace_id).add, rows)) is not None
        }
        return [_unless(outcome, failed.get(outcome.key.namespace_id)) for outcome in outcomes]

    def delete_all(self, records: Sequence[Record]) -> None:
        """Remove runs from the archive: from lists first, histories last; repeatable."""
        by_namespace: dict[str, list[Record]] = {}
        for record in records:
            by_namespace.setdefault(record.key.namespace_id, []).append(record)
        if self._records is not None:
            for namespace_id, some in by_namespace.items():
                gone = [(one.key.run_id, one.closed_at) for one in some]
                self._records.lake(namespace_id).remove(gone)
        for _ in self._workers.map(self._delete, records):
            pass

    def close(self) -> None:
        """Let go of its threads; the archives are their opener's to close."""
        self._workers.shutdown()

    def _delete(self, record: Record) -> None:
        if self._records is not None:
            self._records.delete_record(record)
        if self._histories is not None:
            self._histories.delete_history(record.key)

    def _written(self, run: ClosedRun) -> Outcome:
        """Write what is a run's own."""
        try:
            return self._write(run)
        except ServiceError as error:
            return Outcome(run.key, error=error)
        except Exception as error:  # noqa: BLE001 - a run that is not what we expect is set aside
            return Outcome(run.key, error=Refused(f"{type(error).__name__}: {error}"))

    def _write(self, run: ClosedRun) -> Outcome:
        written: Written | None = None
        uri = ""
        if self._histories is not None:
            written = self._histories.archive_history(run)
            uri = self._histories.uri.text
        if self._records is None:
            return Outcome(run.key)
        record = self._records.archive_record(run, uri)
        return Outcome(run.key, row=row_of(record, written))


def _tried(
    add: Callable[[list[ArchivedRun]], None], rows: list[ArchivedRun]
) -> ServiceError | None:
    try:
        add(rows)
    except ServiceError as error:
        return error
    return None


def _unless(outcome: Outcome, error: ServiceError | None) -> Outcome:
    return outcome if error is None or outcome.row is None else Outcome(outcome.key, error=error)
