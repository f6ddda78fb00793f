"""Randomness, a pool at a time."""

from infra.chance import SystemRandom


def test_bytes_are_given_out_once() -> None:
    """As many as asked for, also more than the pool has."""
    random = SystemRandom()
    counts = [16] * 1_000 + [0, 10_000, 16]
    found = [random.bytes(count) for count in counts]
    assert [len(each) for each in found] == counts
    whole = [each for each in found if each]
    assert len(set(whole)) == len(whole)
