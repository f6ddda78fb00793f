"""V6 and the Auditor: nothing that was answered is lost or doubled, whenever the server dies."""

import time
from pathlib import Path

import pytest

from tests.chaos.kill_rounds import kill_rounds

ROUNDS = 30
SEED = 20_261_125
LIMIT_S = 420.0


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 180)
async def test_v6_nothing_is_lost_or_doubled_by_kill_9(tmp_path: Path) -> None:
    """30 kills at random points under load; the auditor finds no difference."""
    end_at = time.monotonic() + LIMIT_S
    verdict = await kill_rounds(tmp_path, rounds=ROUNDS, seed=SEED, end_at=end_at)
    assert verdict.problems == [], verdict.summary
    assert verdict.summary.startswith(f"{ROUNDS} rounds: ")
