"""Batches of the command topics: nothing missing, nothing twice (L10)."""

import asyncio

import pytest

from streams.log.counts import Counts
from streams.log.faults import LogFault
from streams.log.intake import Intake
from streams.log.ports import CommandBatch, Record
from tests.simulation.world import INTERNAL, OUTSIDE, World, command, run_world
from tests.support.log_worlds import served


class _Topics:
    def __init__(self) -> None:
        self.sought: list[tuple[str, int, int]] = []

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self.sought.append((topic, partition, offset))

    def last_heartbeat(self) -> float:
        return 0.0


def _intake(wanted: int = 10) -> tuple[Intake, _Topics]:
    intake = Intake(0, Counts(), gate_timeout_s=5.0)
    wanting = {INTERNAL: wanted, OUTSIDE: wanted}
    intake.begin(wanting, {INTERNAL: 0, OUTSIDE: 0}, at=0.0)
    return intake, _Topics()


def _batch(start: int, *offsets: int, topic: str = INTERNAL, end: int = -1) -> CommandBatch:
    return CommandBatch(topic, 0, start, [Record(each, b"", b"", 0) for each in offsets], end)


def test_l10_a_batch_that_begins_behind_what_is_wanted_is_sought_back_once() -> None:
    """And all is refused until one fits."""
    intake, topics = _intake()
    assert not intake.offer(_batch(12, 12, 13), topics, at=0.0)
    assert not intake.offer(_batch(14, 14), topics, at=0.1)
    assert topics.sought == [(INTERNAL, 0, 10)]
    assert intake.offer(_batch(10, 10, 11), topics, at=0.2)
    assert (intake.wanted(INTERNAL), intake.backlog()) == (12, 2)


def test_l10_a_seek_that_went_astray_is_repeated() -> None:
    """After a second a batch that does not fit is sought back again."""
    intake, topics = _intake()
    intake.offer(_batch(12, 12), topics, at=0.0)
    intake.offer(_batch(13, 13), topics, at=1.5)
    assert topics.sought == [(INTERNAL, 0, 10)] * 2


def test_l10_what_is_covered_already_is_skipped() -> None:
    """A batch that was handed over twice, or read again from further back."""
    intake, topics = _intake()
    assert intake.offer(_batch(8, 8, 9, 10, 11), topics, at=0.0)
    assert intake.offer(_batch(10, 10, 11, 12), topics, at=0.0)
    assert (intake.wanted(INTERNAL), intake.backlog()) == (13, 3)


def test_l10_missing_offsets_behind_a_fitting_position_are_real_gaps() -> None:
    """On `commands`: control records and aborted transactions."""
    intake, topics = _intake()
    assert intake.offer(_batch(10, 14, 17, topic=OUTSIDE), topics, at=0.0)
    assert (intake.wanted(OUTSIDE), intake.backlog()) == (18, 2)


def test_l10_a_gap_on_commands_internal_is_a_fault() -> None:
    """L7: that topic is dense."""
    intake, topics = _intake()
    with pytest.raises(LogFault, match="expected offset 10, found 14"):
        intake.offer(_batch(10, 14), topics, at=0.0)


def test_l10_every_dropped_repeated_and_rewound_batch_is_survived() -> None:
    """A reader that does all of it, half of the time."""

    async def story(world: World) -> None:
        node = await served(world)
        consumer = node.consumer
        consumer.dropped = consumer.repeated = consumer.rewound = 0.5
        await world.load(clients=5, asks=20)
        await world.settle()
        world.audit()
        assert node.history.counts()[0].rewinds > 5

    run_world(1, story, partitions=1)


def test_l10_control_records_on_commands_are_passed_over() -> None:
    """Aborted transactions leave holes that are no holes."""

    async def story(world: World) -> None:
        node = await served(world)
        log = world.kafka.log(OUTSIDE, 0)
        for number in range(20):
            log.records.append(None)
            if number % 3 == 0:
                world.kafka.write(OUTSIDE, 0, [(b"ns/w1", command("w1", "Add", b"1"))])
        await world.until(lambda: node.history.counts()[0].commands >= 7)
        await world.quiet()
        assert node.history.counts()[0].rewinds == 0

    run_world(2, story, partitions=1)


def test_no_more_is_wanted_while_the_backlog_is_long() -> None:
    """Back-pressure: 2,000 undecided commands."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (1.0, 1.0)
        node.consumer.batch_max = 500
        values = [(b"ns/w1", command("w1", "Add", b"1")) for _ in range(8_000)]
        world.kafka.write(INTERNAL, 0, values)
        wanted = []
        for _ in range(40):
            await asyncio.sleep(0.02)
            wanted.append(node.history.wants(INTERNAL, 0))
        assert not wanted[-1]
        assert node.history.position(INTERNAL, 0) < 5_000
        await world.quiet(timeout_s=30.0)
        await world.until(lambda: node.history.counts()[0].commands >= 8_000)
        await world.quiet()
        world.audit()

    run_world(3, story, partitions=1)
