"""Schedules of every fault while partitions ask each other."""

import pytest

from tests.simulation.forwarded import forwards_under_chaos
from tests.simulation.world import run_world


@pytest.mark.parametrize("tens", range(10))
def test_l16_forwards_are_exactly_once_under_every_fault(tens: int) -> None:
    """Ten seeds each: nothing is lost, doubled or reordered between any two counters."""
    for seed in range(10 * tens, 10 * tens + 10):
        run_world(seed, forwards_under_chaos, partitions=3)
