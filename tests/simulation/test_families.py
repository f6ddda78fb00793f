"""Children and external signals of the real core, on the real engine, under every fault."""

import pytest

from tests.simulation.families import Families, families_under_chaos
from tests.simulation.world import run_world


@pytest.mark.parametrize("fives", range(6))
def test_l16_no_child_begins_twice_and_no_signal_arrives_twice(fives: int) -> None:
    """Five seeds each; a failing one prints itself and the log."""
    for seed in range(5 * fives, 5 * fives + 5):
        run_world(seed, families_under_chaos, partitions=3, parts=Families())
