"""The log is the outbox: effects after acceptance, at least once, until they are done (L15)."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine

from schemas.errors import Unavailable
from streams.log.forwarding import Forwarding
from streams.log.outbox import Outbox
from streams.log.outbox_rows import PREFIX
from tests.simulation.clockwork import Clockwork
from tests.simulation.kafka import Kafka, SimProducer
from tests.simulation.world import SimRandom, ToyPerformer, World, run_world
from tests.support.log_worlds import served, transitions
from topology.effects import Effect, OfferTask


def _task(queue: str, number: int) -> OfferTask:
    return OfferTask("n", "n", queue, "workflow", "w", "r", number, 1, 0, 0, 0)


class _Performer:
    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.futures: dict[tuple[str, int], asyncio.Future[None]] = {}

    def perform(self, partition: int, effect: Effect) -> Awaitable[None] | None:
        del partition
        assert isinstance(effect, OfferTask)
        key = (effect.queue, effect.scheduled_event_id)
        self.begun.append(key)
        self.futures[key] = asyncio.get_running_loop().create_future()
        return self.futures[key]


def _in_clockwork(story: Callable[[], Coroutine[None, None, None]]) -> None:
    loop = Clockwork()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()


def _outbox(performer: _Performer) -> Outbox:
    chance = SimRandom(random.Random(1))
    commands = SimProducer(Kafka(random.Random(1)), "commands-internal")
    forwarding = Forwarding("1/0", commands, chance, quoted=lambda _quotes: [])
    return Outbox(0, performer, chance, forwarding=forwarding, wake=lambda: None)


def test_l15_performed_is_a_low_water_mark() -> None:
    """The seq up to which all effects are done."""

    async def story() -> None:
        performer = _Performer()
        outbox = _outbox(performer)
        outbox.accepted(9)
        outbox.add(3, [_task("a", 1), _task("a", 2)])
        outbox.add(7, [_task("b", 3)])
        assert outbox.performed() == 2
        performer.futures["b", 3].set_result(None)
        performer.futures["a", 1].set_result(None)
        await asyncio.sleep(0)
        assert (outbox.performed(), outbox.take_done()) == (2, [7])
        performer.futures["a", 2].set_result(None)
        await asyncio.sleep(0)
        assert (outbox.performed(), outbox.take_done(), outbox.is_empty()) == (9, [3], True)

    _in_clockwork(story)


def test_l15_a_failure_holds_back_its_destination_and_no_other() -> None:
    """Order holds for each destination; others go on."""

    async def story() -> None:
        performer = _Performer()
        outbox = _outbox(performer)
        outbox.add(1, [_task("a", 1)])
        performer.futures["a", 1].set_exception(Unavailable("not now"))
        await asyncio.sleep(0)
        outbox.add(2, [_task("a", 2), _task("b", 3)])
        assert performer.begun == [("a", 1), ("b", 3)]
        await asyncio.sleep(1.0)
        assert performer.begun == [("a", 1), ("b", 3), ("a", 1), ("a", 2)]

    _in_clockwork(story)


def test_l15_effects_leave_after_their_record_is_accepted() -> None:
    """Not while the append is in flight."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (1.0, 1.0)
        asked = asyncio.create_task(world.ask("w1", "Offer", b"3"))
        await asyncio.sleep(0.9)
        assert world.performed == []
        await asked
        await world.quiet()
        assert len(world.performed) == 3

    run_world(1, story, partitions=1)


def test_l15_what_is_done_is_deleted_and_told_by_later_transitions() -> None:
    """`performed` rises, and rows go."""

    async def story(world: World) -> None:
        node = await served(world)
        for _ in range(5):
            await world.ask("w1", "Offer", b"2")
            await world.quiet()
        await world.ask("w1", "Add", b"1")
        last = transitions(world)[-1]
        assert last["performed"] == last["seq"] - 1
        assert not [key for key in node.disks[0].keys if key.startswith(PREFIX)]

    run_world(2, story, partitions=1)


def test_l15_a_new_owner_performs_what_is_left_again() -> None:
    """Also one that folds the log from nothing."""

    async def story(world: World) -> None:
        node = await served(world)
        assert isinstance(node.performer, ToyPerformer)
        node.performer.fails = 1.0
        await world.ask("w1", "Offer", b"3")
        world.crash(node)
        assert world.performed == []
        world.add_node()
        world.group.rebalance()
        await world.quiet()
        assert len(world.performed) == 3

    run_world(3, story, partitions=1)


def test_l15_a_performer_that_is_done_at_once_needs_no_task() -> None:
    """None: it is done already."""

    async def story(world: World) -> None:
        node = await served(world)
        assert isinstance(node.performer, ToyPerformer)
        node.performer.is_instant = True
        await world.ask("w1", "Offer", b"3")
        assert len(world.performed) == 3

    run_world(4, story, partitions=1)
