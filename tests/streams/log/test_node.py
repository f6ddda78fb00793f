"""The door: reads, waiters, rebalances, trimming, the planned stop."""

import asyncio

import pytest

from schemas.errors import NotFound, NotTheOwner, OutcomeUnknown, ResourceExhausted, ServiceError
from streams.log.settings import EngineSettings
from tests.simulation.world import EVENTS, INTERNAL, OUTSIDE, World, command, run_world
from tests.support.log_worlds import claims, served


def test_r1_a_read_asks_for_the_logs_end_once_for_all_that_wait() -> None:
    """Reads that come while one asks share the next question."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.ask("w1", "Add", b"4")
        before = node.admin.asked_ends
        reads = [node.history.read(0, "", "w1", "") for _ in range(50)]
        assert await asyncio.gather(*reads) == [b"4"] * 50
        assert node.admin.asked_ends - before <= 2
        with pytest.raises(NotFound):
            await node.history.read(0, "", "nothing", "")

    run_world(1, story, partitions=1)


def test_r1_an_append_that_was_handed_over_later_serves_a_read() -> None:
    """Acknowledged in sequence: nobody else has claimed before it."""

    async def story(world: World) -> None:
        node = await served(world)
        world.kafka.question_s = (5.0, 5.0)
        read = asyncio.create_task(node.history.read(0, "", "w1", ""))
        await asyncio.sleep(0)
        await world.ask("w1", "Add", b"4")
        assert await read == b"4"
        assert world.loop.time() < 4.0

    run_world(2, story, partitions=1)


def test_r1_a_state_that_somebody_has_left_behind_answers_nothing() -> None:
    """The log goes on behind what is folded: fold first."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.ask("w1", "Add", b"4")
        world.foreign_claim(0)
        with pytest.raises((NotTheOwner, OutcomeUnknown)):
            await node.history.read(0, "", "w1", "")
        await world.quiet()
        assert node.history.counts()[0].fenced == 1
        assert await node.history.read(0, "", "w1", "") == b"4"

    run_world(3, story, partitions=1)


def test_c3_waiters_are_counted_and_lost_with_the_partition() -> None:
    """Those who wait ask again."""

    async def story(world: World) -> None:
        node = await served(world)
        parked, watch = node.history.park(0, b"c" * 16), node.history.watch(0, "w1")
        assert node.history.waiting_counts() == {"parked": 1, "watching": 1}
        node.history.assigned(set(), set(), 9)
        for future in (parked, watch):
            with pytest.raises(NotTheOwner):
                await future

    run_world(4, story, partitions=1)


def test_c3_waiters_are_bounded() -> None:
    """More than the limit are refused."""

    async def story(world: World) -> None:
        node = await served(world)
        for number in range(3):
            node.history.park(0, bytes([number]) * 16)
        with pytest.raises(ResourceExhausted):
            node.history.park(0, b"x" * 16)

    run_world(5, story, partitions=1, settings=EngineSettings(waiters_max_count=3))


def test_c3_a_watch_is_told_of_the_next_accepted_transition_of_its_run() -> None:
    """And forgets who went away."""

    async def story(world: World) -> None:
        node = await served(world)
        watch, other = node.history.watch(0, "w1"), node.history.watch(0, "w2")
        await world.ask("w1", "Add", b"1")
        assert (watch.done(), other.done()) == (True, False)
        other.cancel()
        await asyncio.sleep(0)
        assert node.history.waiting_counts()["watching"] == 0

    run_world(6, story, partitions=1)


def test_c7_a_rebalance_alone_loses_nothing() -> None:
    """Under the next generation parked commands are answered as if nothing had been."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (0.5, 0.5)
        asked = asyncio.create_task(world.ask_once(node, b"c" * 16, "w1", "Add", b"5"))
        watch = node.history.watch(0, "w1")
        await asyncio.sleep(0.2)
        world.group.rebalance(step=1)
        assert await asked == b"5"
        assert watch.done()
        assert len(claims(world)) == 1

    run_world(7, story, partitions=1)


def test_c7_a_partition_moves_and_comes_back() -> None:
    """Its store is closed in between, and no node serves it twice at once."""

    async def story(world: World) -> None:
        world.start(nodes=2)
        await world.quiet()
        for shift in (1, 0, 1):
            world.group.rebalance(shift=shift)
            await world.load(clients=3, asks=5, methods="Add")
            await world.quiet()
            owners = [node for node in world.nodes if node.history.serves(0)]
            assert len(owners) == 1
        world.audit()

    run_world(8, story)


def test_c7_a_planned_stop_leaves_nothing_accepted_unanswered() -> None:
    """What was appended is decided and answered before it stops."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (0.1, 0.1)
        asked = [
            asyncio.create_task(
                world.ask_once(node, bytes([number]) * 16, f"w{number}", "Add", b"1")
            )
            for number in range(30)
        ]
        await world.until(lambda: node.history.counts()[0].commands >= 5)
        await node.spawn(node.history.stop())
        answers = await asyncio.gather(*asked, return_exceptions=True)
        answered = [each for each in answers if isinstance(each, bytes)]
        lost = [each for each in answers if isinstance(each, ServiceError)]
        assert len(answered) + len(lost) == 30
        assert len(answered) >= 5
        log = world.kafka.log(EVENTS, 0)
        assert log.end == 1 + len(answered)

    run_world(9, story, partitions=1)


def test_v2_the_command_topics_are_trimmed_below_the_previous_trimmings_source() -> None:
    """`commands-internal` at once, `commands` not younger than its keep time."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.load(clients=2, asks=10, methods="Add")
        values = [(b"ns/w1", command("w1", "Add", b"1")) for _ in range(5)]
        world.kafka.write(OUTSIDE, 0, values)
        await asyncio.sleep(70.0)
        assert world.kafka.log(INTERNAL, 0).start == 0
        await asyncio.sleep(60.0)
        assert world.kafka.log(INTERNAL, 0).start == 20
        assert world.kafka.log(OUTSIDE, 0).start == 0
        await asyncio.sleep(1_000.0)
        assert world.kafka.log(OUTSIDE, 0).start == 5
        node = world.restart(node)
        await world.quiet()
        assert await world.ask("w1", "Add", b"1")
        world.audit()

    run_world(10, story, partitions=1, settings=EngineSettings(commands_keep_s=600.0))


def test_a_partition_that_is_not_here_says_so() -> None:
    """Nothing was appended: ask the owner."""

    async def story(world: World) -> None:
        node = await served(world)
        for ask in (
            lambda: node.history.origin(5),
            lambda: node.history.park(5, b"c"),
            lambda: node.history.watch(5, "r"),
        ):
            with pytest.raises(NotTheOwner):
                ask()
        assert node.history.position(INTERNAL, 5) == 0

    run_world(11, story, partitions=1)
