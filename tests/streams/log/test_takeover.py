"""Claims: who may write, when, and on which log."""

import asyncio

import pytest

from schemas.errors import NotTheOwner, OutcomeUnknown
from streams.log.position import Source
from streams.log.settings import EngineSettings
from streams.log.takeover import lowered_sources
from tests.simulation.world import EVENTS, INTERNAL, World, run_world
from tests.support.log_worlds import claims, served, source, transitions


def test_l3_nothing_is_served_before_the_claim_is_acknowledged() -> None:
    """While the claim is in flight the node is not the owner."""

    async def story(world: World) -> None:
        world.kafka.append_s = (0.5, 0.5)
        world.start()
        await asyncio.sleep(0.4)
        with pytest.raises(NotTheOwner):
            world.nodes[0].history.origin(0)
        assert not world.nodes[0].history.wants(INTERNAL, 0)
        await world.quiet()
        assert world.nodes[0].history.origin(0).epoch == 1

    run_world(1, story, partitions=1)


def test_l3_a_hole_is_sought_back_never_skipped() -> None:
    """A reader that loses what it fetched folds all the same, in the end."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.load(clients=4, asks=20)
        world.crash(node)
        fresh = world.add_node()
        fresh.readers.holes = 0.5
        world.group.rebalance()
        await world.quiet()
        world.audit()
        assert len(claims(world)) == 2

    run_world(2, story, partitions=1)


def test_l5_the_next_generation_goes_on_under_the_old_claim() -> None:
    """Generation + 1: nobody else can have had the partition."""

    async def story(world: World) -> None:
        node = await served(world)
        origin = node.history.origin(0)
        world.group.rebalance(step=1)
        assert node.history.origin(0) == origin
        assert await world.ask("w1", "Add", b"1")
        assert node.history.origin(0) == origin

    run_world(3, story, partitions=1)


@pytest.mark.parametrize("step", [0, 2, -1])
def test_l5_any_other_generation_claims_anew(step: int) -> None:
    """The same number twice included."""

    async def story(world: World) -> None:
        node = await served(world)
        origin = node.history.origin(0)
        world.group.rebalance(step=step)
        with pytest.raises(NotTheOwner):
            node.history.origin(0)
        await world.quiet()
        assert node.history.origin(0).epoch > origin.epoch

    run_world(4, story, partitions=1)


def test_l5_an_unknown_outcome_reads_to_the_end_and_claims() -> None:
    """A lost acknowledgement: the caller hears so, asks again, and is told what happened."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.lost_acks = 1.0
        asked = asyncio.create_task(
            world.ask_once(node, b"c" * 16, "w1", "Add", b"5"),
        )
        await asyncio.sleep(0.1)
        node.events.lost_acks = 0.0
        with pytest.raises(OutcomeUnknown):
            await asked
        await world.quiet()
        again = await world.ask_once(node, b"c" * 16, "w1", "Add", b"5")
        assert again == b"again done w1"
        assert sum(len(each["answers"]) for each in transitions(world)) == 1
        assert node.history.counts()[0].unknown == 1

    run_world(5, story, partitions=1)


def test_l5_fenced_serves_nothing_and_claims_after_a_heartbeat() -> None:
    """Somebody else's claim is seen: nothing is served for 1 to 3 s, then claimed again."""

    async def story(world: World) -> None:
        node = await served(world)
        world.foreign_claim(0)
        with pytest.raises(OutcomeUnknown):
            await world.ask_once(node, b"c" * 16, "w1", "Add", b"5")
        began = world.loop.time()
        await asyncio.sleep(0.5)
        with pytest.raises(NotTheOwner):
            node.history.origin(0)
        await world.quiet()
        assert 0.9 < world.loop.time() - began < 4.0
        assert node.history.counts()[0].fenced == 1
        assert [each["node"] for each in claims(world)][-2:] == ["x", "node"]

    run_world(6, story, partitions=1)


