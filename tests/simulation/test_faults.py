"""A crash at the k-th step of each kind, for k = 1, 2, 3, ...; and batching under slow appends."""

import asyncio
from collections.abc import Callable

import pytest

from tests.simulation.world import INTERNAL, Node, World, command, run_world
from tests.support.log_worlds import served, transitions

METHODS = "Add Add Offer Refuse Later Break"


def _at(count: int, crash: Callable[[], object]) -> Callable[[], object]:
    """Return a hook that crashes when it is called for the count-th time."""
    left = [count]

    def hook() -> None:
        left[0] -= 1
        if left[0] == 0:
            crash()

    return hook


def _crash_and_revive(world: World, node: Node) -> Callable[[], object]:
    def crash() -> None:
        if node.is_alive:
            world.crash(node)
            world.loop.call_later(0.3, revive)

    def revive() -> None:
        world.add_node(node.disks)
        world.group.rebalance()

    return crash


async def _story(world: World, arm: Callable[[Node, Callable[[], object]], object]) -> None:
    node = await served(world)
    arm(node, _crash_and_revive(world, node))
    await world.load(clients=4, asks=8, methods=METHODS)
    await world.settle()
    world.audit()
    offers = sum(len(each["effects"]) for each in transitions(world))
    assert len(world.performed) >= offers


@pytest.mark.parametrize("count", range(1, 31))
def test_a_crash_at_the_kth_produce(count: int) -> None:
    """Before the records are handed over."""

    async def story(world: World) -> None:
        def arm(node: Node, crash: Callable[[], object]) -> None:
            node.events.before_append = _at(count, crash)

        await _story(world, arm)

    run_world(count, story, partitions=1)


@pytest.mark.parametrize("count", range(1, 31))
def test_a_crash_between_append_and_apply(count: int) -> None:
    """At the k-th write of the store: the log has the records, the store has not."""

    async def story(world: World) -> None:
        def arm(node: Node, crash: Callable[[], object]) -> None:
            node.before_write = _at(count, crash)

        await _story(world, arm)

    run_world(count, story, partitions=1)


@pytest.mark.parametrize("count", range(1, 13))
def test_a_crash_between_apply_and_perform(count: int) -> None:
    """At the k-th effect: it is performed by the next life."""

    async def story(world: World) -> None:
        def arm(node: Node, crash: Callable[[], object]) -> None:
            node.before_perform = _at(count, crash)

        await _story(world, arm)

    run_world(count, story, partitions=1)


@pytest.mark.parametrize("count", range(1, 9))
def test_a_refused_record_in_the_kth_append(count: int) -> None:
    """Part of an append fails: the outcome is unknown, and nothing is doubled."""

    async def story(world: World) -> None:
        def arm(node: Node, _crash: Callable[[], object]) -> None:
            def refuse() -> None:
                node.events.refused = 1.0
                world.loop.call_later(0.02, setattr, node.events, "refused", 0.0)

            node.events.before_append = _at(count, refuse)

        await _story(world, arm)

    run_world(count, story, partitions=1)


def test_batching_50_ms_appends_still_accept_1000_commands_a_second() -> None:
    """One append in flight, the next batch decided meanwhile."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (0.05, 0.05)
        node.consumer.batch_max = 500
        began = world.loop.time()
        for _ in range(100):  # 20 commands each 10 ms: 2,000 a second
            values = [(b"ns/w1", command("w1", "Add", b"1")) for _ in range(20)]
            world.kafka.write(INTERNAL, 0, values)
            await asyncio.sleep(0.01)
        await world.until(lambda: node.history.counts()[0].accepted >= 2_001)
        counts = node.history.counts()[0]
        assert world.loop.time() - began < 1.2
        assert counts.accepted / counts.appends > 50
        world.audit()

    run_world(1, story, partitions=1)


def test_nothing_lingers_when_there_is_nothing_to_batch_with() -> None:
    """One ask alone waits for its two appends, and for nothing else."""

    async def story(world: World) -> None:
        node = await served(world)
        world.kafka.append_s = (0.001, 0.001)
        node.consumer.batch_max = 2
        began = world.loop.time()
        await world.ask("w1", "Add", b"1")
        assert world.loop.time() - began < 0.02

    run_world(2, story, partitions=1)
