"""Compaction: what is kept of closed segments, and how it is put in place."""

import random

import pytest

from infra.broker.batches import batches_in, marker
from infra.broker.cleaner import job_for, put_in_place
from infra.broker.compaction import clean
from infra.broker.log import PartitionLog
from infra.broker.records import records_in
from infra.broker.retention import expired_to
from tests.infra.broker.unit.batch_maker import batch
from tests.infra.broker.unit.conftest import OpenLog

NOW = 100_000_000_000


def state_of(log: PartitionLog, start: int = 0) -> tuple[dict[bytes | None, int], list[int]]:
    """Return (newest offset by key, all offsets) as a consumer reads them."""
    newest: dict[bytes | None, int] = {}
    offsets = []
    while start < log.high_watermark:
        chunk = b"".join(log.read(start, 1 << 20, log.high_watermark))
        if not chunk:
            break
        for position, header in batches_in(chunk):
            start = header.next_offset
            if header.is_control:
                continue
            for record in records_in(chunk[position : position + header.size]):
                offsets.append(record.offset)
                if record.has_value:
                    newest[record.key] = record.offset
                else:
                    newest.pop(record.key, None)
    return newest, offsets


def compacted(log: PartitionLog) -> None:
    """Do what upkeep and cleaner do."""
    for segment in log.unindexed:
        segment.write_index(log.files)
    log.unindexed.clear()
    log.flushed_offset = log.next_offset
    job = job_for(log, NOW)
    assert job is not None
    for segment in put_in_place(log, job, clean(job)):
        segment.remove()


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
def test_the_newest_of_each_key_stays_at_its_offset(open_log: OpenLog, codec: int) -> None:
    """The state that a reader builds is the same, from fewer records, also after a restart."""
    log = open_log(segment_bytes=4_000, is_compacted=True, cached=False)
    rng = random.Random(codec)
    for _ in range(200):
        pairs = [(b"k%d" % rng.randrange(20), rng.choice([b"v" * 30, None])) for _ in range(5)]
        log.append(batch(*pairs, timestamp=NOW, codec=codec), NOW)
    newest, offsets = state_of(log)
    size, end = log.size, log.next_offset
    compacted(log)
    assert (log.size < size / 2, log.next_offset) == (True, end)
    kept, rest = state_of(log)
    assert kept == newest
    assert rest == sorted(set(rest))
    assert len(rest) < len(offsets)
    again = open_log(segment_bytes=4_000, is_compacted=True, cached=False)
    assert state_of(again) == (kept, rest)


def test_tombstones_stay_for_their_time(open_log: OpenLog) -> None:
    """A reader that is behind must see them; later they go."""
    for age, expected in ((10, [1]), (86_400_001, [])):
        log = open_log(segment_bytes=150, is_compacted=True, cached=False)
        start = log.next_offset
        log.append(batch((b"a", b"1"), timestamp=NOW), NOW)
        log.append(batch((b"a", None), timestamp=NOW - age), NOW)
        log.append(batch((b"b", bytes(100)), timestamp=NOW), NOW)
        log.append(batch((b"c", bytes(100)), timestamp=NOW), NOW)
        compacted(log)
        _, offsets = state_of(log, start)
        assert [one - start for one in offsets if one - start < 2] == expected
        log.close()


def test_aborted_records_go_and_open_ones_are_not_touched(open_log: OpenLog) -> None:
    """An aborted value must not replace a committed one; nothing behind the stable offset moves."""
    log = open_log(segment_bytes=150, is_compacted=True, cached=False)
    log.append(batch((b"a", b"1"), timestamp=NOW), NOW)
    log.append(batch((b"a", b"2"), producer=(7, 0, 0), is_transactional=True, timestamp=NOW), NOW)
    log.append_marker(marker(7, 0, NOW, is_commit=False), NOW, is_commit=False)
    log.append(batch((b"b", bytes(100)), timestamp=NOW), NOW)
    log.append(batch((b"a", b"3"), producer=(8, 0, 0), is_transactional=True, timestamp=NOW), NOW)
    log.append(batch((b"b", bytes(100)), timestamp=NOW), NOW)
    compacted(log)
    assert state_of(log)[1] == [0, 3, 4, 5]
    assert log.stable_offset == 4


def test_a_crash_between_the_files_loses_nothing(open_log: OpenLog) -> None:
    """A merged segment is in place, those it replaces are still there: they are dropped."""
    log = open_log(segment_bytes=400, is_compacted=True, cached=False)
    for number in range(40):
        log.append(batch((b"k%d" % (number % 7), b"v"), timestamp=NOW), NOW)
    newest, _ = state_of(log)
    compacted(log)
    log.cleaned_to = 0
    for segment in log.unindexed:
        segment.write_index(log.files)
    job = job_for(log, NOW)
    assert job is not None
    put_in_place(log, job, clean(job))
    again = open_log(segment_bytes=400, is_compacted=True, cached=False)
    assert state_of(again)[0] == newest
    assert again.next_offset == log.next_offset


def test_retention_is_what_the_topic_says(open_log: OpenLog) -> None:
    """By time, by bytes, or not at all."""
    log = open_log(segment_bytes=500, cached=False)
    for timestamp in range(30):
        log.append(batch(timestamp=NOW + timestamp), NOW)
    log.config = open_log(retention_ms=-1).config
    assert expired_to(log, NOW * 2) == 0
    log.config = open_log(retention_ms=1_000).config
    assert expired_to(log, NOW + 1_000) == 0
    second = log.segments[1].base_offset
    assert expired_to(log, NOW + 1_000 + second) == second
    assert expired_to(log, NOW * 2) == log.next_offset
    log.config = open_log(retention_ms=-1, retention_bytes=log.size - 1).config
    assert expired_to(log, NOW) == 0
    log.config = open_log(retention_ms=-1, retention_bytes=1).config
    assert expired_to(log, NOW) == log.active.base_offset
    log.config = open_log(retention_ms=0, is_deleted=False).config
    assert expired_to(log, NOW * 2) == 0
