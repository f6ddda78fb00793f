"""One page of a list out of the lake's files: only what can matter is fetched, newest first.

Files and their groups wait in a heap by the last close time that each may hold. A run is part of
the page once nothing that waits can come before it. So a page of a type over a short time is a
manifest, a footer and a group or two, however many runs there are; a page that finds little ends
early, with a token, rather than read on.
"""

import heapq
from bisect import bisect_left
from collections.abc import Sequence
from importlib import import_module
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import msgspec

from archival.manifest import Manifest, Segment
from archival.query import Filter, Hints, Page, pack_token, unpack_token
from archival.row import ArchivedRun
from archival.settings import LakeSettings
from archival.store import Store
from schemas.instants import SECOND

if TYPE_CHECKING:
    from archival import parquet

_WHOLE_BYTES: Final = 128 << 10
"""Files up to this size are fetched at once."""
_WHOLE_LIMIT: Final = 32
_FOOTERS_LIMIT: Final = 256

_Unit = tuple[Segment, "parquet.Footer | None", "parquet.Group | None"]


class Asked(msgspec.Struct, frozen=True):
    """Which page is wanted."""

    size: int
    token: bytes = b""
    requests_count: int = 0  # made for it so far
    closed_in: Sequence[int] | None = None  # seconds in which all that is wanted closed, rising


class Reading:
    """Reads pages; remembers the footers of files, which never change."""

    def __init__(self, store: Store, settings: LakeSettings) -> None:
        self._store = store
        self._settings = settings
        self._footers: dict[str, Any] = {}
        self._lock = Lock()

    def page(self, manifest: Manifest, wanted: Filter, asked: Asked) -> Page:
        """Return a page; raises Missing when a file of the manifest was merged away."""
        gone = frozenset(one.run_id for one in manifest.gone)
        scan = _Scan(self, wanted, asked, gone)
        for segment in manifest.segments:
            scan.consider(segment)
        return scan.page(max(1, asked.size), self._settings)

    def open(self, segment: Segment, scan: "_Scan") -> "parquet.Footer":
        """Return the footer of a file."""
        with self._lock:
            footer = self._footers.get(segment.key)
        if footer is None:
            parquet = _parquet()
            tail_bytes = min(segment.size_bytes, parquet.TAIL_BYTES)
            tail = self.fetch(segment, segment.size_bytes - tail_bytes, tail_bytes, scan)
            needed = parquet.footer_bytes(tail)
            if needed > tail_bytes:
                tail = self.fetch(segment, segment.size_bytes - needed, needed, scan)
            footer = parquet.parse_footer(tail)
            with self._lock:
                while len(self._footers) >= _FOOTERS_LIMIT:
                    self._footers.pop(next(iter(self._footers)))
                self._footers[segment.key] = footer
        return footer  # type: ignore[no-any-return]  # pyarrow's module is imported late

    def fetch(self, segment: Segment, start: int, size_bytes: int, scan: "_Scan") -> bytes:
        """Return a part of a file; small files are fetched whole, once."""
        if segment.size_bytes > _WHOLE_BYTES:
            scan.requests_count += 1
            return self._store.get(segment.key, start, size_bytes)
        body = scan.whole.get(segment.key)
        if body is None:
            scan.requests_count += 1
            body = self._store.get(segment.key)
            if len(scan.whole) >= _WHOLE_LIMIT:
                scan.whole.clear()
            scan.whole[segment.key] = body
        return body[start : start + size_bytes]


