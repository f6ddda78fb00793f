"""Contiguity: an append counts only where it was expected, record by record."""

import asyncio

import pytest

from schemas.errors import OutcomeUnknown
from streams.log.append import is_contiguous
from streams.log.ports import Appended
from tests.simulation.world import World, run_world
from tests.support.log_worlds import served


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [([7, 8, 9], True), ([7, 9, 8], False), ([7, -1, 9], False), ([8, 9, 10], False), ([], False)],
)
def test_l4_every_record_stands_where_it_was_expected(
    offsets: list[int], *, expected: bool
) -> None:
    """A failed record and a zombie's must not cancel out."""
    acknowledged = [Appended(offset, 0) for offset in offsets]
    assert expected == is_contiguous(acknowledged, 7, 3)


def test_l4_a_stray_record_between_makes_the_outcome_unknown() -> None:
    """A zombie's record takes the expected offset: nothing is answered, all is claimed anew."""

    async def story(world: World) -> None:
        node = await served(world)
        world.stray(0)
        with pytest.raises(OutcomeUnknown):
            await world.ask_once(node, b"c" * 16, "w1", "Add", b"5")
        assert await world.ask("w1", "Add", b"1") in (b"1", b"6")
        await world.quiet()
        world.audit()

    run_world(1, story, partitions=1)


def test_l4_one_append_is_in_flight_and_the_next_batch_is_decided_meanwhile() -> None:
    """Asks that come while an append is in flight go out together in the next one."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (0.5, 0.5)
        before = node.events.count
        asks = [asyncio.create_task(world.ask(f"w{n}", "Add", b"1")) for n in range(40)]
        await asyncio.gather(*asks)
        assert node.events.count - before == 2
        world.audit()

    run_world(2, story, partitions=1)


def test_l4_a_batch_that_fails_while_the_next_is_decided_answers_nothing() -> None:
    """Everything in flight and decided fails; nothing answered is missing from the log."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (0.2, 0.2)
        node.events.refused = 1.0
        asks = [asyncio.create_task(world.ask(f"w{n % 7}", "Add", b"1")) for n in range(60)]
        await asyncio.sleep(1.0)
        node.events.refused = 0.0
        await asyncio.gather(*asks)
        await world.quiet()
        world.audit()
        assert node.history.counts()[0].unknown >= 1

    run_world(3, story, partitions=1)


def test_l4_the_claim_must_still_hold_when_the_acknowledgement_is_looked_at() -> None:
    """After a jump of the generation the reader may have folded these very records."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (0.3, 0.3)
        asked = asyncio.create_task(world.ask("w1", "Add", b"1"))
        await world.until(lambda: node.events.count >= 2)
        world.group.rebalance(step=2)
        await asked
        await world.quiet()
        world.audit()

    run_world(4, story, partitions=1)
