"""The check that replaying equals deciding, in a running server (L7)."""

import asyncio

import pytest
from structlog.testing import capture_logs

from schemas.errors import ServiceError
from streams.log.settings import EngineSettings
from tests.simulation.world import Parts, World, run_world
from tests.support.log_toy import Toy
from tests.support.log_worlds import served, transitions
from topology.decision import Ask, Decision

CHECKED = EngineSettings(append_timeout_s=3.0, flight_timeout_s=6.0, check_replay=True)


class Liar(Toy):
    """A core whose decisions write rows that their facts do not make."""

    def decide(self, ask: Ask, *, now: int, seed: bytes) -> Decision:
        """Decide; of one workflow id, wrongly."""
        decision = super().decide(ask, now=now, seed=seed)
        if ask.workflow_id == "liar":
            decision.rows = dict.fromkeys(decision.rows, b"nonsense")
        return decision


class Lies(Parts):
    """A world of liars."""

    make_machine = staticmethod(Liar)


def test_l7_the_check_passes_under_load_and_restarts() -> None:
    """Every record is folded twice, and nobody notices."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.load(clients=4, asks=20)
        world.restart(node)
        await world.load(clients=4, asks=20)
        await world.quiet()
        world.audit()

    run_world(51, story, partitions=2, settings=CHECKED)


def test_l7_a_partition_stops_rather_than_lie() -> None:
    """The transition is named, nothing of its batch is answered or stored, the node stops."""

    async def story(world: World) -> None:
        node = await served(world)
        assert await world.ask("honest", "Add", b"1")
        world.expects_faults = True
        with capture_logs() as logs, pytest.raises((ServiceError, TimeoutError)):
            await world.ask("liar", "Add", b"1", timeout_s=30.0)
        assert "gives another row" in node.faults[0]
        (told,) = [each for each in logs if each["event"] == "replay_differs"]
        assert told["log_level"] == "critical"
        assert "nonsense" in told["live"]
        assert "liar" in told["transitions"][0]
        assert len(transitions(world)) == 2
        assert b"nonsense" not in node.disks[0].rows.values()

    run_world(52, story, partitions=1, settings=CHECKED, parts=Lies())


def test_l7_what_was_folded_by_reading_is_read_anew() -> None:
    """After an unknown outcome the rows come from a reader, behind the second core's back."""

    async def story(world: World) -> None:
        node = await served(world)
        assert await world.ask("w1", "Add", b"1")
        node.events.lost_acks = 1.0
        asked = asyncio.create_task(world.ask("w1", "Add", b"5"))
        await asyncio.sleep(0.1)
        node.events.lost_acks = 0.0
        assert await asked
        assert await world.ask("w1", "Add", b"7")
        await world.quiet()
        world.audit()

    run_world(53, story, partitions=1, settings=CHECKED)
