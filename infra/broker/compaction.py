"""Compaction: rewrite closed segments so that each key keeps its newest record.

Runs as a process of its own (`python -m infra.broker.compaction`, jobs on stdin as JSON) so that
it can neither stall nor crash the broker. It reads segments and writes `*.cleaned` and `*.cleaned-
index`; the broker puts them in place. Offsets and record bytes stay; records of aborted
transactions go, as do tombstones and markers after delete.retention.ms. A group of small segments
becomes one.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infra.broker.batches import (
    COMPRESSION_MASK,
    HEADER,
    HEADER_BYTES,
    PREFIX_BYTES,
    BatchHeader,
    seal,
)
from infra.broker.files import Files
from infra.broker.records import Record, compressed, records_in
from infra.broker.segment import Segment


class Job(NamedTuple):
    """Segments (first offset, end offset, bytes) of one log, and what is known of their records."""

    folder: str
    segments: list[tuple[int, int, int]]
    aborted: list[tuple[int, int, int]]
    forget_before_ms: int
    segment_bytes: int


class Cleaned(NamedTuple):
    """One new segment, and the first offsets of the segments that it replaces."""

    base_offset: int
    next_offset: int
    replaced: list[int]


class _Aborted:
    """Aborted transactions, by producer."""

    def __init__(self, aborted: list[tuple[int, int, int]]) -> None:
        self._spans: dict[int, list[tuple[int, int]]] = {}
        for producer_id, first, last in aborted:
            self._spans.setdefault(producer_id, []).append((first, last))

    def holds(self, header: BatchHeader) -> bool:
        """Say whether the batch is part of an aborted transaction."""
        if not header.is_transactional:
            return False
        spans = self._spans.get(header.producer_id, ())
        return any(first <= header.base_offset <= last for first, last in spans)


def clean(job: Job) -> list[Cleaned]:
    """Write the cleaned segments of a log."""
    segments = [_opened(Path(job.folder), *fields) for fields in job.segments]
    aborted = _Aborted(job.aborted)
    newest = _newest(segments, aborted)
    keep = _Filter(job, newest, aborted)
    cleaned = []
    for group in _grouped(segments, job.segment_bytes):
        _rewrite(group, keep)
        replaced = [segment.base_offset for segment in group]
        cleaned.append(Cleaned(replaced[0], group[-1].next_offset, replaced))
    return cleaned


def _opened(folder: Path, base_offset: int, next_offset: int, size: int) -> Segment:
    segment = Segment(folder, base_offset)
    segment.next_offset, segment.size = next_offset, size
    return segment


def _newest(segments: list[Segment], aborted: _Aborted) -> dict[bytes, int]:
    """Return the offset of the newest record of each key."""
    newest = {}
    for record in _records(segments, aborted):
        if record.key is not None:
            newest[record.key] = record.offset
    return newest


def _records(segments: list[Segment], aborted: _Aborted) -> Iterator[Record]:
    """Yield all records but those of aborted transactions."""
    for segment in segments:
        for position, header in segment.headers():
            if not header.is_control and not aborted.holds(header):
                yield from records_in(segment.read_batch(position, header))


def _grouped(segments: list[Segment], segment_bytes: int) -> Iterator[list[Segment]]:
    """Yield neighbours that fit into one segment together even if nothing can be removed."""
    group: list[Segment] = []
    size = 0
    for segment in segments:
        if group and size + segment.size > segment_bytes:
            yield group
            group, size = [], 0
        group.append(segment)
        size += segment.size
    if group:
        yield group


class _Filter:
    """What is kept, batch by batch in log order."""

    def __init__(self, job: Job, newest: dict[bytes, int], aborted: _Aborted) -> None:
        self._forget_before_ms = job.forget_before_ms
        self._newest = newest
        self._aborted = aborted
        self._in_transaction: set[int] = set()

    def kept(self, header: BatchHeader, batch: bytes) -> bytes | None:
        """Return the batch as it is kept, None if nothing of it is."""
        if header.is_control:
            return batch if self._keeps_marker(header) else None
        if self._aborted.holds(header):
            return None
        records = list(records_in(batch))
        rest = [record for record in records if self._keeps_record(record)]
        if rest and header.is_transactional:
            self._in_transaction.add(header.producer_id)
        if len(rest) == len(records):
            return batch
        return _rebuilt(header, rest) if rest else None

    def _keeps_marker(self, header: BatchHeader) -> bool:
        """Keep a marker while records of its transaction are there, and for a while after."""
        has_records = header.producer_id in self._in_transaction
        self._in_transaction.discard(header.producer_id)
        return has_records or header.max_timestamp >= self._forget_before_ms

    def _keeps_record(self, record: Record) -> bool:
        if record.key is None or self._newest[record.key] != record.offset:
            return False
        return record.has_value or record.timestamp >= self._forget_before_ms


def _rebuilt(header: BatchHeader, records: list[Record]) -> bytes:
    """Return the batch with these of its records only; offsets and sequences stay."""
    codec = header.attributes & COMPRESSION_MASK
    body = compressed(codec, b"".join(record.raw for record in records))
    fields = header._replace(
        batch_length=HEADER_BYTES - PREFIX_BYTES + len(body),
        max_timestamp=max(record.timestamp for record in records),
        record_count=len(records),
    )
    batch = bytearray(HEADER.pack(*fields)) + body
    seal(batch)
    return bytes(batch)


def _rewrite(group: list[Segment], keep: _Filter) -> None:
    """Write what is kept of a group of segments to one new segment."""
    first = group[0]
    written = Segment(first.path.parent, first.base_offset)
    files = Files()
    with first.path.with_suffix(".cleaned").open("wb") as file:
        for segment in group:
            for position, header in segment.headers():
                batch = keep.kept(header, segment.read_batch(position, header))
                if batch is not None:
                    file.write(batch)
                    written.note(
                        header.base_offset, len(batch), header.next_offset, header.max_timestamp
                    )
            segment.close()
        file.flush()
        os.fsync(file.fileno())
    index = written.index.dumped(
        next_offset=group[-1].next_offset, size=written.size, max_timestamp=written.max_timestamp
    )
    files.replace(first.path.with_suffix(".cleaned-index"), index)


def main() -> None:
    """Clean the logs that stdin names; print one line of JSON for each."""
    os.nice(10)
    for fields in json.load(sys.stdin):
        cleaned = clean(Job(*fields))
        sys.stdout.write(json.dumps(cleaned) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