class _Scan:
    """The reading of one page."""

    def __init__(
        self, reading: Reading, wanted: Filter, asked: Asked, gone: frozenset[str]
    ) -> None:
        self._reading = reading
        self._wanted = wanted
        self._hints = wanted.hints
        self._behind = unpack_token(asked.token)
        self._closed_in = asked.closed_in
        self._gone = gone
        self._heap: list[tuple[int, int, _Unit]] = []
        self._number = count()
        self._found: list[tuple[tuple[int, int, _Descending], ArchivedRun]] = []
        self._rows_count = 0
        self.requests_count = asked.requests_count
        self.whole: dict[str, bytes] = {}

    def consider(self, segment: Segment) -> None:
        """Put a file into the heap if it may hold a match."""
        types = self._hints.equal.get("workflow_type")
        if types is not None and segment.types is not None and not types & segment.types.keys():
            return
        if self._may_close(segment.closed) and _may_fall(
            self._hints, "started_at", segment.started
        ):
            self._push(segment.closed, (segment, None, None))

    def page(self, size: int, settings: LakeSettings) -> Page:
        """Read until the page is full, or nothing waits, or enough was asked for."""
        runs: dict[str, ArchivedRun] = {}
        while True:
            self._settle(runs, size)
            if len(runs) == size:
                last = next(reversed(runs.values()))
                return Page(tuple(runs.values()), pack_token(last.position))
            if not self._heap:
                return Page(tuple(runs.values()))
            if self._is_enough(settings) and self._has_progressed(runs):
                until = -self._heap[0][0]
                return Page(tuple(runs.values()), pack_token((until + 1, 0, "")))
            self._read()

    def _settle(self, runs: dict[str, ArchivedRun], size: int) -> None:
        """Move to the page what nothing that waits can come before; each run once."""
        until = -self._heap[0][0] if self._heap else None
        while self._found and len(runs) < size:
            run = self._found[0][1]
            if until is not None and run.closed_at <= until:
                return
            heapq.heappop(self._found)
            runs.setdefault(run.run_id, run)

    def _is_enough(self, settings: LakeSettings) -> bool:
        return (
            self.requests_count >= settings.page_requests_count
            or self._rows_count >= settings.page_rows_count
        )

    def _has_progressed(self, runs: dict[str, ArchivedRun]) -> bool:
        """Whether the next page would not be this one again."""
        until = -self._heap[0][0]
        return bool(runs) or self._behind is None or (until + 1, 0, "") < self._behind

    def _read(self) -> None:
        _, _, (segment, footer, group) = heapq.heappop(self._heap)
        if footer is None or group is None:
            opened = self._reading.open(segment, self)
            for one in opened.groups:
                if self._may_hold(one):
                    self._push(one.closed, (segment, opened, one))
            return
        body = self._reading.fetch(segment, group.start, group.size_bytes, self)
        self._rows_count += group.rows_count
        rows = _parquet().read_group(footer, group, body, (self._hints, self._behind))
        for run in rows:
            if run.run_id not in self._gone and self._wanted.matches(run):
                closed_at, started_at, run_id = run.position
                place = (-closed_at, -started_at, _Descending(run_id))
                heapq.heappush(self._found, (place, run))

    def _may_hold(self, group: "parquet.Group") -> bool:
        types = self._hints.equal.get("workflow_type")
        if types is not None and not any(group.types[0] <= one <= group.types[1] for one in types):
            return False
        return self._may_close(group.closed)

    def _may_close(self, span: tuple[int, int]) -> bool:
        """Whether what is wanted may have closed within a span."""
        if self._closed_in is not None:
            first, last = (instant // SECOND for instant in span)
            at = bisect_left(self._closed_in, first)
            if at == len(self._closed_in) or self._closed_in[at] > last:
                return False
        return _may_fall(self._hints, "closed_at", span)

    def _push(self, closed: tuple[int, int], unit: _Unit) -> None:
        """Let something wait by the last close time at which it may have a run for this page."""
        first, last = closed
        if self._behind is not None:
            if first > self._behind[0]:
                return
            last = min(last, self._behind[0])
        last = min(last, self._hints.at_most.get("closed_at", last))
        heapq.heappush(self._heap, (-last, next(self._number), unit))


class _Descending(msgspec.Struct, frozen=True):
    """Text that comes before what is smaller."""

    text: str

    def __lt__(self, other: "_Descending") -> bool:
        return self.text > other.text


def _may_fall(hints: Hints, column: str, span: tuple[int, int]) -> bool:
    first, last = span
    return last >= hints.at_least.get(column, last) and first <= hints.at_most.get(column, first)


def _parquet() -> Any:
    """Return the module that knows pyarrow: its import takes 100 ms and 60 MB."""
    return import_module("archival.parquet")
