"""DeleteRecords: the owner of a log trims its beginning (V2), and nobody reads below."""

from collections.abc import Callable

import pytest
from aiokafka.protocol.admin import DeleteRecordsRequest_v1
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.infra.broker.conformance.clients import (
    make_producer,
    offsets,
    only,
    produce,
    read_all,
    send,
    watermarks,
)
from tests.infra.broker.conformance.wire import (
    Errors,
    Wire,
    append,
    batch,
    fetch,
    list_offset,
    values,
)

MakeTopic = Callable[..., str]
EARLIEST = -2


def trim(admin: AdminClient, topic: str, offset: int, partition: int = 0) -> int:
    """Delete the records below an offset and return the new beginning."""
    place = TopicPartition(topic, partition, offset)
    return int(only(admin.delete_records([place])).low_watermark)


def test_the_log_begins_where_it_was_trimmed(
    admin: AdminClient, address: str, wire: Wire, topic: str
) -> None:
    """Watermarks, ListOffsets and fetch agree on the new beginning."""
    produce(address, topic, [f"v{n}" for n in range(20)])
    assert trim(admin, topic, 7) == 7
    assert watermarks(address, topic) == (7, 20)
    assert list_offset(wire, topic, EARLIEST)[1] == 7
    assert fetch(wire, topic, 7).log_start_offset == 7
    assert offsets(read_all(address, topic, start=7)) == list(range(7, 20))


@pytest.mark.parametrize("offset", [0, 6])
def test_a_fetch_below_is_out_of_range(
    admin: AdminClient, wire: Wire, topic: str, offset: int
) -> None:
    """What was trimmed is not served, though its bytes may still be there."""
    append(wire, topic, batch(values(*"abcdefghij")))
    trim(admin, topic, 7)
    assert fetch(wire, topic, offset).error_code == Errors.OFFSET_OUT_OF_RANGE
    assert fetch(wire, topic, 7).error_code == Errors.NONE


def test_a_consumer_below_is_reset_to_the_beginning(
    admin: AdminClient, address: str, topic: str
) -> None:
    """`earliest` is the trimmed beginning."""
    produce(address, topic, ["x"] * 10)
    trim(admin, topic, 4)
    found = read_all(address, topic, start=1, auto_offset_reset="earliest")
    assert offsets(found) == list(range(4, 10))


def test_trimming_to_the_end_leaves_an_empty_log_that_goes_on(
    admin: AdminClient, address: str, topic: str
) -> None:
    """-1 is the high watermark; the next record gets the next offset."""
    produce(address, topic, ["x"] * 10)
    assert trim(admin, topic, -1) == 10
    assert watermarks(address, topic) == (10, 10)
    assert send(make_producer(address), topic, ["next"]).offsets == [10]
    assert offsets(read_all(address, topic, start=10)) == [10]


def test_trimming_above_the_end_is_refused(admin: AdminClient, address: str, topic: str) -> None:
    """Records that are not there cannot be deleted."""
    produce(address, topic, ["x"] * 3)
    with pytest.raises(KafkaException) as refused:
        trim(admin, topic, 4)
    assert refused.value.args[0].code() == KafkaError.OFFSET_OUT_OF_RANGE
    assert watermarks(address, topic) == (0, 3)


def test_the_beginning_never_moves_back(admin: AdminClient, address: str, topic: str) -> None:
    """Trimming lower than before changes nothing."""
    produce(address, topic, ["x"] * 10)
    trim(admin, topic, 8)
    assert trim(admin, topic, 3) == 8
    assert watermarks(address, topic) == (8, 10)


def test_each_partition_is_trimmed_for_itself(
    admin: AdminClient, address: str, make_topic: MakeTopic
) -> None:
    """Two partitions, two beginnings, one untouched."""
    topic = make_topic(3)
    for number in range(3):
        produce(address, topic, ["x"] * 5, partition=number)
    places = [TopicPartition(topic, 0, 2), TopicPartition(topic, 2, 5)]
    for future in admin.delete_records(places).values():
        future.result(30)
    found = [watermarks(address, topic, number) for number in range(3)]
    assert found == [(2, 5), (0, 5), (5, 5)]


def test_trimming_over_closed_segments(
    admin: AdminClient, wire: Wire, address: str, make_topic: MakeTopic
) -> None:
    """Whole segments below go away and the rest reads on."""
    topic = make_topic(segment_bytes=1 << 20)
    for _ in range(40):
        append(wire, topic, batch(values("x" * 100_000)))
    assert trim(admin, topic, 33) == 33
    assert offsets(read_all(address, topic, start=33)) == list(range(33, 40))
    assert fetch(wire, topic, 32).error_code == Errors.OFFSET_OUT_OF_RANGE


def test_a_compacted_topic_cannot_be_trimmed(
    admin: AdminClient, address: str, make_topic: MakeTopic
) -> None:
    """Kafka trims only where the policy has delete."""
    topic = make_topic(cleanup_policy="compact")
    produce(address, topic, ["x"] * 3, key="k")
    with pytest.raises(KafkaException) as refused:
        trim(admin, topic, 2)
    assert refused.value.args[0].code() == KafkaError.POLICY_VIOLATION


def test_trimming_an_unknown_topic_is_refused(wire: Wire, name: str) -> None:
    """There is nothing to trim."""
    answer = wire.ask(DeleteRecordsRequest_v1([(name, [(0, 1)])], 10_000))
    ((_, ((_, _, error_code),)),) = answer.topics
    assert error_code == Errors.UNKNOWN_TOPIC_OR_PARTITION
