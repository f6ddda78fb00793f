"""Forwards between partitions: dense counters, in order, exactly once (L16)."""

import asyncio

import pytest

from schemas.codec import COMMAND
from schemas.errors import ServiceError
from schemas.ids import workflow_key
from streams.log.counters import Counters, sender_of, source_of
from streams.log.position import Position
from tests.simulation.forwarded import check_forwards, counters, quiet
from tests.simulation.world import INTERNAL, OUTSIDE, World, run_world
from tests.support.log_worlds import letters, names, served, transitions
from topology.effects import Forward, effect_of


def _forward(method: str = "Got", *, sender: str = "1/0", counter: int, number: int) -> bytes:
    """Return a forward from w0 to w1 as another partition would send it."""
    request = b"\x92\xa2w0" + bytes((number,))  # MessagePack of ("w0", number)
    body = {
        "sender": sender,
        "counter": counter,
        "method": method,
        "request": request,
        "event": b"",
    }
    return COMMAND.encode(
        {
            "command_id": b"",
            "namespace": "ns",
            "workflow_id": "w1",
            "body": ("millrace.Forward", body),
        }
    )


def _sent(world: World, partition: int) -> list[tuple[int, int]]:
    """Return (receiver, counter) of all forwards in the accepted transitions of a partition."""
    effects = [
        effect_of(each["body"])
        for fields in transitions(world, partition)
        for each in fields["effects"]
    ]
    return [(each.receiver, each.counter) for each in effects if isinstance(each, Forward)]


def test_l16_counters_are_dense_for_each_receiver() -> None:
    """Each sender counts by receiver, from 1; what was not written is not counted."""
    known = Counters(3)
    known.begin(Position(sent={"0": 4}))
    effects = [Forward("ns", f"w{n}", "Got", b"") for n in range(30)]
    numbered, sent = known.numbered(effects)
    again, _ = known.numbered(effects)
    assert numbered == again
    for receiver in range(3):
        counts = [e.counter for e in numbered if isinstance(e, Forward) and e.receiver == receiver]
        first = 5 if receiver == 0 else 1
        assert counts == list(range(first, first + len(counts)))
    known.sent(sent)
    more, _ = known.numbered(effects[:1])
    assert isinstance(more[0], Forward)
    assert more[0].counter == sent[str(more[0].receiver)] + 1


def test_l16_senders_are_named_with_their_generation() -> None:
    """A source is a command topic or a sender, and tells which."""
    assert sender_of(source_of("1/2")) == "1/2"
    assert sender_of(INTERNAL) == ""


def test_l16_partitions_ask_each_other_and_themselves() -> None:
    """Every forward arrives once, over restarts, with what it quotes."""

    async def story(world: World) -> None:
        await served(world, nodes=2)
        await world.load(clients=6, asks=10, methods="Send")
        await quiet(world)
        assert check_forwards(world) == 60
        world.restart(world.nodes[0])
        await world.settle()
        await world.load(clients=6, asks=10, methods="Send")
        await quiet(world)
        world.audit()
        assert check_forwards(world) == 120
        for number in range(2):
            for receiver in range(2):
                counted = [count for to, count in _sent(world, number) if to == receiver]
                assert counted == list(range(1, len(counted) + 1))

    run_world(1, story)


def test_l16_a_receiver_takes_only_the_next_one() -> None:
    """What comes early or again is ignored, and covered."""

    async def story(world: World) -> None:
        node = await served(world)
        for counter in (2, 1, 3, 1, 2, 2, 3):
            value = _forward(counter=counter, number=counter)
            world.kafka.write(INTERNAL, 0, [(workflow_key("ns", "w1"), value)])
        await quiet(world)
        assert counters(world)["w1"].got == {"w0": 3}
        assert node.history.counts()[0].forwards_ignored == 4
        sources = [
            (each["sender"], each["position"])
            for fields in transitions(world)
            for each in fields["sources"]
            if each["topic"] == "forwards"
        ]
        assert sources == [("1/0", 1), ("1/0", 2), ("1/0", 3)]
        assert node.history.position(INTERNAL, 0) == 7
        world.audit()

    run_world(2, story, partitions=1)


