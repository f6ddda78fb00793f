"""Commands become records: sources, answers, repeats, poison, size."""

import asyncio

import pytest

from schemas.codec import COMMAND
from schemas.errors import (
    FailedPrecondition,
    Internal,
    NamespaceNotFound,
    NotFound,
    OutcomeUnknown,
    Stale,
)
from schemas.ids import workflow_partition
from streams.log.settings import EngineSettings
from tests.simulation.forwarded import quiet
from tests.simulation.world import INTERNAL, OUTSIDE, Node, World, command, run_world
from tests.support import log_toy
from tests.support.log_worlds import letters, served, source, transitions
from topology.decision import Ask


def _own(method: str, name: str = "w1", request: object = 3) -> Ask:
    return Ask(method, log_toy.NAMESPACE, name, request)


def _internal(world: World, *values: bytes) -> None:
    world.kafka.write(INTERNAL, 0, [(b"ns/w1", value) for value in values])


def _outside(world: World, *values: bytes | None, partition: int = 0) -> None:
    world.kafka.write(OUTSIDE, partition, [(b"ns/w1", value) for value in values])


async def _counted(world: World, count: int, partition: int = 0) -> None:
    await world.until(lambda: len(transitions(world, partition)) >= count)
    await world.quiet()


def test_l0_own_work_carries_unchanged_sources() -> None:
    """What the owner does of itself needs no record on a command topic."""

    async def story(world: World) -> None:
        node = await served(world)
        assert await node.history.own_work(0, _own("Own")) == b"3"
        assert transitions(world)[0]["sources"] == []
        assert world.kafka.log(INTERNAL, 0).end == 0

    run_world(1, story, partitions=1)


def test_l8_a_source_covers_the_refused_commands_before_it() -> None:
    """A refusal writes nothing; the next transition covers it."""

    async def story(world: World) -> None:
        await served(world)
        _internal(world, *(command("w1", method, b"1") for method in ("Refuse", "Refuse", "Add")))
        await _counted(world, 1)
        assert [source(each) for each in transitions(world)] == [2]

    run_world(2, story, partitions=1)


def test_l8_a_batch_that_ends_in_refusals_ends_with_one_that_only_advances_sources() -> None:
    """So a restart does not decide them again."""

    async def story(world: World) -> None:
        node = await served(world)
        node.consumer.batch_max = 100
        _internal(world, *(command("w1", method, b"1") for method in ("Add", "Refuse", "Refuse")))
        await _counted(world, 2)
        found = [(source(each), len(each["changes"])) for each in transitions(world)]
        assert found == [(0, 1), (2, 0)]

    run_world(3, story, partitions=1)


def test_l9_no_refusal_leaves_before_the_record_that_covers_it() -> None:
    """A refusal is told only when the log says that its command was read."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (1.0, 1.0)
        asked = asyncio.create_task(world.ask_once(node, b"c" * 16, "w1", "Refuse", b"1"))
        await asyncio.sleep(0.9)
        assert not asked.done()
        with pytest.raises(FailedPrecondition):
            await asked
        assert source(transitions(world)[-1]) == 0

    run_world(4, story, partitions=1)


def test_l9_own_work_that_is_refused_waits_for_what_its_decision_saw() -> None:
    """The owner's own work is refused no sooner than what it saw is accepted."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.append_s = (1.0, 1.0)
        began = world.loop.time()
        first = asyncio.create_task(node.history.own_work(0, _own("Own")))
        await asyncio.sleep(0.1)
        looked = asyncio.create_task(node.history.own_work(0, _own("Look")))
        assert await looked == b"3"
        assert world.loop.time() - began >= 1.0
        await first
        with pytest.raises(Stale):
            await node.history.own_work(0, _own("FireDue"))

    run_world(5, story, partitions=1)


def test_l12_a_repeat_is_answered_again_and_not_executed() -> None:
    """The same command id twice: one transition with it, two answers."""

    async def story(world: World) -> None:
        node = await served(world)
        assert await world.ask_once(node, b"c" * 16, "w1", "Add", b"5") == b"5"
        assert await world.ask_once(node, b"c" * 16, "w1", "Add", b"5") == b"again done w1"
        assert sum(len(each["answers"]) for each in transitions(world)) == 1

    run_world(6, story, partitions=1)