def test_l5_a_takeover_waits_for_its_own_appends_in_flight() -> None:
    """An append that is late is waited for before the next claim."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (4.0, 4.0)
        asked = asyncio.create_task(world.ask_once(node, b"c" * 16, "w1", "Add", b"5"))
        await asyncio.sleep(3.5)
        node.events.append_s = None
        with pytest.raises(OutcomeUnknown):
            await asked
        await world.quiet()
        counts = node.history.counts()[0]
        assert (counts.claims, counts.claims_lost, counts.unknown) == (2, 0, 1)

    run_world(7, story, partitions=1)


def test_l6_a_log_that_lost_its_tail_is_folded_anew() -> None:
    """The store knows a record that the log lost: it is discarded."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.load(clients=3, asks=10, methods="Add")
        world.kafka.log(EVENTS, 0).tear(5)
        world.journal.entries.clear()
        node = world.restart(node)
        await world.quiet()
        assert node.history.counts()[0].discards == 1
        world.audit()

    run_world(8, story, partitions=1)


def test_l6_a_topic_made_anew_is_folded_anew() -> None:
    """Another topic id: the store is discarded, and the commands are decided again."""

    async def story(world: World) -> None:
        await served(world)
        await world.load(clients=3, asks=10, methods="Add")
        world.kafka.recreate(EVENTS)
        world.group.rebalance(step=2)
        await world.quiet()
        assert world.nodes[0].history.counts()[0].discards == 1
        assert sum(len(each["answers"]) for each in transitions(world)) == 30
        world.audit()

    run_world(9, story, partitions=1)


def test_l6_a_claim_lowers_the_source_of_a_command_topic_made_anew() -> None:
    """Only a claim may lower a source."""

    async def story(world: World) -> None:
        await served(world)
        await world.load(clients=3, asks=10, methods="Add")
        world.kafka.recreate(INTERNAL)
        world.group.rebalance(step=2)
        await world.quiet()
        assert source(claims(world)[-1]) == -1
        assert await world.ask("w1", "Add", b"1")
        assert source(transitions(world)[-1]) == 0

    run_world(10, story, partitions=1)


def test_l6_an_end_below_the_source_sets_it_to_that_end() -> None:
    """Sources are lowered only where they must be."""
    sources = {"a": Source("1", 9), "b": Source("1", 4), "c": Source("1", 4)}
    ends = {"a": Source("1", 5), "b": Source("1", 4), "c": Source("2", 7), "d": Source("1", 0)}
    expected = {"a": Source("1", 5), "c": Source("2", -1)}
    assert expected == lowered_sources(sources, ends)


def test_l7_a_log_that_starts_above_what_is_needed_stops_the_partition() -> None:
    """V2: a fresh store needs the log from its beginning."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.load(clients=2, asks=5, methods="Add")
        world.crash(node)
        world.kafka.log(EVENTS, 0).trim(3)
        world.expects_faults = True
        fresh = world.add_node()
        world.group.rebalance()
        await asyncio.sleep(1.0)
        assert "records that are needed were deleted" in fresh.faults[0]

    run_world(11, story, partitions=1)


def test_l7_a_fold_that_raises_stops_the_process() -> None:
    """An unreadable record on `events` is never skipped."""

    async def story(world: World) -> None:
        node = await served(world)
        world.kafka.write(EVENTS, 0, [(None, b"rubbish")])
        world.expects_faults = True
        world.group.rebalance(step=2)
        await asyncio.sleep(1.0)
        expected = (
            "events-0: cannot fold the record at offset 1: expected a claim or a transition: "
            "expected Avro single-object encoding, found 72756262697368..."
        )
        assert node.faults == [expected]

    run_world(12, story, partitions=1)


def test_l11_a_recorded_partition_count_that_differs_stops_the_process() -> None:
    """The settings of a node must agree with what its log says."""

    async def story(world: World) -> None:
        node = await served(world)
        world.crash(node)
        world.expects_faults = True
        world.settings = EngineSettings(generation=2)
        again = world.add_node()
        world.group.rebalance()
        await asyncio.sleep(1.0)
        assert "expected generation 2 with 1 partitions, found generation 1" in again.faults[0]

    run_world(13, story, partitions=1)


def test_c1_a_claim_is_above_every_epoch_in_owners_and_is_written_there() -> None:
    """An epoch that only `owners` knows is not used again."""

    async def story(world: World) -> None:
        world.owners[0] = 41
        await served(world)
        assert claims(world)[0]["epoch"] == 42
        await asyncio.sleep(0.1)
        assert world.owners[0] == 42

    run_world(14, story, partitions=1)
