"""Deletion of runs and of a namespace by the real core, on the real engine, under every fault."""

import pytest

from tests.simulation.deletions import Deletions, deletions_under_chaos
from tests.simulation.world import run_world


@pytest.mark.parametrize("fives", range(4))
def test_n1_what_is_deleted_goes_once_and_leaves_nothing(fives: int) -> None:
    """Five seeds each; a failing one prints itself and the log."""
    for seed in range(5 * fives, 5 * fives + 5):
        run_world(seed, deletions_under_chaos, partitions=3, parts=Deletions())
