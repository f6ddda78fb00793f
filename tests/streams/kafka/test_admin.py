"""Answers about topics are those of the broker, at once and uncached."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.errors import Unavailable
from streams.kafka.admin import KafkaAdmin, _answer
from tests.streams.conftest import create
from tests.support.waiting import until

MakeTopic = Callable[..., Awaitable[str]]


def produce(address: str, topic: str, *values: bytes) -> None:
    """Append values to partition 0, one by one."""
    producer = Producer({"bootstrap.servers": address})
    for value in values:
        producer.produce(topic, value, b"k", 0)
        producer.flush(10)


async def test_end_is_the_next_records_offset(
    admin: KafkaAdmin, address: str, make_topic: MakeTopic
) -> None:
    """An empty topic ends at 0."""
    topic = await make_topic()
    assert await admin.end(topic, 0) == 0
    produce(address, topic, b"a", b"b")
    assert await admin.end(topic, 0) == 2


async def test_t2_stable_end_stands_before_an_open_transaction(
    admin: KafkaAdmin, address: str, make_topic: MakeTopic
) -> None:
    """T2: the stable end of `commands` does not count what may still be aborted."""
    topic = await make_topic()
    produce(address, topic, b"a")
    producer = Producer({"bootstrap.servers": address, "transactional.id": topic})
    await asyncio.to_thread(producer.init_transactions, 20)
    producer.begin_transaction()
    producer.produce(topic, b"open", b"k", 0)
    await asyncio.to_thread(producer.flush, 10)
    assert (await admin.stable_end(topic, 0), await admin.end(topic, 0)) == (1, 2)
    await asyncio.to_thread(producer.abort_transaction, 10)

    async def is_past_the_marker() -> bool:
        return await admin.stable_end(topic, 0) == 3

    await until("the stable end to pass the marker", is_past_the_marker)


async def test_l6_another_topic_of_the_name_has_another_id(
    admin: KafkaAdmin, make_topic: MakeTopic
) -> None:
    """L6: a topic that was deleted and made anew is told by its id."""
    topic = await make_topic()
    first = await admin.topic_id(topic)
    assert await admin.topic_id(topic) == first
    await asyncio.wrap_future(admin.client.delete_topics([topic])[topic])

    async def is_gone() -> bool:
        return topic not in (await asyncio.to_thread(admin.client.list_topics, timeout=10)).topics

    await until("the topic to be gone", is_gone)
    await create(admin, topic, 1, {})
    assert await admin.topic_id(topic) not in (first, "")


async def test_l6_record_at_an_offset(
    admin: KafkaAdmin, address: str, make_topic: MakeTopic
) -> None:
    """L6: the record that stands there, or None: beyond the end and below the start."""
    topic = await make_topic()
    produce(address, topic, b"a", b"b")
    found = await admin.record_at(topic, 0, 1)
    assert found is not None
    assert (found.offset, found.key, found.value) == (1, b"k", b"b")
    assert await admin.record_at(topic, 0, 2) is None
    assert await admin.record_at(topic, 0, 99) is None
    await admin.delete_before(topic, 0, 1)
    assert await admin.record_at(topic, 0, 0) is None
    assert await admin.start(topic, 0) == 1


async def test_l6_a_control_record_is_no_record(
    admin: KafkaAdmin, address: str, make_topic: MakeTopic
) -> None:
    """L6: an offset that a transaction marker holds has no record, whatever follows."""
    topic = await make_topic()
    producer = Producer({"bootstrap.servers": address, "transactional.id": topic})
    await asyncio.to_thread(producer.init_transactions, 20)
    producer.begin_transaction()
    producer.produce(topic, b"a", b"k", 0)
    await asyncio.to_thread(producer.commit_transaction, 10)
    produce(address, topic, b"b")
    assert await admin.record_at(topic, 0, 1) is None


def answered(*results: object) -> Callable[[], Future[object]]:
    """Return a question that is answered differently each time."""
    left = list(results)

    def ask() -> Future[object]:
        future: Future[object] = Future()
        result = left.pop(0)
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
        return future

    return ask


def failed(code: int) -> KafkaException:
    """Return an error of librdkafka."""
    return KafkaException(KafkaError(code))


async def test_a_leader_that_changes_is_asked_again() -> None:
    """It is a matter of a moment; a question is not worth a restart."""
    moved = failed(KafkaError.NOT_LEADER_FOR_PARTITION)
    assert await _answer(answered(moved, moved, 7)) == 7


async def test_any_other_refusal_is_unavailable() -> None:
    """In words, for whoever may ask again."""
    with pytest.raises(Unavailable, match="expected an answer of Kafka"):
        await _answer(answered(failed(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