def test_l12_repeats_are_known_after_a_restart_and_a_fold_from_nothing() -> None:
    """Command ids are rows, folded from the log's answers."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.ask_once(node, b"c" * 16, "w1", "Add", b"5")
        node = world.restart(node)
        await world.quiet()
        assert await world.ask_once(node, b"c" * 16, "w1", "Add", b"5") == b"again done w1"
        world.crash(node)
        fresh = world.add_node()
        world.group.rebalance()
        await world.quiet()
        assert await world.ask_once(fresh, b"c" * 16, "w1", "Add", b"5") == b"again done w1"

    run_world(7, story, partitions=1)


def test_l12_a_refused_command_is_decided_anew() -> None:
    """A refusal left nothing."""

    async def story(world: World) -> None:
        node = await served(world)
        with pytest.raises(FailedPrecondition):
            await world.ask_once(node, b"c" * 16, "w1", "Refuse", b"5")
        assert await world.ask_once(node, b"c" * 16, "w1", "Add", b"5") == b"5"

    run_world(8, story, partitions=1)


def test_l12_ids_are_let_go_after_their_time_but_never_the_newest() -> None:
    """Kept for so long, and at least so many; every fold lets go of the same."""

    async def story(world: World) -> None:
        node = await served(world)
        for number in range(6):
            await world.ask_once(node, bytes([number]) * 16, "w1", "Add", b"1")
            await asyncio.sleep(4.0)
        again = [
            await world.ask_once(node, bytes([number]) * 16, "w1", "Add", b"1")
            for number in (5, 4, 3)
        ]
        assert again == [b"again done w1"] * 3
        assert await world.ask_once(node, bytes(16), "w1", "Add", b"1") == b"7"
        world.audit()

    settings = EngineSettings(answers_keep_s=5.0, answers_keep_count=3)
    run_world(9, story, partitions=1, settings=settings)


def test_l12_a_late_append_of_an_older_claim_is_not_executed() -> None:
    """Behind the newest claim's ends a command of an older claim is a zombie's."""

    async def story(world: World) -> None:
        node = await served(world)
        old = node.history.origin(0)
        _internal(world, command("w1", "Add", b"1", command_id=b"a" * 16, origin=old))
        await _counted(world, 1)
        world.group.rebalance(step=2)
        await world.quiet()
        parked = node.history.park(0, b"b" * 16)
        _internal(world, command("w1", "Add", b"1", command_id=b"b" * 16, origin=old))
        with pytest.raises(OutcomeUnknown):
            await parked
        assert node.history.counts()[0].late == 1
        assert sum(len(each["answers"]) for each in transitions(world)) == 1

    run_world(10, story, partitions=1)


def test_l12_commands_of_an_older_claim_that_were_there_at_the_claim_are_executed() -> None:
    """What stood in the topic before the claim is no zombie's."""

    async def story(world: World) -> None:
        node = await served(world)
        old = node.history.origin(0)
        node.consumer.is_paused = True
        _internal(world, command("w1", "Add", b"1", command_id=b"a" * 16, origin=old))
        node = world.restart(node)
        await _counted(world, 1)
        assert node.history.counts()[0].late == 0

    run_world(11, story, partitions=1)


def test_l12_a_clients_request_id_makes_its_repeat_harmless() -> None:
    """On `commands` the id is (namespace, workflow id, type, request id)."""
    fields = {
        "command_id": b"",
        "namespace": "ns",
        "workflow_id": "w1",
        "body": ("millrace.GrpcRequest", {"method": "Add", "request": b"2"}),
    }

    async def story(world: World) -> None:
        await served(world)
        same = COMMAND.encode({**fields, "request_id": "r"})
        free = COMMAND.encode(dict(fields))
        _outside(world, same, same, free, free)
        await world.until(lambda: world.nodes[0].history.counts()[0].commands >= 4)
        await world.quiet()
        assert await world.nodes[0].history.read(0, "", "w1", "") == b"6"

    run_world(12, story, partitions=1)


