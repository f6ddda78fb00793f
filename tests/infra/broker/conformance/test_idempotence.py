"""Idempotent producers: a batch sent twice is stored once, a gap or an old epoch is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.infra.broker.conformance.clients import make_producer, read_all, send, texts
from tests.infra.broker.conformance.wire import (
    Errors,
    Produced,
    ProducerState,
    Wire,
    batch,
    fetch,
    init_producer,
    produce,
    values,
)

MakeTopic = Callable[..., str]


def stored(wire: Wire, topic: str, partition: int = 0) -> list[tuple[int, bytes]]:
    """Return (offset, value) of every record in the log."""
    found = fetch(wire, topic, partition=partition)
    return [(record.offset, record.value) for one in found.batches for record in one]


def at(sender: ProducerState, sequence: int) -> ProducerState:
    """Return the same producer at another sequence number."""
    return replace(sender, sequence=sequence)


def outcome(answer: Produced) -> tuple[int, int]:
    """Return (error code, base offset)."""
    return answer.error_code, answer.base_offset


def test_producer_ids_are_never_given_twice(address: str) -> None:
    """Each InitProducerId without a transactional id is a new producer of epoch 0."""
    with Wire(address) as wire:
        made = [init_producer(wire) for _ in range(50)]
    assert len({one.producer_id for one in made}) == 50
    assert {one.epoch for one in made} == {0}


def test_a_resent_batch_is_acknowledged_with_its_offset_and_stored_once(
    wire: Wire, topic: str
) -> None:
    """The lost acknowledgement is repeated: same offset, nothing appended (L4)."""
    sender = init_producer(wire)
    first = batch(values("a", "b", "c"), sender)
    assert outcome(produce(wire, topic, first)) == (Errors.NONE, 0)
    assert outcome(produce(wire, topic, first)) == (Errors.NONE, 0)
    assert outcome(produce(wire, topic, batch(values("d"), at(sender, 3)))) == (Errors.NONE, 3)
    assert outcome(produce(wire, topic, first)) == (Errors.NONE, 0)
    assert stored(wire, topic) == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")]


def test_the_last_five_batches_are_remembered(wire: Wire, topic: str) -> None:
    """As many as may be in flight; each is acknowledged again with its own offset."""
    sender = init_producer(wire)
    sent = [batch(values(f"v{n}"), at(sender, n)) for n in range(8)]
    for one in sent:
        produce(wire, topic, one)
    again = [outcome(produce(wire, topic, one)) for one in sent[3:]]
    assert again == [(Errors.NONE, n) for n in range(3, 8)]
    assert len(stored(wire, topic)) == 8


def test_a_batch_older_than_those_is_not_stored_again(wire: Wire, topic: str) -> None:
    """Too old to know its offset: refused, never appended."""
    sender = init_producer(wire)
    sent = [batch(values(f"v{n}"), at(sender, n)) for n in range(10)]
    for one in sent:
        produce(wire, topic, one)
    refused = produce(wire, topic, sent[0]).error_code
    assert refused in {Errors.DUPLICATE_SEQUENCE_NUMBER, Errors.OUT_OF_ORDER_SEQUENCE_NUMBER}
    assert len(stored(wire, topic)) == 10


def test_a_gap_in_the_sequence_is_refused(wire: Wire, topic: str) -> None:
    """Sequence 2 when 1 is expected is out of order; 1 is still taken."""
    sender = init_producer(wire)
    produce(wire, topic, batch(values("a"), sender))
    gap = produce(wire, topic, batch(values("c"), at(sender, 2)))
    assert gap.error_code == Errors.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert outcome(produce(wire, topic, batch(values("b"), at(sender, 1)))) == (Errors.NONE, 1)
    assert stored(wire, topic) == [(0, b"a"), (1, b"b")]


def test_pipelined_batches_behind_a_gap_are_all_refused(wire: Wire, topic: str) -> None:
    """What was sent behind a lost batch does not overtake it."""
    sender = init_producer(wire)
    produce(wire, topic, batch(values("a"), sender))
    codes = [
        produce(wire, topic, batch(values(f"v{n}"), at(sender, n))).error_code for n in (2, 3, 4)
    ]
    assert codes == [Errors.OUT_OF_ORDER_SEQUENCE_NUMBER] * 3
    assert stored(wire, topic) == [(0, b"a")]


def test_sequences_belong_to_a_partition(wire: Wire, make_topic: MakeTopic) -> None:
    """Each partition counts from 0 for itself."""
    topic = make_topic(2)
    sender = init_producer(wire)
    for partition in (0, 1):
        for number in range(3):
            one = batch(values(f"v{number}"), at(sender, number))
            assert outcome(produce(wire, topic, one, partition=partition)) == (0, number)


def test_a_sequence_wraps_around(wire: Wire, topic: str) -> None:
    """Behind 2,147,483,647 comes 0."""
    sender = init_producer(wire)
    last = 2**31 - 1
    assert outcome(produce(wire, topic, batch(values("a"), at(sender, last)))) == (0, 0)
    assert outcome(produce(wire, topic, batch(values("b"), at(sender, 0)))) == (0, 1)


def test_a_batch_over_the_wrap_is_one_batch(wire: Wire, topic: str) -> None:
    """Three records from 2,147,483,646 on: the next sequence is 1."""
    sender = init_producer(wire)
    over = batch(values("a", "b", "c"), at(sender, 2**31 - 2))
    assert outcome(produce(wire, topic, over)) == (0, 0)
    assert outcome(produce(wire, topic, over)) == (0, 0)
    assert outcome(produce(wire, topic, batch(values("d"), at(sender, 1)))) == (0, 3)


def test_an_old_epoch_is_fenced(wire: Wire, topic: str) -> None:
    """Once a higher epoch wrote, the lower one cannot."""
    sender = init_producer(wire)
    newer = replace(sender, epoch=sender.epoch + 1)
    produce(wire, topic, batch(values("a"), sender))
    assert outcome(produce(wire, topic, batch(values("b"), newer))) == (Errors.NONE, 1)
    fenced = produce(wire, topic, batch(values("zombie"), at(sender, 1)))
    assert fenced.error_code in {Errors.INVALID_PRODUCER_EPOCH, Errors.PRODUCER_FENCED}
    assert stored(wire, topic) == [(0, b"a"), (1, b"b")]


def test_a_new_epoch_begins_at_sequence_zero(wire: Wire, topic: str) -> None:
    """Anything else is out of order."""
    sender = init_producer(wire)
    produce(wire, topic, batch(values("a"), sender))
    newer = replace(sender, epoch=sender.epoch + 1, sequence=1)
    refused = produce(wire, topic, batch(values("b"), newer))
    assert refused.error_code == Errors.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_two_producers_do_not_disturb_each_other(wire: Wire, topic: str) -> None:
    """Interleaved sequences of two producers are both complete."""
    left, right = init_producer(wire), init_producer(wire)
    for number in range(5):
        for sender in (left, right):
            one = batch(values(f"{sender.producer_id}"), at(sender, number))
            assert produce(wire, topic, one).error_code == Errors.NONE
    assert len(stored(wire, topic)) == 10


def test_a_refused_batch_takes_no_sequence(wire: Wire, topic: str) -> None:
    """A corrupt batch may be sent again, whole, under its own number."""
    sender = init_producer(wire)
    whole = batch(values("abc"), sender)
    broken = bytearray(whole)
    broken[-2] ^= 0x01
    assert produce(wire, topic, bytes(broken)).error_code == Errors.CORRUPT_MESSAGE
    assert outcome(produce(wire, topic, whole)) == (Errors.NONE, 0)


def test_a_recreated_producer_is_accepted_after_trimming(wire: Wire, topic: str) -> None:
    """A producer nobody knows may begin anywhere: its records may have been deleted."""
    sender = init_producer(wire)
    assert outcome(produce(wire, topic, batch(values("a"), at(sender, 41)))) == (0, 0)
    assert outcome(produce(wire, topic, batch(values("b"), at(sender, 42)))) == (0, 1)


@pytest.mark.parametrize("gapless", [False, True])
def test_librdkafka_in_idempotent_mode(address: str, topic: str, gapless: bool) -> None:  # noqa: FBT001
    """Two thousand records in many batches stand once each, in order."""
    producer = make_producer(
        address,
        enable_idempotence=True,
        enable_gapless_guarantee=gapless,
        batch_num_messages=10,
    )
    sent = [f"v{n}" for n in range(2_000)]
    reports = send(producer, topic, sent)
    assert (reports.errors, reports.offsets) == ([], list(range(2_000)))
    assert texts(read_all(address, topic)) == sent
