"""The log of one partition: append, read, find by time, forget the beginning.

The event loop owns it. It writes with write() only: flushing, checkpoints, retention and
compaction are `upkeep`'s. Offsets: [start_offset, next_offset) can be read; `flushed_offset` is on
the disk. Who waits for records registers a callback in `watchers`; it is called once and removed.
"""

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from infra.broker import batches
from infra.broker.batches import NO_TIMESTAMP, BatchHeader
from infra.broker.configs import LogConfig
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.files import Files
from infra.broker.producers import Producers
from infra.broker.records import have_keys, records_in
from infra.broker.segment import Segment
from infra.broker.tail import Tail
from infra.broker.wire import MALFORMED, Buffer


class Appended(NamedTuple):
    """Where a batch stands, and its append time if the topic uses it (else -1)."""

    base_offset: int
    append_time: int


class PartitionLog:
    """Batches of one partition in segments."""

    def __init__(self, folder: Path, config: LogConfig, files: Files, tail: Tail) -> None:
        self.folder = folder
        self.config = config
        self.files = files
        self.tail = tail
        self.segments: list[Segment] = []
        self.producers = Producers()
        self.start_offset = 0
        self.next_offset = 0
        self.flushed_offset = 0
        self.cleaned_to = 0
        self.is_deleted = False
        self.serves_unflushed = True
        self.unflushed: set[Segment] = set()
        self.unindexed: list[Segment] = []
        self.appended_since_checkpoint = 0
        self.watchers: set[Callable[[], None]] = set()

    @property
    def active(self) -> Segment:
        """The segment that takes the next batch."""
        return self.segments[-1]

    @property
    def high_watermark(self) -> int:
        """Offset up to which records may be read."""
        return self.next_offset if self.serves_unflushed else self.flushed_offset

    @property
    def stable_offset(self) -> int:
        """The last stable offset: no readable record before it is of an open transaction."""
        first_open = self.producers.first_open_offset()
        watermark = self.high_watermark
        return watermark if first_open is None else min(first_open, watermark)

    @property
    def size(self) -> int:
        """Bytes in all segments."""
        return sum(segment.size for segment in self.segments)

    def append(self, batch: memoryview, now_ms: int) -> Appended:
        """Append one batch and return its place; a repeated one has the place it had before.

        Raise KafkaError if it is refused or cannot be written; then nothing was appended.
        """
        header = batches.verified(batch, self.config.max_message_bytes)
        if self.config.is_compacted:
            self._require_keys(batch)
        if header.producer_id >= 0:
            known = self.producers.duplicate_of(header)
            if known is not None:
                time = known.timestamp if self.config.is_append_time else NO_TIMESTAMP
                return Appended(known.base_offset, time)
        stamped = bytearray(batch)
        if self.config.is_append_time:
            batches.stamp_append_time(stamped, now_ms)
        header = self._write(stamped, now_ms)
        self.producers.note(header)
        time = now_ms if self.config.is_append_time else NO_TIMESTAMP
        return Appended(header.base_offset, time)

    def append_marker(self, marker: bytearray, now_ms: int, *, is_commit: bool) -> None:
        """Append the marker that ends a transaction here."""
        header = self._write(marker, now_ms)
        self.producers.note_marker(header, is_commit=is_commit)

    @staticmethod
    def _require_keys(batch: memoryview) -> None:
        try:
            is_keyed = have_keys(batch)
        except (*MALFORMED, ValueError, OSError) as error:
            raise KafkaError(ErrorCode.INVALID_RECORD, f"unreadable records: {error}") from error
        if not is_keyed:
            raise KafkaError(
                ErrorCode.INVALID_RECORD, "expected a key in every record of a compacted topic"
            )

    def _write(self, batch: bytearray, now_ms: int) -> BatchHeader:
        """Give the batch its offset and write it at the end of the active segment."""
        batches.assign_offset(batch, self.next_offset)
        header = batches.header_at(batch)
        try:
            segment = self._segment_for(len(batch), now_ms)
            self.files.write_all(segment.descriptor, batch, segment.size)
        except OSError as error:
            raise KafkaError(
                ErrorCode.KAFKA_STORAGE_ERROR, f"expected to write a batch, found: {error}"
            ) from error
        next_offset = header.next_offset
        segment.note(header.base_offset, len(batch), next_offset, header.max_timestamp)
        self.next_offset = next_offset
        self.unflushed.add(segment)
        self.appended_since_checkpoint += 1
        self.tail.add(header.base_offset, next_offset, batch)
        return header

    def _segment_for(self, size: int, now_ms: int) -> Segment:
        """Return the active segment, a new one if the batch does not fit or it is too old."""
        active = self.active
        if active.size == 0:
            active.created_ms = now_ms
            return active
        is_full = active.size + size > self.config.segment_bytes
        if is_full or now_ms - active.created_ms > self.config.segment_ms:
            self.roll(now_ms)
        return self.active

    def roll(self, now_ms: int) -> None:
        """Close the active segment and begin another; its index is written by upkeep."""
        segment = Segment(self.folder, self.next_offset, created_ms=now_ms)
        self.files.truncate(segment.descriptor, 0)
        self.unindexed.append(self.active)
        self.segments.append(segment)
        self.appended_since_checkpoint += 1

    def wake(self) -> None:
        """Tell those who wait that there may be something new."""
        watchers, self.watchers = self.watchers, set()
        for notify in watchers:
            notify()

    def segment_at(self, offset: int) -> int:
        """Return the position in `segments` of the one that would hold offset."""
        return max(0, bisect_right(self.segments, offset, key=_base_offset) - 1)

    def read(self, offset: int, max_bytes: int, upto: int) -> list[Buffer]:
        """Return batches from the one that holds offset, all below upto; empty at the end.

        At least one batch, then about max_bytes. Raise OFFSET_OUT_OF_RANGE.
        """
        if not self.start_offset <= offset <= self.next_offset:
            raise KafkaError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"expected {self.start_offset} to {self.next_offset}, found {offset}",
            )
        if offset >= upto:
            return []
        cached = self.tail.read(offset, max_bytes, upto)
        return self._read_files(offset, max_bytes, upto) if cached is None else cached

    def _read_files(self, offset: int, max_bytes: int, upto: int) -> list[Buffer]:
        for segment in self.segments[self.segment_at(offset) :]:
            try:
                chunk: Buffer = segment.read(offset, max_bytes)
            except OSError as error:
                raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error
            if len(chunk) and upto < segment.next_offset:
                chunk = memoryview(chunk)[: batches.cut_at(chunk, upto)]
            if len(chunk):
                return [chunk]
        return []

    def first_since(self, timestamp: int) -> tuple[int, int]:
        """Return (offset, timestamp) of the first record at or after a timestamp, else (-1, -1)."""
        for segment in self.segments:
            if segment.max_timestamp < timestamp or segment.next_offset <= self.start_offset:
                continue
            for position, header in segment.headers(segment.index.before_timestamp(timestamp)):
                found = self._first_in_batch(segment, position, header, timestamp)
                if found is not None:
                    return found
        return -1, -1

    def _first_in_batch(
        self, segment: Segment, position: int, header: BatchHeader, timestamp: int
    ) -> tuple[int, int] | None:
        is_early = header.max_timestamp < timestamp or header.next_offset <= self.start_offset
        if is_early or header.is_control:
            return None
        for record in records_in(segment.read_batch(position, header)):
            if record.timestamp >= timestamp and record.offset >= self.start_offset:
                return record.offset, record.timestamp
        return None

    def newest_timestamp(self) -> tuple[int, int]:
        """Return (offset, timestamp) of the first record with the largest timestamp."""
        newest = max(segment.max_timestamp for segment in self.segments)
        return (-1, -1) if newest == NO_TIMESTAMP else self.first_since(newest)

    def forget_before(self, offset: int) -> list[Segment]:
        """Move the start forward and return the segments that are no longer needed.

        The caller makes the new start durable first, and removes the segments after.
        """
        self.start_offset = max(self.start_offset, offset)
        keep = 0
        while keep < len(self.segments) - 1:
            if self.segments[keep].next_offset > self.start_offset:
                break
            keep += 1
        dropped, self.segments = self.segments[:keep], self.segments[keep:]
        self.unflushed.difference_update(dropped)
        self.unindexed = [segment for segment in self.unindexed if segment not in dropped]
        self.producers.forget_aborted_below(self.start_offset)
        return dropped

    def close(self) -> None:
        """Close all files."""
        for segment in self.segments:
            segment.close()


def _base_offset(segment: Segment) -> int:
    return segment.base_offset
