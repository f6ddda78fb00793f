"""Sequences and transactions of one partition."""

import pytest

from infra.broker.batches import marker
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.log import PartitionLog
from tests.infra.broker.unit.batch_maker import batch
from tests.infra.broker.unit.conftest import OpenLog

NOW = 5_000


def append(log: PartitionLog, sequence: int, *, epoch: int = 0, count: int = 1) -> int:
    """Append a batch of producer 7 and return its place."""
    pairs = [(b"k", b"v")] * count
    return log.append(batch(*pairs, producer=(7, epoch, sequence)), NOW).base_offset


def refusal(log: PartitionLog, sequence: int, *, epoch: int = 0) -> ErrorCode:
    """Return the code of a batch that must be refused; nothing may be appended."""
    end = log.next_offset
    with pytest.raises(KafkaError) as refused:
        append(log, sequence, epoch=epoch)
    assert log.next_offset == end
    return refused.value.code


def test_a_repeated_batch_has_its_first_place(open_log: OpenLog) -> None:
    """Any of the last five, and it is not appended again."""
    log = open_log()
    places = [append(log, sequence * 2, count=2) for sequence in range(6)]
    assert [append(log, sequence * 2, count=2) for sequence in range(1, 6)] == places[1:]
    assert log.next_offset == 12


def test_a_gap_and_a_batch_long_gone_are_refused(open_log: OpenLog) -> None:
    """OUT_OF_ORDER_SEQUENCE_NUMBER."""
    log = open_log()
    for sequence in range(7):
        append(log, sequence)
    assert refusal(log, 8) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert refusal(log, 0) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_an_unknown_producer_may_begin_anywhere(open_log: OpenLog) -> None:
    """Its earlier records may have been deleted."""
    log = open_log()
    assert append(log, 42) == 0
    assert append(log, 43) == 1


def test_an_epoch_begins_at_zero_and_fences_the_one_before(open_log: OpenLog) -> None:
    """INVALID_PRODUCER_EPOCH for the old one."""
    log = open_log()
    append(log, 0)
    assert refusal(log, 5, epoch=1) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    append(log, 0, epoch=1)
    assert refusal(log, 1, epoch=0) == ErrorCode.INVALID_PRODUCER_EPOCH


def test_sequences_wrap(open_log: OpenLog) -> None:
    """After 2**31 - 1 comes 0."""
    log = open_log()
    append(log, 2**31 - 2, count=2)
    assert append(log, 0) == 2


def test_a_transaction_holds_the_stable_offset_until_its_marker(open_log: OpenLog) -> None:
    """And an aborted one is listed for those who read over it."""
    log = open_log()
    log.append(batch(), NOW)
    log.append(batch(producer=(7, 0, 0), is_transactional=True), NOW)
    assert (log.stable_offset, log.high_watermark) == (1, 2)
    log.append_marker(marker(7, 0, NOW, is_commit=False), NOW, is_commit=False)
    assert log.stable_offset == log.high_watermark == 3
    assert [tuple(one) for one in log.producers.aborted_between(0, 3)] == [(7, 1, 2)]
    assert log.producers.aborted_between(3, 9) == []
    assert log.producers.aborted_between(0, 1) == []


def test_a_marker_of_a_later_epoch_fences(open_log: OpenLog) -> None:
    """What the old producer still sends is refused by the log itself."""
    log = open_log()
    log.append(batch(producer=(7, 0, 0), is_transactional=True), NOW)
    log.append_marker(marker(7, 1, NOW, is_commit=False), NOW, is_commit=False)
    assert refusal(log, 1, epoch=0) == ErrorCode.INVALID_PRODUCER_EPOCH


def test_markers_are_found_again(open_log: OpenLog) -> None:
    """Recovery reads from the marker itself whether it aborted."""
    log = open_log()
    for sequence, is_commit in enumerate([True, False]):
        log.append(batch(producer=(7, 0, sequence), is_transactional=True), NOW)
        log.append_marker(marker(7, 0, NOW, is_commit=is_commit), NOW, is_commit=is_commit)
    again = open_log()
    assert [tuple(one) for one in again.producers.aborted] == [(7, 2, 3)]
    assert again.stable_offset == 4
