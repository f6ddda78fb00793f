"""Transactions: all or nothing to those who read committed, and one producer per id."""

from collections.abc import Callable, Sequence

import pytest
from aiokafka.protocol.coordination import FindCoordinatorRequest_v1
from aiokafka.protocol.transaction import (
    AddPartitionsToTxnRequest_v0,
    EndTxnRequest_v0,
    InitProducerIdRequest_v0,
)
from confluent_kafka import KafkaException, Producer, TopicPartition

from tests.infra.broker.conformance.clients import (
    close,
    make_consumer,
    make_producer,
    offsets,
    produce,
    read_all,
    send,
    texts,
)
from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.members import committed
from tests.infra.broker.conformance.wire import (
    READ_COMMITTED,
    Errors,
    ProducerState,
    Wire,
    batch,
    fetch,
    list_offset,
    values,
)
from tests.infra.broker.conformance.wire import produce as produce_raw

MakeTopic = Callable[..., str]
LATEST = -1


@pytest.fixture
def transactional_id(wire: Wire, name: str) -> str:
    """Return a transactional id whose coordinator serves."""
    finding = FindCoordinatorRequest_v1(name, 1)
    probing = InitProducerIdRequest_v0(name, 10_000)

    def serves() -> bool:
        codes = (wire.ask(finding).error_code, wire.ask(probing).error_code)
        return codes == (Errors.NONE, Errors.NONE)

    eventually("a coordinator", serves)
    return name


