"""The accept rule: what counts, and what everybody ignores alike."""

import pytest

from streams.log.accept import accepts_claim, accepts_transition
from streams.log.position import Position

LAST = Position(epoch=4, incarnation=b"A" * 8, seq=10)


@pytest.mark.parametrize(
    ("epoch", "seq", "expected"),
    [(5, 11, True), (9, 11, True), (4, 11, False), (3, 11, False), (5, 10, False), (5, 12, False)],
)
def test_l1_a_claim_is_next_and_higher(epoch: int, seq: int, *, expected: bool) -> None:
    """A claim counts iff it is next in sequence under a higher epoch."""
    assert expected == accepts_claim(LAST, epoch=epoch, seq=seq)


@pytest.mark.parametrize(
    ("epoch", "seq", "expected"),
    [(4, 11, True), (5, 11, False), (3, 11, False), (4, 10, False), (4, 12, False)],
)
def test_l1_a_transition_is_next_under_the_last_claim(
    epoch: int, seq: int, *, expected: bool
) -> None:
    """A transition counts iff it is next in sequence under the last accepted claim."""
    found = accepts_transition(LAST, epoch=epoch, incarnation=b"A" * 8, seq=seq)
    assert expected == found


def test_l2_two_claimers_of_one_epoch_cannot_both_continue() -> None:
    """The same epoch under another incarnation is not accepted."""
    assert not accepts_transition(LAST, epoch=4, incarnation=b"B" * 8, seq=11)
