"""The same promises through aiokafka, the client that our stream processor uses."""

from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as Partition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import OffsetAndMetadata

from tests.infra.broker.conformance.deadlines import eventually_async
from tests.infra.broker.conformance.wire import T0

MakeTopic = Callable[..., str]


async def _read(address: str, topic: str, count: int, **options: object) -> list[object]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, enable_auto_commit=False, auto_offset_reset="earliest", **options
    )
    async with consumer:
        consumer.assign([Partition(topic, 0)])
        await consumer.seek_to_beginning()
        return [await consumer.getone() for _ in range(count)]


@pytest.mark.parametrize("acks", [0, 1, "all"])
async def test_produced_records_are_read_back(address: str, topic: str, acks: int | str) -> None:
    """Keys, values, headers and order survive, whatever the acks."""
    async with AIOKafkaProducer(bootstrap_servers=address, acks=acks) as producer:
        for number in range(50):
            key = None if number % 2 else b"k"
            await producer.send_and_wait(topic, b"%d" % number, key, headers=[("h", b"1")])
    found = await _read(address, topic, 50)
    assert [b"%d" % n for n in range(50)] == [message.value for message in found]
    assert list(range(50)) == [message.offset for message in found]
    assert {(("h", b"1"),)} == {message.headers for message in found}


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_batches_are_read_back(address: str, topic: str, codec: str) -> None:
    """Every codec goes through."""
    options = {"bootstrap_servers": address, "compression_type": codec, "linger_ms": 20}
    async with AIOKafkaProducer(**options) as producer:
        sent = [await producer.send(topic, b"x" * 300) for _ in range(100)]
        assert list(range(100)) == [(await one).offset for one in sent]
    assert [message.value for message in await _read(address, topic, 100)] == [b"x" * 300] * 100


async def test_an_idempotent_producer_delivers_in_order(address: str, topic: str) -> None:
    """With enable_idempotence the offsets are those of the order of sending."""
    async with AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True) as producer:
        sent = [await producer.send(topic, b"%d" % number) for number in range(500)]
        assert list(range(500)) == [(await one).offset for one in sent]


async def test_the_append_time_is_in_the_acknowledgement(
    address: str, make_topic: MakeTopic
) -> None:
    """LogAppendTime comes back as the broker's time (timestamp type 1)."""
    topic = make_topic(message_timestamp_type="LogAppendTime")
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        said = await producer.send_and_wait(topic, b"x", timestamp_ms=T0)
    (message,) = await _read(address, topic, 1)
    assert (said.timestamp_type, said.timestamp) == (1, message.timestamp)
    assert said.timestamp > T0


async def test_a_record_above_the_limit_is_refused(address: str, topic: str) -> None:
    """The broker's limit holds when the client's own is higher."""
    async with AIOKafkaProducer(bootstrap_servers=address, max_request_size=8 << 20) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, b"x" * (2 << 20))


async def test_out_of_range_reaches_a_consumer_that_wants_to_know(address: str, topic: str) -> None:
    """With auto_offset_reset none the error is raised."""
    consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="none")
    async with consumer:
        consumer.assign([Partition(topic, 0)])
        consumer.seek(Partition(topic, 0), 77)
        with pytest.raises(OffsetOutOfRangeError):
            await consumer.getone()


async def test_offsets_by_time_and_ends(address: str, topic: str) -> None:
    """offsets_for_times, beginning_offsets and end_offsets agree with what was written."""
    part = Partition(topic, 0)
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        for number in range(5):
            at = T0 + number
            await producer.send_and_wait(topic, b"x", timestamp_ms=at)
    async with AIOKafkaConsumer(bootstrap_servers=address) as consumer:
        assert {part: 0} == await consumer.beginning_offsets([part])
        assert {part: 5} == await consumer.end_offsets([part])
        found = await consumer.offsets_for_times({part: T0 + 3})
        assert (found[part].offset, found[part].timestamp) == (3, T0 + 3)


async def test_committed_offsets_carry_their_metadata(address: str, topic: str, name: str) -> None:
    """The cursor that the log protocol keeps in the metadata comes back (V1)."""
    part = Partition(topic, 0)
    options = {"bootstrap_servers": address, "group_id": name, "enable_auto_commit": False}
    async with AIOKafkaConsumer(topic, **options) as consumer:
        await eventually_async("an assignment", lambda: _assignment(consumer))
        await consumer.commit({part: OffsetAndMetadata(42, "(42, 7, abc, 9)")})
    async with AIOKafkaConsumer(topic, **options) as consumer:
        await eventually_async("an assignment", lambda: _assignment(consumer))
        assert await consumer.committed(part) == 42


async def _assignment(consumer: AIOKafkaConsumer) -> set[Partition]:
    return set(consumer.assignment())


async def test_two_members_share_the_partitions(
    address: str, make_topic: MakeTopic, name: str
) -> None:
    """A second member takes half; when it leaves the first has all again."""
    topic = make_topic(6)
    options = {"bootstrap_servers": address, "group_id": name, "heartbeat_interval_ms": 200}
    async with AIOKafkaConsumer(topic, **options) as first:

        async def has(count: int, consumer: AIOKafkaConsumer = first) -> bool:
            return len(consumer.assignment()) == count

        await eventually_async("six partitions", lambda: has(6))
        async with AIOKafkaConsumer(topic, **options) as second:
            await eventually_async("three for the second", lambda: has(3, second))
            await eventually_async("three for the first", lambda: has(3))
            both = first.assignment() | second.assignment()
            assert {Partition(topic, number) for number in range(6)} == both
        await eventually_async("six again", lambda: has(6))


async def test_read_committed_hides_what_was_aborted(address: str, topic: str, name: str) -> None:
    """Aborted records are seen by read_uncommitted only."""
    options = {"bootstrap_servers": address, "transactional_id": name}
    async with AIOKafkaProducer(**options) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"last")
    kept = await _read(address, topic, 2, isolation_level="read_committed")
    assert [message.value for message in kept] == [b"committed", b"last"]
    everything = await _read(address, topic, 3)
    assert [message.value for message in everything] == [b"committed", b"aborted", b"last"]
    assert [message.offset for message in everything] == [0, 2, 4]


async def test_offsets_sent_in_a_transaction_are_committed_with_it(
    address: str, topic: str, name: str
) -> None:
    """send_offsets_to_transaction is visible after the commit, not before."""
    part = Partition(topic, 0)
    group = f"{name}-group"
    async with (
        AIOKafkaProducer(bootstrap_servers=address, transactional_id=name) as producer,
        AIOKafkaConsumer(bootstrap_servers=address, group_id=group) as reader,
    ):
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"x")
        await producer.send_offsets_to_transaction({part: OffsetAndMetadata(9, "meta")}, group)
        await producer.commit_transaction()
        reader.assign([part])
        assert await reader.committed(part) == 9


async def test_admin_creates_and_deletes_topics(address: str, name: str) -> None:
    """The admin client of aiokafka works too, and errors come back by topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 3, 1)])
        again = await admin.create_topics([NewTopic(name, 3, 1)])
        assert [TopicAlreadyExistsError.errno] == [code for _, code, *_ in again.topic_errors]
        assert name in await admin.list_topics()
        await admin.delete_topics([name])
        gone = await admin.delete_topics([name])
        codes = [code for _, code in gone.topic_error_codes]
        assert [UnknownTopicOrPartitionError.errno] == codes
    finally:
        await admin.close()
