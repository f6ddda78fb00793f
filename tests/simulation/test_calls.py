"""Schedules of every fault while clients ask any node, and nodes carry asks to owners."""

import pytest

from tests.simulation.calls import Fronts, calls_under_chaos
from tests.simulation.world import run_world


@pytest.mark.parametrize("tens", range(8))
def test_c2_forwarded_calls_are_exactly_once_under_every_fault(tens: int) -> None:
    """Ten seeds each: what is lost before or after it took effect is asked again; reads see it."""
    for seed in range(10 * tens, 10 * tens + 10):
        run_world(seed, calls_under_chaos, parts=Fronts())
