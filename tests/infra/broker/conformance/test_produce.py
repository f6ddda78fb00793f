"""Produce: what is acknowledged stands in the log as it was sent, and the rest is refused."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaError

from tests.infra.broker.conformance.clients import (
    make_producer,
    offsets,
    produce,
    read_all,
    send,
    texts,
    watermarks,
)
from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.wire import (
    T0,
    Errors,
    Wire,
    batch,
    fetch,
    produce_request,
    values,
)
from tests.infra.broker.conformance.wire import produce as produce_raw
from tests.infra.broker.conformance.wire import produced as produced_in

MakeTopic = Callable[..., str]
MIB = 1 << 20


@pytest.mark.parametrize("acks", ["1", "all"])
def test_acknowledged_records_carry_dense_offsets(address: str, topic: str, acks: str) -> None:
    """Each record's own acknowledgement names its offset, without holes."""
    reports = send(make_producer(address, acks=acks), topic, [f"v{n}" for n in range(500)])
    assert reports.errors == []
    assert list(range(500)) == reports.offsets
    assert [f"v{n}" for n in range(500)] == texts(read_all(address, topic))


def test_acks_zero_is_stored_without_an_answer(address: str, topic: str) -> None:
    """With acks=0 the records arrive, though nobody says so."""
    send(make_producer(address, acks=0), topic, [f"v{n}" for n in range(100)])
    eventually("100 records", lambda: watermarks(address, topic) == (0, 100))
    assert [f"v{n}" for n in range(100)] == texts(read_all(address, topic))


def test_acks_zero_gets_no_frame_back(wire: Wire, topic: str) -> None:
    """The next answer on the connection is that of the next request."""
    silent = produce_request(topic, batch(values("silent")), acks=0)
    wire.send(silent)
    wire._sent.clear()
    assert produce_raw(wire, topic, batch(values("loud"))).base_offset == 1


def test_pipelined_requests_are_answered_in_order(wire: Wire, topic: str) -> None:
    """Fifty produce requests in flight get offsets 0 to 49 in that order."""
    for number in range(50):
        wire.send(produce_request(topic, batch(values(f"v{number}"))))
    answers = [produced_in(wire.receive()) for _ in range(50)]
    assert [answer.error_code for answer in answers] == [0] * 50
    assert list(range(50)) == [answer.base_offset for answer in answers]


def test_a_batch_gets_consecutive_offsets(wire: Wire, topic: str) -> None:
    """A batch of n records takes n offsets and the answer names the first."""
    assert produce_raw(wire, topic, batch(values("a", "b", "c"))).base_offset == 0
    second = produce_raw(wire, topic, batch(values("d", "e")))
    assert (second.error_code, second.base_offset, second.log_start_offset) == (0, 3, 0)
    found = fetch(wire, topic)
    assert [record.offset for one in found.batches for record in one] == [0, 1, 2, 3, 4]
    assert all(one.validate_crc() for one in found.batches)


def test_keys_values_and_headers_come_back_as_sent(address: str, topic: str) -> None:
    """Null and empty are different; headers keep order, repeats and null values."""
    headers = [("a", b"1"), ("a", b"2"), ("nothing", None), ("empty", b""), ("é", b"\x00\xff")]
    producer = make_producer(address)
    pairs = [(None, b"v"), (b"k", None), (b"", b""), (None, None), (b"\x00\xff", b"\xff" * 10)]
    for key, value in pairs:
        producer.produce(topic, value, key, headers=headers)
    assert producer.flush(30) == 0
    found = read_all(address, topic)
    assert pairs == [(message.key(), message.value()) for message in found]
    assert [headers] * 5 == [message.headers() for message in found]


def test_no_headers_stay_none(address: str, topic: str) -> None:
    """A record without headers comes back without."""
    produce(address, topic, ["plain"])
    assert [message.headers() for message in read_all(address, topic)] == [None]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compressed_batches_come_back_whole(address: str, topic: str, codec: str) -> None:
    """Every codec of Kafka is stored and given back."""
    sent = [f"{n}-" + "x" * 200 for n in range(300)]
    producer = make_producer(address, compression_type=codec, linger_ms=50)
    assert send(producer, topic, sent).errors == []
    assert sent == texts(read_all(address, topic))