def test_l13_a_bug_ends_in_a_dead_letter_and_internal() -> None:
    """The source is covered, its caller hears INTERNAL, the partition goes on."""

    async def story(world: World) -> None:
        node = await served(world)
        with pytest.raises(Internal):
            await world.ask_once(node, b"c" * 16, "w1", "Break", b"1")
        assert await world.ask("w1", "Add", b"1") == b"1"
        await world.quiet()
        (letter,) = letters(world)
        assert (letter["topic"], letter["offset"]) == (INTERNAL, 0)
        assert "RuntimeError: poison Break" in letter["reason"]
        with pytest.raises(Internal):
            await world.ask_once(node, b"c" * 16, "w1", "Break", b"1")
        assert len(letters(world)) == 1

    run_world(13, story, partitions=1)


def test_l13_a_due_timer_that_raises_is_put_in_quarantine() -> None:
    """It does not fire for ever."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.ask("w1", "BreakLater", b"1000000")
        await asyncio.sleep(5.0)
        assert node.history.counts()[0].poison == 1
        (letter,) = letters(world)
        assert "a broken timer" in letter["reason"]
        assert (
            node.disks[0]
            .rows.keys()
            .isdisjoint(key for key in node.disks[0].keys if key.startswith(b"d"))
        )

    run_world(14, story, partitions=1)


@pytest.mark.parametrize("value", [None, b"", b"rubbish", b"\xc3\x01" + b"x" * 20])
def test_l13_what_is_no_command_never_stops_the_partition(value: bytes | None) -> None:
    """Anybody may write to `commands`: a dead letter, and on."""

    async def story(world: World) -> None:
        await served(world)
        _outside(world, value)
        await _counted(world, 1)
        assert source(transitions(world)[0], OUTSIDE) == 0
        assert letters(world)[0]["topic"] == OUTSIDE
        assert await world.ask("w1", "Add", b"1") == b"1"

    run_world(15, story, partitions=1)


@pytest.mark.parametrize("value", [None, b"rubbish"])
def test_l7_what_is_no_command_on_commands_internal_stops_the_process(value: bytes | None) -> None:
    """Only nodes write there."""

    async def story(world: World) -> None:
        node = await served(world)
        world.expects_faults = True
        world.kafka.write(INTERNAL, 0, [(None, value)])
        await asyncio.sleep(1.0)
        assert "commands-internal-0: expected a command at offset 0" in node.faults[0]

    run_world(16, story, partitions=1)


def test_l11_a_misrouted_command_is_carried_to_its_partition() -> None:
    """A command whose body hashes elsewhere is executed there, once."""

    async def story(world: World) -> None:
        await served(world)
        home = workflow_partition("ns", "w1", 2)
        value = command("w1", "Add", b"1")
        _outside(world, value, partition=1 - home)
        await _counted(world, 1, 1 - home)
        await quiet(world)
        assert await world.ask("w1", "Add", b"1") == b"2"
        assert not letters(world)

    run_world(17, story, partitions=2)


def test_l14_a_transition_that_is_too_large_is_decided_again() -> None:
    """As the termination that is prescribed; what was decided before it is stored first."""

    async def story(world: World) -> None:
        node = await served(world)
        await world.ask("w1", "Add", b"5")
        _internal(world, command("w1", "Add", b"5"))
        with pytest.raises(NotFound):
            await world.ask_once(node, b"c" * 16, "w1", "Grow", b"100000")
        assert await world.ask("w1", "Add", b"1") == b"10"
        assert node.history.counts()[0].oversize == 1
        world.audit()

    settings = EngineSettings(transition_max_bytes=50_000)
    run_world(18, story, partitions=1, settings=settings)


def test_l14_the_source_of_an_oversize_command_is_covered_only_by_its_own_record() -> None:
    """A crash between: it is decided, not lost."""

    async def story(world: World) -> None:
        node = await served(world)
        node.consumer.batch_max = 100
        _internal(
            world,
            command("w1", "Refuse", b"1"),
            command("w1", "Grow", b"100000", command_id=b"g" * 16),
            command("w1", "Add", b"1"),
        )
        await _counted(world, 3)
        found = [(source(each), len(each["answers"])) for each in transitions(world)]
        assert found == [(0, 0), (1, 1), (2, 0)]

    settings = EngineSettings(transition_max_bytes=50_000)
    run_world(19, story, partitions=1, settings=settings)


def test_l14_even_the_termination_may_not_work() -> None:
    """Then it is a dead letter, and INTERNAL."""

    class Broken(log_toy.Toy):
        def decide_too_large(self, ask: Ask, *, now: int, seed: bytes) -> object:  # type: ignore[override]
            del ask, now, seed
            raise RuntimeError("no way out")

    async def story(world: World) -> None:
        world.parts.make_machine = Broken  # type: ignore[assignment]
        node = await served(world)
        with pytest.raises(Internal):
            await world.ask_once(node, b"c" * 16, "w1", "Grow", b"100000")
        await world.quiet()
        assert "no way out" in letters(world)[0]["reason"]
        assert await world.ask("w1", "Add", b"1") == b"1"

    settings = EngineSettings(transition_max_bytes=50_000)
    run_world(20, story, partitions=1, settings=settings)


def test_n1_a_command_waits_for_what_its_frontend_had_read_of_namespaces() -> None:
    """The owner reads `namespaces` up to the command's position first."""

    async def story(world: World) -> None:
        node = await served(world)
        origin = node.history.origin(0)
        _internal(
            world,
            command("w1", "Add", b"1", command_id=b"a" * 16, origin=origin, namespaces_position=99),
        )
        await _counted(world, 1)
        assert node.namespaces.position == 99

    run_world(21, story, partitions=1)


