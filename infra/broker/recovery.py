"""Opening a partition's folder: a checkpoint, a scan of what came later, a cut at the first flaw.

A checkpoint holds what a scan up to its position would find, and is written after those bytes were
flushed. If it does not fit the files, everything is scanned: slow, never wrong. The end that the
checkpoint covers is verified again for `_DOUBT_BYTES`: that is where power cuts and disks lie.
"""

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from infra.broker.batches import HEADER_BYTES, BatchHeader, header_at, is_commit_marker, is_sound
from infra.broker.files import Files, sealed_content
from infra.broker.index import loaded
from infra.broker.log import PartitionLog
from infra.broker.producers import Producers
from infra.broker.segment import Segment

CHECKPOINT = "checkpoint"
_VERSION = 1
_DOUBT_BYTES = 1 << 20


class Checkpoint(NamedTuple):
    """The state of a log at one moment, captured by the loop and written by upkeep."""

    folder: Path
    content: bytes
    append_count: int


class _Stored(NamedTuple):
    fields: dict[str, Any]
    columns: bytes


def captured(log: PartitionLog) -> Checkpoint:
    """Capture the state of a log; cheap, on the loop."""
    active = log.active
    fields = json.dumps(
        {
            "version": _VERSION,
            "base_offset": active.base_offset,
            "created_ms": active.created_ms,
            "size": active.size,
            "next_offset": log.next_offset,
            "max_timestamp": active.max_timestamp,
            "cleaned_to": log.cleaned_to,
            "producers": log.producers.snapshot(),
        }
    ).encode()
    index = active.index.dumped(
        next_offset=active.next_offset, size=active.size, max_timestamp=active.max_timestamp
    )
    content = len(fields).to_bytes(4, "big") + fields + index
    return Checkpoint(log.folder, content, log.appended_since_checkpoint)


def write_checkpoint(checkpoint: Checkpoint, files: Files) -> None:
    """Replace the checkpoint of a partition; its log was flushed before."""
    files.replace(checkpoint.folder / CHECKPOINT, checkpoint.content)


def _stored(folder: Path) -> _Stored | None:
    content = sealed_content(folder / CHECKPOINT)
    if content is None:
        return None
    end = 4 + int.from_bytes(content[:4], "big")
    fields = json.loads(content[4:end])
    return _Stored(fields, content[end:]) if fields["version"] == _VERSION else None


def recover(log: PartitionLog) -> None:
    """Fill a new log from its folder; create the first segment where there is none."""
    log.folder.mkdir(parents=True, exist_ok=True)
    for scrap in (*log.folder.glob("*.new"), *log.folder.glob("*.cleaned*")):
        scrap.unlink()
    bases = sorted(int(path.stem) for path in log.folder.glob("*.log"))
    stored = _stored(log.folder)
    if stored is None or not _resume(log, bases, stored):
        _rebuild(log, bases)
    if log.next_offset < log.start_offset:
        for segment in log.segments:
            segment.remove()
        _reset(log)
    if not log.segments:
        log.segments.append(Segment(log.folder, log.start_offset))
        log.next_offset = log.start_offset
        log.files.truncate(log.active.descriptor, 0)
    log.start_offset = max(log.start_offset, log.segments[0].base_offset)
    log.flushed_offset = log.next_offset


def _reset(log: PartitionLog) -> None:
    for segment in log.segments:
        segment.close()
    log.segments, log.unindexed = [], []
    log.producers, log.next_offset, log.cleaned_to = Producers(), 0, 0


