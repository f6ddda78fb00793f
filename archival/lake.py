"""The lake: the records of all archived runs of a namespace, searchable, beside Temporal's layout.

Parquet files in `millrace/<namespace>/lake/closed_month=2026-08/`, which DuckDB and Spark read as
they lie there, and a manifest (`manifest.py`) that says which of them count and what is in each.
Files are only added and merged, never changed: a reader whose file was merged away reads the
manifest again. A run that was added twice is shown once. Whoever reads the files by themselves
(`read_parquet('.../millrace/*/lake/*/*.parquet', hive_partitioning=true)`) may, while files are
being merged, see a run twice: `run_id` tells.
"""

import datetime as dt
import math
import uuid
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import msgspec

from archival.layout import our_folder
from archival.manifest import Gone, Manifest, Manifests, Segment
from archival.query import Filter, Matching, Page
from archival.reading import Asked, Reading
from archival.row import ArchivedRun, Position
from archival.settings import LakeSettings
from archival.store import Missing, Store
from schemas.errors import Unavailable
from schemas.instants import SECOND

if TYPE_CHECKING:
    from archival import parquet

_TYPES_LIMIT: Final = 256
_GONE_LIMIT: Final = 4_096
_READ_AGAIN: Final = 5
_TOP: Final = 99


class Lake:
    """The searchable records of one namespace's archived runs."""

    def __init__(
        self, store: Store, namespace_id: str, settings: LakeSettings | None = None
    ) -> None:
        self._store = store
        self._folder = our_folder(namespace_id)
        self._settings = settings or LakeSettings()
        self._manifests = Manifests(store, f"{self._folder}/manifests")
        self._reading = Reading(store, self._settings)

    def add(self, rows: Iterable[ArchivedRun]) -> None:
        """Add runs, durably and visibly; adding them again changes nothing that is seen."""
        by_month: dict[str, list[ArchivedRun]] = {}
        for row in rows:
            by_month.setdefault(_month(row.closed_at), []).append(row)
        added = [
            self._write(month, some)
            for month, all_ in by_month.items()
            for some in _cut(all_, self._settings.segment_rows_count)
        ]
        if added:
            self._manifests.commit(lambda base: _with(base, added))

    def list(
        self,
        filter_: Filter | None = None,
        size: int = 1_000,
        token: bytes = b"",
        *,
        closed_in: Sequence[int] | None = None,
    ) -> Page:
        """Return a page of the runs that match, the last closed first.

        Behind the token's run, whatever has come in meanwhile. `closed_in`: the seconds, rising,
        in which all that match closed, where they are known. Raises InvalidArgument for what is
        not a token.
        """
        for _ in range(_READ_AGAIN):
            asked_before = self._manifests.requests_count
            manifest = self._manifests.latest()
            count = self._manifests.requests_count - asked_before
            try:
                asked = Asked(size, token, count, closed_in)
                return self._reading.page(manifest, filter_ or Matching(), asked)
            except Missing:
                continue
        raise Unavailable("expected to read the lake, its files were merged at every try")

    def rows(self) -> Iterator[ArchivedRun]:
        """Return every run, the last closed first, a page in memory at a time."""
        page = self.list()
        yield from page.runs
        while page.token:
            page = self.list(token=page.token)
            yield from page.runs

    def manifest(self) -> Manifest:
        """Return which files count now."""
        return self._manifests.latest()

    def remove(self, runs: Iterable[tuple[str, int]]) -> None:
        """Remove runs (run id, closed at): they are not seen from now on."""
        gone = {Gone(run_id, closed_at) for run_id, closed_at in runs}
        manifest = self._manifests.commit(lambda base: _without(base, gone))
        if len(manifest.gone) > _GONE_LIMIT:
            self.settle()

    def settle(self) -> None:
        """Write the files anew that hold removed runs, so that nothing of them is left."""
        before = self._manifests.latest()
        held = [one for one in before.segments if any(_holds(one, gone) for gone in before.gone)]
        replaced = [self._replace([segment]) for segment in held]
        if all(replaced):
            settled = frozenset(before.gone)
            self._manifests.commit(lambda base: _settled(base, settled))

    def compact(self) -> bool:
        """Merge files of about one size, once; return whether there was something to merge."""
        chosen = _mergeable(self._manifests.latest(), self._settings)
        if not chosen:
            return False
        return self._replace(chosen)

    def sweep(self, before: int) -> int:
        """Remove files that no manifest knows, older than an instant (ns); return how many.

        A writer that crashed, or was overtaken, leaves such. `before` lies well in the past: a
        file is written before the manifest that names it.
        """
        known = {one.key for one in self._manifests.latest().segments}
        lost = [
            one.key
            for one in self._store.list(f"{self._folder}/lake/")
            if one.key not in known and one.modified_at < before
        ]
        self._store.delete(lost)
        return len(lost)

    def _write(self, month: str, rows: Sequence[ArchivedRun]) -> Segment:
        parquet = _parquet()
        encoded = parquet.encode(rows, self._settings.group_bytes)
        return self._put(f"{self._folder}/lake/closed_month={month}", encoded)

    def _put(self, folder: str, encoded: "parquet.Encoded") -> Segment:
        """Write a file under a name of its own: one that was ever used may be deleted any time."""
        key = f"{folder}/{uuid.uuid4().hex}.parquet"
        self._store.put_new(key, (encoded.body,))
        few = len(encoded.types) <= _TYPES_LIMIT
        return Segment(
            key=key,
            rows_count=encoded.rows_count,
            size_bytes=len(encoded.body),
            closed=encoded.closed,
            started=encoded.started,
            types=encoded.types if few else None,
        )

    def _replace(self, segments: Sequence[Segment]) -> bool:
        """Merge files of one month into one; False if another was faster."""
        gone = frozenset(self._manifests.latest().gone)
        try:
            bodies = [self._store.get(one.key) for one in segments]
        except Missing:
            return False
        run_ids = frozenset(one.run_id for one in gone)
        merged = _parquet().merge(bodies, run_ids, self._settings.group_bytes)
        added = [self._put(segments[0].month, merged)] if merged else []
        after = self._manifests.commit(lambda base: _replaced(base, segments, added, gone))
        kept = {one.key for one in after.segments}
        is_done = all(one.key in kept for one in added) and not any(
            one.key in kept for one in segments
        )
        unused = segments if is_done else added
        self._store.delete([one.key for one in unused if one.key not in kept])
        return is_done


