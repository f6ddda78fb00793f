"""Children, messages between workflows, chains, cron and retries under kill -9, and their audit."""

import time
from pathlib import Path

import pytest

from tests.chaos.family_rounds import family_rounds

ROUNDS = 20
SEED = 20_261_126
LIMIT_S = 300.0


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 240)
async def test_v6_families_and_chains_outlive_kill_9(tmp_path: Path) -> None:
    """20 kills at random points; nothing is started, signalled or continued twice, or lost."""
    end_at = time.monotonic() + LIMIT_S
    verdict = await family_rounds(tmp_path, rounds=ROUNDS, seed=SEED, end_at=end_at)
    assert verdict.problems == [], verdict.summary
    assert verdict.summary.startswith(f"{ROUNDS} rounds: ")
