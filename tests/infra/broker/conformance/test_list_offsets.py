"""ListOffsets: earliest, latest, by time, for both isolation levels."""

from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.infra.broker.conformance.clients import (
    close,
    make_consumer,
    make_producer,
    only,
    send,
    watermarks,
)
from tests.infra.broker.conformance.wire import (
    ANONYMOUS,
    READ_COMMITTED,
    READ_UNCOMMITTED,
    T0,
    Wire,
    append,
    batch,
    batch_builder,
    fetch,
    list_offset,
    values,
)

MakeTopic = Callable[..., str]
LATEST, EARLIEST = -1, -2


def test_an_empty_log_begins_and_ends_at_zero(wire: Wire, topic: str) -> None:
    """Nothing written: both ends are 0."""
    assert list_offset(wire, topic, EARLIEST)[1] == 0
    assert list_offset(wire, topic, LATEST)[1] == 0


def test_the_latest_offset_is_behind_the_newest_record(
    address: str, wire: Wire, topic: str
) -> None:
    """The high watermark is the offset of the next record, at once after the acknowledgement."""
    for count in range(1, 50):
        append(wire, topic, batch(values("x")))
        assert list_offset(wire, topic, LATEST)[1] == count
        assert fetch(wire, topic).high_watermark == count
    assert watermarks(address, topic) == (0, 49)


@pytest.mark.parametrize("isolation", [READ_UNCOMMITTED, READ_COMMITTED])
def test_both_isolation_levels_agree_without_transactions(
    wire: Wire, topic: str, isolation: int
) -> None:
    """Without open transactions the last stable offset is the high watermark."""
    append(wire, topic, batch(values("a", "b")))
    assert list_offset(wire, topic, LATEST, isolation=isolation)[1] == 2
    assert fetch(wire, topic, isolation=isolation).last_stable_offset == 2


@pytest.mark.parametrize(
    ("asked", "offset"),
    [(0, 0), (T0, 0), (T0 + 1, 1), (T0 + 1_000, 1), (T0 + 1_500, 2), (T0 + 3_000, 3)],
)
def test_a_time_finds_the_first_record_not_older(
    wire: Wire, topic: str, asked: int, offset: int
) -> None:
    """Records at T0, +1 s, +2 s, +3 s: the first whose time is at or behind what was asked."""
    for number in range(4):
        append(wire, topic, batch(values(f"v{number}"), timestamp=T0 + number * 1_000))
    assert list_offset(wire, topic, asked) == (T0 + offset * 1_000, offset)


def test_a_time_behind_the_newest_record_finds_nothing(
    address: str, wire: Wire, topic: str
) -> None:
    """Kafka says -1, librdkafka turns it into the end."""
    append(wire, topic, batch(values("a"), timestamp=T0))
    assert list_offset(wire, topic, T0 + 1) == (-1, -1)
    consumer = make_consumer(address)
    (found,) = consumer.offsets_for_times([TopicPartition(topic, 0, T0 + 1)], timeout=30)
    close(consumer)
    assert found.offset == -1


@pytest.mark.parametrize("codec", [0, 3], ids=["plain", "lz4"])
def test_a_time_inside_a_batch_finds_the_record(wire: Wire, topic: str, codec: int) -> None:
    """The answer is a record, not the batch that holds it; compressed batches too."""
    builder = batch_builder(compression=codec)
    for number in range(10):
        builder.append(number, T0 + number, None, b"x" * 50, [])
    append(wire, topic, bytes(builder.build()))
    assert list_offset(wire, topic, T0 + 7) == (T0 + 7, 7)


def test_times_are_found_across_many_batches(wire: Wire, make_topic: MakeTopic) -> None:
    """Two hundred batches, some hundred kilobytes each, over closed segments."""
    topic = make_topic(segment_bytes=1 << 20)
    for number in range(40):
        records = batch(values("x" * 100_000), timestamp=T0 + number * 10)
        append(wire, topic, records)
    found = [list_offset(wire, topic, T0 + number * 10 - 5)[1] for number in range(40)]
    assert list(range(40)) == found


def test_the_admin_client_lists_offsets(admin: AdminClient, address: str, topic: str) -> None:
    """Earliest, latest and by time through the admin API."""
    send(make_producer(address), topic, ["a", "b", "c"], timestamp=T0)
    partition = TopicPartition(topic, 0)
    assert only(admin.list_offsets({partition: OffsetSpec.earliest()})).offset == 0
    assert only(admin.list_offsets({partition: OffsetSpec.latest()})).offset == 3
    by_time = only(admin.list_offsets({partition: OffsetSpec.for_timestamp(T0)}))
    assert (by_time.offset, by_time.timestamp) == (0, T0)


def test_the_newest_timestamp_is_found(admin: AdminClient, wire: Wire, topic: str) -> None:
    """Max timestamp is the record with the newest time, wherever it stands."""
    for at in (T0, T0 + 500, T0 + 100):
        append(wire, topic, batch(values("x"), ANONYMOUS, timestamp=at))
    found = only(admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.max_timestamp()}))
    assert (found.offset, found.timestamp) == (1, T0 + 500)