def _with(base: Manifest, added: Sequence[Segment]) -> Manifest | None:
    known = {one.key for one in base.segments}
    new = tuple(one for one in added if one.key not in known)
    return msgspec.structs.replace(base, segments=base.segments + new) if new else None


def _without(base: Manifest, gone: set[Gone]) -> Manifest | None:
    new = gone - set(base.gone)
    new = {one for one in new if any(_holds(segment, one) for segment in base.segments)}
    if not new:
        return None
    return msgspec.structs.replace(base, gone=(*base.gone, *sorted(new, key=_by_id)))


def _replaced(
    base: Manifest,
    segments: Sequence[Segment],
    added: Sequence[Segment],
    gone: frozenset[Gone],
) -> Manifest | None:
    """Replace files, unless others did, or runs were removed that the new file still holds."""
    keys = {one.key for one in segments}
    missed = [one for one in base.gone if one not in gone]
    if not keys <= {one.key for one in base.segments}:
        return None
    if any(_holds(segment, one) for segment in segments for one in missed):
        return None
    kept = tuple(one for one in base.segments if one.key not in keys)
    return msgspec.structs.replace(base, segments=(*kept, *added))


def _settled(base: Manifest, settled: frozenset[Gone]) -> Manifest:
    return msgspec.structs.replace(base, gone=tuple(set(base.gone) - settled))


def _mergeable(manifest: Manifest, settings: LakeSettings) -> list[Segment]:
    """Return files of one month and about one size, next to each other in time, if many enough."""
    tiers: dict[tuple[str, int], list[Segment]] = {}
    for one in manifest.segments:
        tiers.setdefault((one.month, _tier(one, settings)), []).append(one)
    for (_, tier), found in sorted(tiers.items()):
        if tier < _TOP and len(found) >= settings.fanout_count:
            return _fitting(sorted(found, key=_by_time), settings)
    return []


def _tier(segment: Segment, settings: LakeSettings) -> int:
    """Return which size a file is of; the largest are merged no more."""
    rows = segment.rows_count * settings.fanout_count
    if rows > settings.segment_rows_count or segment.size_bytes * 2 > settings.segment_bytes:
        return _TOP
    return int(math.log(segment.rows_count, settings.fanout_count))


def _fitting(segments: Sequence[Segment], settings: LakeSettings) -> list[Segment]:
    rows, size = 0, 0
    chosen: list[Segment] = []
    for one in segments:
        rows, size = rows + one.rows_count, size + one.size_bytes
        is_full = rows > settings.segment_rows_count or size > settings.segment_bytes
        if len(chosen) >= 2 and (is_full or len(chosen) >= settings.fanout_count):
            break
        chosen.append(one)
    return chosen


def _cut(rows: list[ArchivedRun], count: int) -> Iterator[list[ArchivedRun]]:
    """Return rows in files' worth, next to each other in time."""
    rows.sort(key=_position)
    for at in range(0, len(rows), count):
        yield rows[at : at + count]


def _position(row: ArchivedRun) -> Position:
    return row.position


def _by_time(segment: Segment) -> tuple[int, int]:
    return segment.closed


def _by_id(gone: Gone) -> str:
    return gone.run_id


def _holds(segment: Segment, gone: Gone) -> bool:
    return segment.closed[0] <= gone.closed_at <= segment.closed[1]


def _month(instant: int) -> str:
    return dt.datetime.fromtimestamp(instant // SECOND, tz=dt.UTC).strftime("%Y-%m")


def _parquet() -> Any:
    """Return the module that knows pyarrow: its import takes 100 ms and 60 MB."""
    return import_module("archival.parquet")
