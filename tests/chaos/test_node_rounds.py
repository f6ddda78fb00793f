"""Three nodes on one real Kafka: nothing that anybody was told is lost or doubled (Auditor)."""

from pathlib import Path

import pytest

from tests.chaos.node_rounds import node_rounds
from tests.support.kafka_real import real_kafka, why_absent

SECONDS = 60.0
SEED = 20_261_126


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_v6_c2_c7_nothing_is_lost_or_doubled_by_three_nodes(tmp_path: Path) -> None:
    """Kill -9, SIGSTOP longer than the session, SIGTERM, under gRPC and Kafka clients."""
    if reason := why_absent():
        pytest.skip(reason)
    with real_kafka(tmp_path / "kafka") as kafka:
        verdict = await node_rounds(
            tmp_path, kafka, seed=SEED, is_over=lambda _, seconds: seconds >= SECONDS
        )
    assert verdict.problems == [], verdict.summary
    for happened in ("kill", "freeze", "stop", "signal aborted", "start done"):
        assert happened in verdict.summary