def test_n1_an_unknown_namespace_is_refused_only_after_reading_to_the_end() -> None:
    """A namespace that was registered meanwhile is found."""

    async def story(world: World) -> None:
        node = await served(world)
        node.namespaces.later["new"] = log_toy.NAMESPACE
        for name, command_id in (("new", b"a" * 16), ("old", b"b" * 16)):
            parked = node.history.park(0, command_id)
            value = command("w1", "Add", b"1", command_id=command_id, namespace=name)
            _internal(world, value)
            if name == "new":
                assert await parked == b"1"
            else:
                with pytest.raises(NamespaceNotFound):
                    await parked
        assert node.namespaces.reads == 2

    run_world(22, story, partitions=1)


def _beats(*beats: tuple[str, bytes, bytes], method: str = "Beat") -> bytes:
    rows = [
        {
            "command_id": command_id,
            "namespace": "ns",
            "workflow_id": name,
            "method": method,
            "request": request,
        }
        for name, command_id, request in beats
    ]
    return COMMAND.encode(
        {
            "command_id": b"h" * 16,
            "namespace": "ns",
            "workflow_id": beats[0][0],
            "body": ("millrace.Heartbeats", {"beats": rows}),
        }
    )


async def _parked(node: Node, *ids: bytes) -> list[bytes]:
    return list(await asyncio.gather(*(node.history.park(0, each * 16) for each in ids)))


def test_t3_gathered_heartbeats_make_one_transition_and_one_answer_each() -> None:
    """Facts of several workflows in one record."""

    async def story(world: World) -> None:
        node = await served(world)
        waiting = asyncio.create_task(_parked(node, b"a", b"b", b"c"))
        await asyncio.sleep(0)
        _internal(
            world,
            _beats(("w1", b"a" * 16, b"1"), ("w2", b"b" * 16, b"2"), ("w1", b"c" * 16, b"3")),
        )
        assert await waiting == [b"1", b"2", b"4"]
        (only,) = transitions(world)
        assert [each["id"] for each in only["changes"]] == ["w1", "w2", "w1"]
        world.audit()

    run_world(23, story, partitions=1)


def test_t3_a_beat_that_is_refused_does_not_hurt_the_others() -> None:
    """Each beat is decided as its own ask."""

    async def story(world: World) -> None:
        node = await served(world)
        first, second = node.history.park(0, b"a" * 16), node.history.park(0, b"b" * 16)
        _internal(world, _beats(("w1", b"a" * 16, b"1"), method="Refuse"))
        with pytest.raises(FailedPrecondition):
            await first
        _internal(world, _beats(("w1", b"b" * 16, b"7")))
        assert await second == b"7"

    run_world(24, story, partitions=1)
