"""Fetch: from any offset, bounded in bytes and time, woken by data, refused out of range."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.infra.broker.conformance.clients import (
    close,
    make_consumer,
    offsets,
    only,
    produce,
    read_all,
    texts,
)
from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.wire import (
    Errors,
    Wire,
    append,
    batch,
    fetch,
    fetch_request,
    fetched,
    values,
)

MakeTopic = Callable[..., str]
LONG_WAIT_MS = 30_000  # far above what a test may take: only data ends such a wait


@pytest.mark.parametrize("start", [0, 1, 57, 99])
def test_reading_from_an_offset_begins_there(address: str, topic: str, start: int) -> None:
    """A consumer that starts at n sees n first, also in the middle of a batch."""
    produce(address, topic, [f"v{n}" for n in range(100)])
    assert list(range(start, 100)) == offsets(read_all(address, topic, start=start))


def test_earliest_and_latest(address: str, topic: str) -> None:
    """Earliest is the whole log, latest only what comes later."""
    produce(address, topic, ["old"])
    assert texts(read_all(address, topic, start=OFFSET_BEGINNING)) == ["old"]
    consumer = make_consumer(address)
    consumer.assign([TopicPartition(topic, 0, OFFSET_END)])
    assert consumer.consume(1, 30)[0].error().code() == KafkaError._PARTITION_EOF
    produce(address, topic, ["new"])
    assert consumer.consume(1, 30)[0].value() == b"new"
    close(consumer)


@pytest.mark.parametrize(("policy", "expected"), [("earliest", ["a", "b"]), ("latest", [])])
def test_a_reset_policy_answers_an_offset_out_of_range(
    address: str, topic: str, policy: str, expected: list[str]
) -> None:
    """Offset 1000 of a log of 2 is reset as the consumer asked."""
    produce(address, topic, ["a", "b"])
    found = read_all(address, topic, start=1_000, auto_offset_reset=policy)
    assert expected == texts(found)


def test_out_of_range_is_an_error_of_the_partition(wire: Wire, topic: str) -> None:
    """One above the end is out of range, the end itself is not."""
    append(wire, topic, batch(values("a", "b")))
    assert fetch(wire, topic, 3).error_code == Errors.OFFSET_OUT_OF_RANGE
    at_end = fetch(wire, topic, 2)
    assert (at_end.error_code, at_end.records, at_end.high_watermark) == (0, b"", 2)


def test_an_unknown_partition_is_an_error_of_the_partition(wire: Wire, topic: str) -> None:
    """A fetch of partition 3 of 1 is answered, not dropped."""
    answer = wire.ask(fetch_request([(topic, 3, 0)]))
    assert fetched(answer)[0].error_code == Errors.UNKNOWN_TOPIC_OR_PARTITION


def test_an_empty_fetch_is_answered_when_its_wait_ends(wire: Wire, topic: str) -> None:
    """Without data the answer is empty and has no error."""
    (found,) = fetched(wire.ask(fetch_request([(topic, 0, 0)], max_wait=200, min_bytes=1)))
    assert (found.error_code, found.records, found.high_watermark) == (0, b"", 0)


def test_a_waiting_fetch_is_woken_by_data(address: str, wire: Wire, topic: str) -> None:
    """A fetch at exactly the end answers as soon as a record is appended."""
    for number in range(20):
        wire.send(fetch_request([(topic, 0, number)], max_wait=LONG_WAIT_MS, min_bytes=1))
        with Wire(address) as other:
            append(other, topic, batch(values(f"v{number}")))
        (found,) = fetched(wire.receive())
        assert [number] == [record.offset for one in found.batches for record in one]


def test_no_wake_up_is_lost_between_look_and_wait(address: str, topic: str) -> None:
    """Appends racing with fetches at the end never leave a fetch asleep (prototype bug 1)."""
    count = 400

    def append_all() -> None:
        with Wire(address) as producing:
            for number in range(count):
                append(producing, topic, batch(values(str(number))))

    at = 0
    with ThreadPoolExecutor(1) as threads, Wire(address) as consuming:
        appending = threads.submit(append_all)
        while at < count:
            request = fetch_request([(topic, 0, at)], max_wait=LONG_WAIT_MS, min_bytes=1)
            (found,) = fetched(consuming.ask(request))
            assert found.batches, f"expected data at {at}, but the wait ran out"
            at = found.batches[-1].next_offset
        appending.result()
    assert at == count


def test_a_waiting_fetch_of_many_partitions_is_woken_by_one(
    address: str, wire: Wire, make_topic: MakeTopic
) -> None:
    """Any of its partitions wakes a fetch."""
    topic = make_topic(8)
    wanted = [(topic, number, 0) for number in range(8)]
    wire.send(fetch_request(wanted, max_wait=LONG_WAIT_MS, min_bytes=1))
    with Wire(address) as other:
        append(other, topic, batch(values("x")), partition=5)
    with_records = [one.partition for one in fetched(wire.receive()) if one.records]
    assert with_records == [5]


def test_min_bytes_holds_an_answer_back(address: str, wire: Wire, topic: str) -> None:
    """A fetch that asks for 2 kB is not content with 100 B."""
    wire.send(fetch_request([(topic, 0, 0)], max_wait=LONG_WAIT_MS, min_bytes=2_000))
    with Wire(address) as other:
        for _ in range(30):
            append(other, topic, batch(values("x" * 100)))
    (found,) = fetched(wire.receive())
    assert len(found.records) >= 2_000


def test_many_partitions_in_one_fetch(wire: Wire, make_topic: MakeTopic) -> None:
    """Sixty-four partitions answer together, each with its own records."""
    topic = make_topic(64)
    for number in range(64):
        append(wire, topic, batch(values(f"p{number}")), partition=number)
    answer = fetched(wire.ask(fetch_request([(topic, number, 0) for number in range(64)])))
    found = {one.partition: next(iter(one.batches[0])).value for one in answer}
    assert {number: f"p{number}".encode() for number in range(64)} == found


def test_max_bytes_bounds_an_answer_but_never_starves_it(wire: Wire, topic: str) -> None:
    """A batch above the limit still comes, alone; reading on reaches the end."""
    for number in range(10):
        append(wire, topic, batch(values(f"{number}" * 10_000)))
    seen: list[int] = []
    while len(seen) < 10:
        at = seen[-1] + 1 if seen else 0
        request = fetch_request([(topic, 0, at)], max_bytes=1_000, partition_bytes=1_000)
        (found,) = fetched(wire.ask(request))
        assert len(found.records) < 15_000
        seen += [record.offset for one in found.batches for record in one]
    assert list(range(10)) == seen


def test_max_bytes_is_shared_by_the_partitions(wire: Wire, make_topic: MakeTopic) -> None:
    """What does not fit any more waits for the next fetch."""
    topic = make_topic(10)
    for number in range(10):
        append(wire, topic, batch(values("x" * 10_000)), partition=number)
    wanted = [(topic, number, 0) for number in range(10)]
    answer = fetched(wire.ask(fetch_request(wanted, max_bytes=35_000)))
    assert 10_000 <= sum(len(one.records) for one in answer) <= 46_000


def test_a_fetch_between_batches_returns_the_batch_that_holds_the_offset(
    wire: Wire, topic: str
) -> None:
    """An offset inside a batch brings the whole batch; the client skips."""
    append(wire, topic, batch(values("a", "b", "c")))
    append(wire, topic, batch(values("d")))
    found = fetch(wire, topic, 1)
    assert [one.base_offset for one in found.batches] == [0, 3]


def test_consuming_exactly_at_the_end_sees_each_new_record(address: str, topic: str) -> None:
    """A consumer that is always at the end misses nothing and repeats nothing."""
    consumer = make_consumer(address, enable_partition_eof=False)
    consumer.assign([TopicPartition(topic, 0, 0)])
    for number in range(20):
        with Wire(address) as wire:
            append(wire, topic, batch(values(f"v{number}")))
        message = consumer.consume(1, 30)[0]
        assert (message.error(), message.value()) == (None, f"v{number}".encode())
    close(consumer)


def test_a_pipelined_fetch_does_not_hold_back_other_connections(
    address: str, wire: Wire, topic: str
) -> None:
    """One connection's long poll is nobody else's wait."""
    wire.send(fetch_request([(topic, 0, 0)], max_wait=LONG_WAIT_MS, min_bytes=1))
    with Wire(address) as other:
        assert fetch(other, topic).error_code == Errors.NONE
        append(other, topic, batch(values("wake")))
    assert fetched(wire.receive())[0].records


def test_a_deleted_topic_is_an_error_of_the_partition(
    admin: AdminClient, wire: Wire, topic: str
) -> None:
    """A consumer of a topic that is deleted hears of it, its records are gone."""
    append(wire, topic, batch(values("a")))
    only(admin.delete_topics([topic]))

    def hears() -> bool:
        return fetch(wire, topic).error_code == Errors.UNKNOWN_TOPIC_OR_PARTITION

    eventually("an error about the deleted topic", hears)