def begin(address: str, transactional_id: str, timeout_ms: int = 60_000) -> Producer:
    """Return a transactional producer that has begun its first transaction."""
    producer = make_producer(
        address,
        transactional_id=transactional_id,
        transaction_timeout_ms=timeout_ms,
        message_timeout_ms=timeout_ms,
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    return producer


def settle(address: str, *places: tuple[str, int]) -> None:
    """Wait until no transaction holds readers back: markers may come behind a commit's answer."""
    with Wire(address) as wire:
        for topic, partition in places:
            eventually(
                "a settled log",
                lambda t=topic, p=partition: (
                    list_offset(wire, t, LATEST, partition=p, isolation=READ_COMMITTED)
                    == list_offset(wire, t, LATEST, partition=p)
                ),
            )


def read_committed(address: str, topic: str, partitions: Sequence[int] = (0,)) -> list[str | None]:
    """Return the values that a read-committed consumer sees once no transaction is open."""
    settle(address, *((topic, number) for number in partitions))
    return texts(read_all(address, topic, partitions, isolation_level="read_committed"))


def test_committed_records_are_seen_by_all(address: str, topic: str, transactional_id: str) -> None:
    """A commit makes the records visible, its marker takes one offset."""
    producer = begin(address, transactional_id)
    assert send(producer, topic, ["a", "b"]).offsets == [0, 1]
    producer.commit_transaction(30)
    assert read_committed(address, topic) == ["a", "b"]
    assert send(make_producer(address), topic, ["c"]).offsets == [3]


def test_aborted_records_are_seen_by_nobody_who_reads_committed(
    address: str, topic: str, transactional_id: str
) -> None:
    """They stand in the log, flushed before the abort, and are skipped."""
    producer = begin(address, transactional_id)
    assert send(producer, topic, ["a", "b"]).errors == []
    producer.abort_transaction(30)
    assert read_committed(address, topic) == []
    assert texts(read_all(address, topic)) == ["a", "b"]
    producer.begin_transaction()
    assert send(producer, topic, ["c"]).offsets == [3]
    producer.commit_transaction(30)
    assert read_committed(address, topic) == ["c"]


def test_an_open_transaction_holds_readers_back(
    address: str, wire: Wire, topic: str, transactional_id: str
) -> None:
    """The last stable offset is the first record of the oldest open transaction."""
    produce(address, topic, ["before"])
    producer = begin(address, transactional_id)
    send(producer, topic, ["open"])
    produce(address, topic, ["behind"])
    assert list_offset(wire, topic, LATEST)[1] == 3
    assert list_offset(wire, topic, LATEST, isolation=READ_COMMITTED)[1] == 1
    held = fetch(wire, topic, isolation=READ_COMMITTED)
    assert (held.last_stable_offset, held.high_watermark) == (1, 3)
    assert [one.base_offset for one in held.batches] == [0]
    producer.commit_transaction(30)
    assert read_committed(address, topic) == ["before", "open", "behind"]
    assert list_offset(wire, topic, LATEST, isolation=READ_COMMITTED)[1] == 4


def test_a_reader_that_waits_is_woken_by_the_commit(
    address: str, topic: str, transactional_id: str
) -> None:
    """The commit releases what a read-committed consumer was waiting for."""
    consumer = make_consumer(
        address,
        isolation_level="read_committed",
        enable_partition_eof=False,
        fetch_wait_max_ms=25_000,
        fetch_error_backoff_ms=10,
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert consumer.poll(0.2) is None
    producer = begin(address, transactional_id)
    send(producer, topic, ["a"])
    producer.commit_transaction(30)
    assert consumer.poll(20).value() == b"a"
    close(consumer)


def test_control_records_take_offsets_and_are_marked(
    address: str, wire: Wire, topic: str, transactional_id: str
) -> None:
    """A marker is a control batch of one record; an aborted one is listed by fetch."""
    producer = begin(address, transactional_id)
    send(producer, topic, ["a"])
    producer.commit_transaction(30)
    producer.begin_transaction()
    send(producer, topic, ["b"])
    producer.abort_transaction(30)
    settle(address, (topic, 0))
    found = fetch(wire, topic, isolation=READ_COMMITTED)
    kinds = [(one.base_offset, one.is_transactional, one.is_control_batch) for one in found.batches]
    assert kinds == [(0, True, False), (1, True, True), (2, True, False), (3, True, True)]
    assert [offset for _, offset in found.aborted or []] == [2]
    markers = [next(iter(one)).key for one in found.batches if one.is_control_batch]
    assert markers == [b"\x00\x00\x00\x01", b"\x00\x00\x00\x00"]  # commit, abort


def test_many_transactions_of_many_producers(
    address: str, topic: str, transactional_id: str
) -> None:
    """Interleaved commits and aborts: exactly the committed ones are seen, in order."""
    producers = [begin(address, f"{transactional_id}-{n}") for n in range(3)]
    expected = []
    for turn in range(6):
        for number, producer in enumerate(producers):
            send(producer, topic, [f"{turn}-{number}"])
        for number, producer in enumerate(producers):
            if (turn + number) % 2:
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
                expected.append(f"{turn}-{number}")
            producer.begin_transaction()
    found = read_committed(address, topic)
    assert sorted(text or "" for text in found) == sorted(expected)
    assert len(read_all(address, topic)) == 18


def test_a_transaction_over_many_partitions_is_one(
    address: str, make_topic: MakeTopic, transactional_id: str
) -> None:
    """Two topics, five partitions: committed together."""
    first, second = make_topic(3), make_topic(2)
    producer = begin(address, transactional_id)
    for number in range(3):
        send(producer, first, ["x"], partition=number)
    for number in range(2):
        send(producer, second, ["x"], partition=number)
    producer.commit_transaction(30)
    assert read_committed(address, first, range(3)) == ["x"] * 3
    assert read_committed(address, second, range(2)) == ["x"] * 2


@pytest.mark.parametrize("commits", [True, False])
def test_offsets_of_a_transaction_follow_its_outcome(
    address: str, wire: Wire, topic: str, transactional_id: str, group: str, *, commits: bool
) -> None:
    """send_offsets_to_transaction commits with the transaction and not before."""
    consumer = make_consumer(address, group_id=group)
    producer = begin(address, transactional_id)
    send(producer, topic, ["out"])
    place = TopicPartition(topic, 0, 17)
    metadata = consumer.consumer_group_metadata()
    producer.send_offsets_to_transaction([place], metadata, 30)
    assert committed(wire, group, topic)[0][0] == -1
    if commits:
        producer.commit_transaction(30)
        eventually("the offset", lambda: committed(wire, group, topic)[0][0] == 17)
    else:
        producer.abort_transaction(30)
        assert committed(wire, group, topic)[0][0] == -1
    close(consumer)


def test_a_second_producer_of_the_id_fences_the_first(
    address: str, topic: str, transactional_id: str
) -> None:
    """What the first had open is aborted and it cannot commit any more."""
    first = begin(address, transactional_id)
    send(first, topic, ["zombie"])
    second = begin(address, transactional_id)
    with pytest.raises(KafkaException) as refused:
        first.commit_transaction(30)
    assert refused.value.args[0].fatal()
    send(second, topic, ["mine"])
    second.commit_transaction(30)
    assert read_committed(address, topic) == ["mine"]


def test_a_fenced_producer_cannot_produce(
    address: str, wire: Wire, topic: str, transactional_id: str
) -> None:
    """Records under the epoch of a former life are refused and not stored."""
    old = wire.ask(InitProducerIdRequest_v0(transactional_id, 30_000))
    second = begin(address, transactional_id)
    send(second, topic, ["mine"])
    sender = ProducerState(old.producer_id, old.producer_epoch, 0, transactional=True)
    late = batch(values("zombie"), sender)
    refused = produce_raw(wire, topic, late, transactional_id=transactional_id)
    assert refused.error_code in {Errors.INVALID_PRODUCER_EPOCH, Errors.PRODUCER_FENCED}
    second.commit_transaction(30)
    assert read_committed(address, topic) == texts(read_all(address, topic)) == ["mine"]


def test_a_forgotten_transaction_is_aborted(
    address: str, topic: str, transactional_id: str
) -> None:
    """After transaction.timeout.ms the coordinator aborts; readers go on."""
    forgotten = begin(address, transactional_id, timeout_ms=3_000)
    send(forgotten, topic, ["forgotten"])
    produce(address, topic, ["behind"])
    eventually("the abort", lambda: read_committed(address, topic) == ["behind"])
    with pytest.raises(KafkaException):
        forgotten.commit_transaction(30)


def test_an_empty_transaction_commits(address: str, transactional_id: str) -> None:
    """Nothing written is fine."""
    producer = begin(address, transactional_id)
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.abort_transaction(30)


def test_the_epoch_grows_with_each_life_of_the_id(wire: Wire, transactional_id: str) -> None:
    """The producer id stays, the epoch is one more."""
    request = InitProducerIdRequest_v0(transactional_id, 10_000)
    first, second = wire.ask(request), wire.ask(request)
    assert (first.error_code, second.error_code) == (Errors.NONE, Errors.NONE)
    assert second.producer_id == first.producer_id
    assert second.producer_epoch == first.producer_epoch + 1


def test_ending_with_an_old_epoch_is_refused(wire: Wire, topic: str, transactional_id: str) -> None:
    """EndTxn of a former life is fenced and the transaction of the new one lives on."""
    request = InitProducerIdRequest_v0(transactional_id, 30_000)
    old, new = wire.ask(request), wire.ask(request)
    adding = AddPartitionsToTxnRequest_v0(
        transactional_id, new.producer_id, new.producer_epoch, [(topic, [0])]
    )
    ((_, ((_, error_code),)),) = wire.ask(adding).errors
    assert error_code == Errors.NONE
    sender = ProducerState(new.producer_id, new.producer_epoch, 0, transactional=True)
    stored = produce_raw(wire, topic, batch(values("a"), sender), transactional_id=transactional_id)
    assert stored.error_code == Errors.NONE

    def end(epoch: int) -> int:
        request = EndTxnRequest_v0(transactional_id, new.producer_id, epoch, 1)
        return int(wire.ask(request).error_code)

    assert end(old.producer_epoch) in {Errors.INVALID_PRODUCER_EPOCH, Errors.PRODUCER_FENCED}
    assert list_offset(wire, topic, LATEST, isolation=READ_COMMITTED)[1] == 0
    assert end(new.producer_epoch) == Errors.NONE
    eventually(
        "the commit", lambda: list_offset(wire, topic, LATEST, isolation=READ_COMMITTED)[1] == 2
    )


def test_writing_outside_a_transaction_is_refused(
    wire: Wire, topic: str, transactional_id: str
) -> None:
    """A transactional batch to a partition that was not added is INVALID_TXN_STATE."""
    made = wire.ask(InitProducerIdRequest_v0(transactional_id, 30_000))
    sender = ProducerState(made.producer_id, made.producer_epoch, 0, transactional=True)
    refused = produce_raw(
        wire, topic, batch(values("a"), sender), transactional_id=transactional_id
    )
    assert refused.error_code == Errors.INVALID_TXN_STATE
    assert fetch(wire, topic).high_watermark == 0


def test_consume_transform_produce_is_exactly_once(
    address: str, make_topic: MakeTopic, transactional_id: str, group: str
) -> None:
    """With an abort in the middle each input yields one committed output."""
    source, sink = make_topic(), make_topic()
    produce(address, source, [f"v{n}" for n in range(30)])
    producer = begin(address, transactional_id)
    for attempt in range(6):
        consumer = make_consumer(address, group_id=group, isolation_level="read_committed")
        (start,) = consumer.committed([TopicPartition(source, 0)], timeout=30)
        at = max(start.offset, 0)
        consumer.assign([TopicPartition(source, 0, at)])
        taken = consumer.consume(10, 30)
        send(producer, sink, [message.value() for message in taken])
        place = TopicPartition(source, 0, at + len(taken))
        producer.send_offsets_to_transaction([place], consumer.consumer_group_metadata(), 30)
        if attempt % 2:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
        producer.begin_transaction()
        close(consumer)
    assert read_committed(address, sink) == [f"v{n}" for n in range(30)]


def test_offsets_have_holes_where_markers_stand(
    address: str, topic: str, transactional_id: str
) -> None:
    """Readers of `commands` must take gaps for what they are (L10)."""
    producer = begin(address, transactional_id)
    for _ in range(3):
        send(producer, topic, ["x"])
        producer.commit_transaction(30)
        producer.begin_transaction()
    settle(address, (topic, 0))
    found = read_all(address, topic, isolation_level="read_committed")
    assert offsets(found) == [0, 2, 4]