def test_l16_senders_are_counted_apart() -> None:
    """Two senders, or one of another generation, have counters of their own."""

    async def story(world: World) -> None:
        await served(world)
        for number, sender in enumerate(("1/0", "1/1", "2/0")):
            value = _forward(sender=sender, counter=1, number=number + 1)
            world.kafka.write(INTERNAL, 0, [(workflow_key("ns", "w1"), value)])
        await quiet(world)
        assert counters(world)["w1"].got == {"w0": 3}

    run_world(3, story, partitions=1)


def test_l16_the_sender_stops_at_the_first_failure() -> None:
    """What was acknowledged behind a failure is sent again; nothing is lost or doubled."""

    async def story(world: World) -> None:
        node = await served(world)
        node.forwards.refused = 0.5
        node.forwards.lost_acks = 0.3
        await world.load(clients=6, asks=20, methods="Send")
        node.forwards.refused = node.forwards.lost_acks = 0.0
        await quiet(world)
        assert node.history.counts()[0].forwards_ignored > 0
        assert check_forwards(world) == 120

    run_world(4, story, partitions=2)


@pytest.mark.parametrize("seed", range(5))
def test_l16_a_new_owner_sends_what_was_not_done(seed: int) -> None:
    """Killed between the acceptance of a forward and its append, or before it is noted."""

    async def story(world: World) -> None:
        node = await served(world)
        node.forwards.append_s = (0.01, 0.05)
        asked = asyncio.create_task(world.load(clients=6, asks=10, methods="Send"))
        for _ in range(4):
            await asyncio.sleep(world.rng.uniform(0.01, 0.1))
            node = world.restart(node)
            node.forwards.append_s = (0.01, 0.05)
            await world.quiet()
        await asked
        await world.settle()
        await quiet(world)
        world.audit()
        assert check_forwards(world) >= 60

    run_world(seed, story)


def test_l13_a_poison_forward_is_buried_and_its_sender_hears_of_it() -> None:
    """A dead letter here, a failure there."""

    async def story(world: World) -> None:
        await served(world)
        await world.ask("w0", "SendPoison", b"1")
        await world.ask("w0", "SendPoison", b"1")
        await quiet(world)
        assert counters(world)["w0"].failed == 2
        assert len(letters(world)) == 2
        assert "poison GotPoison" in letters(world)[0]["reason"]

    run_world(5, story)


def test_l16_a_refused_forward_is_covered_and_its_sender_hears_of_it() -> None:
    """Nothing is recorded at the receiver; the next forward is taken."""

    async def story(world: World) -> None:
        await served(world)
        await world.ask("w0", "SendRefused", b"1")
        await world.ask("w0", "Send", b"1")
        await quiet(world)
        known = counters(world)
        assert known["w0"].failed == 1
        assert known["w1"].got == {"w0": 1}
        assert not letters(world)
        world.audit()

    run_world(6, story)


def test_l11_a_forward_on_commands_is_poison() -> None:
    """What only nodes may say is no command of a client."""

    async def story(world: World) -> None:
        await served(world)
        value = _forward(counter=1, number=1)
        world.kafka.write(OUTSIDE, 0, [(workflow_key("ns", "w1"), value)])
        await asyncio.sleep(1.0)
        await quiet(world)
        assert "w1" not in counters(world)
        assert "only nodes may say" in letters(world)[0]["reason"]

    run_world(7, story, partitions=1)


def test_l16_a_forwarded_method_is_not_a_command() -> None:
    """Nobody asks for it over gRPC."""

    async def story(world: World) -> None:
        await served(world)
        with pytest.raises(ServiceError, match="not a command"):
            await world.ask("w1", "Got", b"1")

    run_world(8, story)


def test_l15_forwards_hold_back_performed_until_they_are_appended() -> None:
    """A receiver's log that cannot be written keeps the effects in the store."""

    async def story(world: World) -> None:
        node = await served(world)
        name = names(0, 2, 1)[0]
        node.forwards.lost_acks = 1.0
        await world.ask(name, "Send", b"1")
        await world.ask(name, "Add", b"1")
        seq = transitions(world, 0)[0]["seq"]
        assert transitions(world, 0)[-1]["performed"] < seq
        node.forwards.lost_acks = 0.0
        await quiet(world)
        await world.ask(name, "Add", b"1")
        assert transitions(world, 0)[-1]["performed"] >= seq

    run_world(9, story)
