"""Due timers: bounded batches, one wake-up, and what they wait for."""

import asyncio

import pytest

from tests.simulation.stores import Disk, SimStore
from tests.simulation.world import INTERNAL, World, command, run_world
from tests.support.log_toy import counter
from tests.support.log_worlds import claims, served, transitions

SECOND = 1_000_000_000


def _fired(world: World) -> list[int]:
    return [
        each["decided_at"]
        for each in transitions(world)
        for change in each["changes"]
        for _, fact in change["facts"]
        if fact["name"] == "Fired"
    ]


def test_t1_a_timer_fires_at_its_instant() -> None:
    """Not before, and at once."""

    async def story(world: World) -> None:
        await served(world)
        await world.ask("w1", "Later", str(30 * SECOND).encode())
        asked_at = transitions(world)[0]["decided_at"]
        await asyncio.sleep(29.9)
        assert _fired(world) == []
        await asyncio.sleep(0.3)
        (fired_at,) = _fired(world)
        assert 0 <= fired_at - asked_at - 30 * SECOND < SECOND // 20

    run_world(1, story, partitions=1)


def test_t1_a_timer_that_was_due_while_the_node_was_down_fires_at_once() -> None:
    """Exact across restarts."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.ask("w1", "Later", str(5 * SECOND).encode())
        world.crash(node)
        await asyncio.sleep(60.0)
        world.add_node(node.disks)
        world.group.rebalance()
        await world.quiet()
        await asyncio.sleep(0.1)
        assert len(_fired(world)) == 1

    run_world(2, story, partitions=1)


def test_t1_a_clock_that_was_set_back_delays_no_timer_for_long() -> None:
    """Half speed: a timer of 10 s takes at most 20."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.ask("w1", "Later", str(10 * SECOND).encode())
        node.clock.wall_ahead_s = -3_600.0
        await asyncio.sleep(21.0)
        assert len(_fired(world)) == 1

    run_world(3, story, partitions=1)


def test_t1_a_suspended_machine_claims_again_and_keeps_who_waits() -> None:
    """Monotonic time fell behind: one claim for a fresh append time, and timers fire."""

    async def story(world: World) -> None:
        node = await served(world)
        watch = node.history.watch(0, "w1")
        await world.ask("w2", "Later", str(300 * SECOND).encode())
        node.clock.suspended_s += 290.0
        await asyncio.sleep(11.0)
        await world.quiet()
        assert len(claims(world)) == 2
        assert not watch.done()
        await world.ask("w1", "Add", b"1")
        assert watch.done()
        await asyncio.sleep(300.0)
        assert len(_fired(world)) == 1
        assert len(claims(world)) == 2

    run_world(4, story, partitions=1)


def test_t2_commands_that_were_there_at_the_claim_are_decided_before_timers_fire() -> None:
    """A heartbeat that waits there must count."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.ask("w1", "Later", str(5 * SECOND).encode())
        world.crash(node)
        await asyncio.sleep(60.0)
        values = [(b"ns/w1", command("w1", "Add", b"1")) for _ in range(300)]
        world.kafka.write(INTERNAL, 0, values)
        world.add_node(node.disks)
        world.group.rebalance()
        await world.until(lambda: _fired(world))
        order = [each["changes"][0]["facts"][0][1]["name"] for each in transitions(world)]
        assert order.index("Fired") == 301

    run_world(5, story, partitions=1)


@pytest.mark.parametrize("tells_end", [True, False])
def test_t2_the_end_of_commands_may_be_a_control_record(*, tells_end: bool) -> None:
    """The gate opens by position, or where the reader does not tell it, after silence."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.ask("w1", "Later", str(5 * SECOND).encode())
        world.crash(node)
        world.kafka.log("commands", 0).records.append(None)
        await asyncio.sleep(60.0)
        again = world.add_node(node.disks)
        again.consumer.tells_end = tells_end
        world.group.rebalance()
        began = world.loop.time()
        await world.until(lambda: _fired(world))
        assert (world.loop.time() - began < 3.0) == tells_end

    run_world(6, story, partitions=1)


def test_t2_20000_timers_of_one_instant_starve_nobody() -> None:
    """One transition each at most, and a command between them is answered at once."""

    async def story(world: World) -> None:
        node = await served(world)
        node.consumer.batch_max = 500
        node.events.append_s = (0.001, 0.001)
        values = [
            (b"ns/w", command(f"t{n}", "Later", str(20 * SECOND - n * 1_000).encode()))
            for n in range(20_000)
        ]
        world.kafka.write(INTERNAL, 0, values)
        await world.until(lambda: node.history.counts()[0].commands >= 20_000)
        await world.quiet()
        await world.until(lambda: _is_firing(world))
        began = world.loop.time()
        await world.ask("w1", "Add", b"1")
        assert world.loop.time() - began < 0.05
        assert node.history.counts()[0].accepted < 39_000
        await asyncio.sleep(10.0)
        await world.quiet()
        counts = node.history.counts()[0]
        assert counts.accepted == 1 + 20_000 + 20_000 + 1
        assert counts.stale == 0

    def _is_firing(world: World) -> bool:
        return world.nodes[0].history.counts()[0].accepted > 20_100

    run_world(7, story, partitions=1)


def test_t3_no_timer_fires_before_beats_gathered_earlier_are_decided() -> None:
    """A parked beat holds its workflow's timers back, and nobody else's."""

    async def story(world: World) -> None:
        node = await served(world)
        for name in ("w1", "w2"):
            await world.ask(name, "Later", str(5 * SECOND).encode())
        parked = node.history.park(0, b"b" * 16, hold=("ns", "w1"))
        await asyncio.sleep(6.0)
        rows = SimStore(_open(node.disks[0]), lambda: True, lambda: None)
        assert (counter(rows, "w1").fired, counter(rows, "w2").fired) == (0, 1)
        value = command("w1", "Beat", b"1", command_id=b"b" * 16)
        world.kafka.write(INTERNAL, 0, [(b"ns/w1", value)])
        await parked
        await asyncio.sleep(0.1)
        assert counter(rows, "w1").fired == 1

    run_world(8, story, partitions=1)


def _open(disk: Disk) -> Disk:
    disk.is_open = False
    return disk
