"""The partition log: append, read, full disks, time, forgetting."""

import random

import pytest

from infra.broker.batches import batches_in, header_at
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.log import PartitionLog
from infra.broker.records import records_in
from tests.infra.broker.unit.batch_maker import batch
from tests.infra.broker.unit.conftest import OpenLog, SmallDisk

NOW = 5_000


def offsets_in(log: PartitionLog, start: int, max_bytes: int = 1 << 20) -> list[int]:
    """Return the base offsets that a consumer reads from start, to the end."""
    found = []
    while True:
        chunk = b"".join(log.read(start, max_bytes, log.high_watermark))
        headers = [header for _, header in batches_in(chunk)]
        if not headers:
            return found
        found += [header.base_offset for header in headers if header.base_offset >= start]
        start = headers[-1].next_offset


@pytest.mark.parametrize("cached", [True, False])
def test_every_batch_is_read_once_from_anywhere(open_log: OpenLog, *, cached: bool) -> None:
    """Over segments, with small and large reads, from memory and from files."""
    log = open_log(cached=cached, segment_bytes=9_000)
    rng = random.Random(1)
    bases = []
    for _ in range(300):
        pairs = [(b"k", bytes(rng.randrange(200)))] * rng.randrange(1, 4)
        bases.append(log.append(batch(*pairs), NOW).base_offset)
    assert len(log.segments) > 3
    for start in (0, 1, bases[150], log.next_offset - 1):
        expected = [base for base in bases if base >= start]
        assert offsets_in(log, start, 1) == expected
        assert offsets_in(log, start, 3_000) == expected


def test_a_read_stops_at_its_limit(open_log: OpenLog) -> None:
    """Nothing at or behind `upto` is handed out, wherever it comes from."""
    for cached in (True, False):
        log = open_log(cached=cached)
        for _ in range(10):
            log.append(batch(), NOW)
        chunk = b"".join(log.read(2, 1 << 20, 5))
        assert [header.base_offset for _, header in batches_in(chunk)] == [2, 3, 4]
        assert log.read(5, 1 << 20, 5) == []
        log.close()


def test_a_read_outside_is_refused(open_log: OpenLog) -> None:
    """Below the start and above the end."""
    log = open_log()
    log.append(batch(), NOW)
    log.forget_before(1)
    for offset in (0, 2):
        with pytest.raises(KafkaError) as refused:
            log.read(offset, 1, 1)
        assert refused.value.code == ErrorCode.OFFSET_OUT_OF_RANGE


def test_a_batch_is_stored_as_it_came_but_for_its_place(open_log: OpenLog) -> None:
    """Base offset and leader epoch are the broker's; every other byte is the producer's."""
    log = open_log()
    log.append(batch(), NOW)
    sent = batch((b"a", b"b"), (b"c", None))
    log.append(sent, NOW)
    (stored,) = log.read(1, 1, 3)
    assert header_at(stored).base_offset == 1
    assert bytes(stored)[16:] == bytes(sent)[16:]


def test_append_time_replaces_the_producers_time(open_log: OpenLog) -> None:
    """T1: the time of the append is in the answer and in every record, under a valid CRC."""
    log = open_log(is_append_time=True)
    assert log.append(batch(timestamp=77), NOW).append_time == NOW
    (stored,) = log.read(0, 1, 1)
    assert [record.timestamp for record in records_in(stored)] == [NOW]
    again = open_log(is_append_time=True)
    assert again.next_offset == 1


@pytest.mark.parametrize("damage", [17, 30, 61, 66])
def test_a_damaged_batch_is_refused(open_log: OpenLog, damage: int) -> None:
    """One flipped byte anywhere under the CRC."""
    log = open_log()
    sent = bytearray(batch())
    sent[damage] ^= 1
    with pytest.raises(KafkaError) as refused:
        log.append(memoryview(sent), NOW)
    assert refused.value.code == ErrorCode.CORRUPT_MESSAGE
    assert log.next_offset == 0


@pytest.mark.parametrize("room", [0, 1, 60, 70])
def test_a_full_disk_is_an_error_and_nothing_else(
    open_log: OpenLog, disk: SmallDisk, room: int
) -> None:
    """Refused while full, also after a torn write; appended when there is room; nothing lost."""
    log = open_log(cached=False)
    log.append(batch(), NOW)
    disk.room = room
    for _ in range(3):
        with pytest.raises(KafkaError) as refused:
            log.append(batch((b"key", b"value" * 9)), NOW)
        assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    disk.room = None
    assert log.append(batch(), NOW).base_offset == 1
    log.close()
    again = open_log(cached=False)
    assert offsets_in(again, 0) == [0, 1]


def test_short_writes_are_continued(open_log: OpenLog, disk: SmallDisk) -> None:
    """A disk that takes a few bytes at a time is slow, not broken."""
    log = open_log(cached=False)
    whole = disk.write
    disk.write = (
        lambda descriptor, buffer, position: whole(  # type: ignore[method-assign]  # this disk only
            descriptor, memoryview(buffer)[:7], position
        )
    )
    log.append(batch((b"key", b"value" * 9)), NOW)
    assert offsets_in(log, 0) == [0]


def test_a_batch_too_large_is_refused(open_log: OpenLog) -> None:
    """The topic says how large."""
    log = open_log(max_message_bytes=100)
    with pytest.raises(KafkaError) as refused:
        log.append(batch((b"k", bytes(100))), NOW)
    assert refused.value.code == ErrorCode.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
def test_a_compacted_topic_wants_keys(open_log: OpenLog, codec: int) -> None:
    """In every record, compressed or not."""
    log = open_log(is_compacted=True)
    log.append(batch((b"k", b"v"), codec=codec), NOW)
    with pytest.raises(KafkaError) as refused:
        log.append(batch((b"k", b"v"), (None, b"v"), codec=codec), NOW)
    assert refused.value.code == ErrorCode.INVALID_RECORD


def test_records_are_found_by_time(open_log: OpenLog) -> None:
    """The first one at or after, over segments; none after the newest."""
    log = open_log(segment_bytes=500)
    for timestamp in range(100, 2_000, 100):
        log.append(batch(timestamp=timestamp), NOW)
    assert log.first_since(1_050) == (10, 1_100)
    assert log.first_since(0) == (0, 100)
    assert log.first_since(5_000) == (-1, -1)
    assert log.newest_timestamp() == (18, 1_900)


def test_forgetting_drops_whole_segments_and_keeps_the_rest(open_log: OpenLog) -> None:
    """The start moves to the offset; files go only when nothing in them is left."""
    log = open_log(segment_bytes=500, cached=False)
    for _ in range(30):
        log.append(batch(), NOW)
    second = log.segments[1].base_offset
    dropped = log.forget_before(second + 1)
    assert [segment.base_offset for segment in dropped] == [0]
    assert log.start_offset == second + 1
    assert offsets_in(log, log.start_offset)[-1] == 29
