"""Hundreds of schedules of every fault: exactly once, and stores that are the log's fold."""

import pytest

from tests.simulation.chaos import chaos
from tests.simulation.world import run_world


@pytest.mark.parametrize("tens", range(8))
def test_exactly_once_under_every_fault(tens: int) -> None:
    """Ten seeds each; a failing one prints itself and the log."""
    for seed in range(10 * tens, 10 * tens + 10):
        run_world(seed, chaos)


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(1, 8))
def test_exactly_once_under_every_fault_many_times(hundred: int) -> None:
    """A hundred seeds each."""
    for seed in range(100 * hundred, 100 * hundred + 100):
        run_world(seed, chaos)