def test_sixteen_mebibytes_are_taken_where_the_topic_allows(
    address: str, make_topic: MakeTopic
) -> None:
    """A record of 16 MiB goes in and comes out of a topic that allows it (L14)."""
    topic = make_topic(max_message_bytes=17 * MIB)
    body = bytes(range(256)) * (16 * MIB // 256)
    producer = make_producer(address, message_max_bytes=17 * MIB)
    assert send(producer, topic, [body, "small"]).errors == []
    found = read_all(
        address,
        topic,
        fetch_message_max_bytes=17 * MIB,
        message_max_bytes=17 * MIB,
        fetch_max_bytes=18 * MIB,
        receive_message_max_bytes=40 * MIB,
    )
    assert [body, b"small"] == [message.value() for message in found]


def test_a_record_above_the_topics_limit_is_refused(address: str, topic: str) -> None:
    """Too large is an error of that record; nothing of it is stored and others go on."""
    producer = make_producer(address, message_max_bytes=17 * MIB)
    reports = send(producer, topic, [b"x" * (2 * MIB)])
    assert [error.code() for error in reports.errors] == [KafkaError.MSG_SIZE_TOO_LARGE]
    assert send(producer, topic, ["next"]).offsets == [0]


def test_the_limit_of_a_topic_follows_its_config(address: str, make_topic: MakeTopic) -> None:
    """A topic may also allow less than the default."""
    topic = make_topic(max_message_bytes=2_000)
    producer = make_producer(address)
    assert send(producer, topic, ["x" * 1_000]).errors == []
    reports = send(producer, topic, ["x" * 3_000])
    assert [error.code() for error in reports.errors] == [KafkaError.MSG_SIZE_TOO_LARGE]
    assert watermarks(address, topic) == (0, 1)


def test_an_explicit_partition_is_respected(address: str, make_topic: MakeTopic) -> None:
    """Records sent to a partition are there and nowhere else."""
    topic = make_topic(4)
    producer = make_producer(address)
    for number in range(4):
        assert send(producer, topic, [f"p{number}"] * 3, partition=number).offsets == [0, 1, 2]
    for number in range(4):
        found = read_all(address, topic, partitions=[number])
        assert [f"p{number}"] * 3 == texts(found)
        assert offsets(found) == [0, 1, 2]


def test_a_partition_that_is_not_there_is_refused(wire: Wire, topic: str) -> None:
    """Partition 7 of one is unknown."""
    answer = produce_raw(wire, topic, batch(values("lost")), partition=7)
    assert answer.error_code == Errors.UNKNOWN_TOPIC_OR_PARTITION


def test_a_topic_that_is_not_there_is_refused(wire: Wire, name: str) -> None:
    """Produce itself creates no topic."""
    answer = produce_raw(wire, name, batch(values("lost")))
    assert answer.error_code == Errors.UNKNOWN_TOPIC_OR_PARTITION


def test_a_batch_whose_checksum_is_wrong_is_refused(wire: Wire, topic: str) -> None:
    """One flipped bit in the records is CORRUPT_MESSAGE and is not stored."""
    broken = bytearray(batch(values("abc")))
    broken[-2] ^= 0x01
    assert produce_raw(wire, topic, bytes(broken)).error_code == Errors.CORRUPT_MESSAGE
    assert produce_raw(wire, topic, batch(values("good"))).base_offset == 0


def test_create_time_is_kept(address: str, topic: str) -> None:
    """By default the record's own time is stored."""
    reports = send(make_producer(address), topic, ["a"], timestamp=T0)
    expected = (TIMESTAMP_CREATE_TIME, T0)
    assert [expected] == [message.timestamp() for message in reports.messages]
    assert [expected] == [message.timestamp() for message in read_all(address, topic)]


def test_log_append_time_reaches_the_producer(address: str, make_topic: MakeTopic) -> None:
    """The append time is the broker's, in the acknowledgement and in the log (T1)."""
    topic = make_topic(message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000) - 1
    reports = send(make_producer(address), topic, ["a", "b"], timestamp=T0)
    after = int(time.time() * 1000) + 1
    acknowledged = [message.timestamp() for message in reports.messages]
    assert all(kind == TIMESTAMP_LOG_APPEND_TIME for kind, _ in acknowledged)
    assert all(before <= at <= after for _, at in acknowledged)
    assert acknowledged == [message.timestamp() for message in read_all(address, topic)]


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_log_append_time_keeps_checksums_right(
    address: str, wire: Wire, make_topic: MakeTopic, codec: str
) -> None:
    """The broker stamps the batch and its checksum follows, compressed or not."""
    topic = make_topic(message_timestamp_type="LogAppendTime")
    producer = make_producer(address, compression_type=codec, linger_ms=20)
    assert send(producer, topic, ["x" * 100] * 20).errors == []
    found = fetch(wire, topic)
    assert all(one.validate_crc() for one in found.batches)
    assert all(one.timestamp_type == 1 for one in found.batches)
    assert len(read_all(address, topic, check_crcs=True)) == 20


def test_raw_answers_name_the_append_time_only_where_it_is_the_brokers(
    wire: Wire, topic: str, make_topic: MakeTopic
) -> None:
    """With CreateTime the answer says -1."""
    stamped = make_topic(message_timestamp_type="LogAppendTime")
    assert produce_raw(wire, topic, batch(values("a"))).timestamp == -1
    assert produce_raw(wire, stamped, batch(values("a"))).timestamp > T0


def test_one_request_may_hold_many_partitions(wire: Wire, make_topic: MakeTopic) -> None:
    """Each partition of a request has its own outcome."""
    topic = make_topic(3)
    request = produce_request(topic, b"")
    parts = [(number, batch(values(f"p{number}"))) for number in (2, 0, 1, 9)]
    answer = wire.ask(type(request)(None, -1, 30_000, [(topic, parts)]))
    ((_, found),) = answer.topics
    outcomes = {part: (error, offset) for part, error, offset, *_ in found}
    assert outcomes.pop(9)[0] == Errors.UNKNOWN_TOPIC_OR_PARTITION
    assert outcomes == {0: (0, 0), 1: (0, 0), 2: (0, 0)}