def _resume(log: PartitionLog, bases: list[int], stored: _Stored) -> bool:
    """Go on from a checkpoint; False if the files are not as it says."""
    fields = stored.fields
    base = fields["base_offset"]
    if base not in bases:
        return False
    for older in (one for one in bases if one < base):
        segment = Segment(log.folder, older)
        if log.segments and segment.base_offset < log.segments[-1].next_offset:
            segment.remove()  # merged into the one before by a cleaning
            continue
        if not segment.adopt_summary():
            if not _scan_index(segment):
                _reset(log)
                return False
            log.unindexed.append(segment)
        log.segments.append(segment)
    segment = Segment(log.folder, base, created_ms=fields["created_ms"])
    log.segments.append(segment)
    log.producers = Producers.restored(fields["producers"])
    log.cleaned_to = fields["cleaned_to"]
    log.next_offset = fields["next_offset"]
    if not _is_tail_sound(segment, stored):
        _reset(log)
        return False
    segment.next_offset, segment.size = fields["next_offset"], fields["size"]
    segment.max_timestamp = fields["max_timestamp"]
    segment.use_index(loaded(stored.columns))
    segment.index.cut(segment.size)
    _scan_from(log, segment, is_active=base == bases[-1])
    _scan_later(log, [one for one in bases if one > base])
    return True


def _is_tail_sound(segment: Segment, stored: _Stored) -> bool:
    """Verify the last part of what the checkpoint covers."""
    size: int = stored.fields["size"]
    if segment.path.stat().st_size < size:
        return False
    start = loaded(stored.columns).before_position(max(0, size - _DOUBT_BYTES))
    sound_to = start
    for position, header in _sound_batches(segment, start, size):
        sound_to = position + header.size
    return sound_to == size


def _rebuild(log: PartitionLog, bases: list[int]) -> None:
    """Scan everything; the first flaw ends the log."""
    _reset(log)
    _scan_later(log, bases)


def _scan_later(log: PartitionLog, bases: list[int]) -> None:
    for base in bases:
        if log.segments and base < log.next_offset:
            Segment(log.folder, base).remove()  # merged into the one before by a cleaning
            continue
        segment = Segment(log.folder, base)
        segment.created_ms = int(segment.path.stat().st_mtime * 1000)
        if log.segments:
            log.unindexed.append(log.segments[-1])
        log.segments.append(segment)
        log.next_offset = base
        if not _scan_from(log, segment, is_active=base == bases[-1]):
            break
    known = {segment.base_offset for segment in log.segments}
    for base in bases:
        if base not in known:
            Segment(log.folder, base).remove()


def _scan_from(log: PartitionLog, segment: Segment, *, is_active: bool) -> bool:
    """Take every sound batch behind the segment's size; cut the file there. False if it was cut.

    The active segment was never compacted: a gap in its offsets is damage that no CRC covers.
    """
    end = segment.path.stat().st_size
    for position, header in _sound_batches(segment, segment.size, end):
        if header.base_offset < log.next_offset:
            break
        if is_active and header.base_offset > log.next_offset:
            break
        segment.note(header.base_offset, header.size, header.next_offset, header.max_timestamp)
        log.next_offset = header.next_offset
        if header.producer_id >= 0:
            _note_producer(log, segment, position, header)
    if segment.size == end:
        return True
    log.files.truncate(segment.descriptor, segment.size)
    return False


def _note_producer(log: PartitionLog, segment: Segment, position: int, header: BatchHeader) -> None:
    if header.is_control:
        batch = segment.read_batch(position, header)
        log.producers.note_marker(header, is_commit=is_commit_marker(batch, 0))
    else:
        log.producers.note(header)


def _scan_index(segment: Segment) -> bool:
    """Index a closed segment without an index file; False if it is damaged."""
    end = segment.path.stat().st_size
    for _, header in _sound_batches(segment, 0, end):
        segment.note(header.base_offset, header.size, header.next_offset, header.max_timestamp)
    return segment.size == end


def _sound_batches(segment: Segment, start: int, end: int) -> Iterator[tuple[int, BatchHeader]]:
    """Yield (position, header) of batches whose CRC matches, up to the first flaw or end."""
    if end - start < HEADER_BYTES:
        return
    with mmap.mmap(segment.descriptor, end, prot=mmap.PROT_READ) as mapped:
        view = memoryview(mapped)
        try:
            position = start
            while is_sound(view, position, end):
                header = header_at(view, position)
                yield position, header
                position += header.size
        finally:
            view.release()
