"""Kafka clients: replies, repeats, what is refused, and records on the wrong partition."""

import asyncio
from typing import Any

from schemas.codec import COMMAND, REPLY
from schemas.errors import Code
from schemas.ids import workflow_key, workflow_partition
from streams.log.clients import OURS, Asked, Place, reply_topic_fault
from streams.log.settings import EngineSettings
from tests.simulation.forwarded import ForwardChaos, counters, quiet
from tests.simulation.world import INTERNAL, OUTSIDE, World, run_world
from tests.support.log_worlds import letters, served, transitions
from topology import topics


def _asked(
    workflow_id: str, method: str = "Add", number: bytes = b"1", **fields: Any
) -> dict[str, Any]:
    return {
        "command_id": b"",
        "namespace": "ns",
        "workflow_id": workflow_id,
        "reply_topic": "replies",
        "body": ("millrace.GrpcRequest", {"method": method, "request": number}),
        **fields,
    }


def _produce(world: World, *asked: dict[str, Any], partition: int | None = None) -> None:
    for fields in asked:
        home = workflow_partition(fields["namespace"], fields["workflow_id"], world.partitions)
        key = workflow_key(fields["namespace"], fields["workflow_id"])
        where = home if partition is None else partition
        world.kafka.write(OUTSIDE, where, [(key, COMMAND.encode(fields))])


async def _all_read(world: World) -> None:
    def is_read(number: int) -> bool:
        end = world.kafka.log(OUTSIDE, number).end
        return any(node.history.position(OUTSIDE, number) >= end for node in world.nodes)

    await world.until(lambda: all(is_read(number) for number in range(world.partitions)))
    await quiet(world)


def _replies(world: World) -> list[dict[str, Any]]:
    return [REPLY.decode(each.value) for each in world.replies]


def test_l17_a_reply_tells_the_outcome_and_where_the_command_stood() -> None:
    """Accepted, refused and poison: each is replied to."""

    async def story(world: World) -> None:
        await served(world)
        _produce(
            world,
            _asked("w1", request_id="a"),
            _asked("w1", "Refuse", request_id="b"),
            _asked("w1", "Break", request_id="c"),
            _asked("w1", "Nonsense", request_id="d"),
            _asked("w1", reply_topic=None),
            _asked("w1", reply_topic="replies-of-mine", request_id="e"),
        )
        await _all_read(world)
        told = [
            (each["request_id"], each["outcome"], each["code"], each["offset"])
            for each in _replies(world)
        ]
        assert told == [
            ("a", "done", Code.OK, 0),
            ("b", "refused", Code.FAILED_PRECONDITION, 1),
            ("c", "poison", Code.INTERNAL, 2),
            ("d", "refused", Code.UNIMPLEMENTED, 3),
            ("e", "done", Code.OK, 5),
        ]
        assert [each.topic for each in world.replies] == ["replies"] * 4 + ["replies-of-mine"]
        assert [each.key for each in world.replies] == [b"ns/w1"] * 5
        assert _replies(world)[1]["message"] == "refused at 1"
        assert counters(world)["w1"].total == 3

    run_world(1, story, partitions=1)


def test_l9_a_reply_leaves_after_its_record_is_accepted() -> None:
    """A lost acknowledgement: no reply until the command is decided by what the log says."""

    async def story(world: World) -> None:
        node = await served(world)
        node.events.lost_acks = 1.0
        _produce(world, _asked("w1", request_id="a"))
        await asyncio.sleep(0.2)
        assert not world.replies
        node.events.lost_acks = 0.0
        await world.settle()
        _produce(world, _asked("w1", request_id="a"))
        await _all_read(world)
        assert [each["outcome"] for each in _replies(world)] == ["done"]
        assert counters(world)["w1"].total == 1

    run_world(2, story, partitions=1)


def test_l12_repeats_are_replied_to_again_and_not_executed() -> None:
    """The same request id of the same workflow and kind, across a restart."""

    async def story(world: World) -> None:
        await served(world)
        _produce(world, _asked("w1", request_id="a"), _asked("w1", request_id="a"))
        _produce(world, _asked("w2", request_id="a"), _asked("w1"), _asked("w1"))
        await _all_read(world)
        world.restart(world.nodes[0])
        await world.settle()
        _produce(world, _asked("w1", request_id="a"))
        await _all_read(world)
        known = counters(world)
        assert (known["w1"].total, known["w2"].total) == (3, 1)
        assert [each["outcome"] for each in _replies(world)] == ["done"] * 6

    run_world(3, story, partitions=1)


def test_l13_what_is_no_command_is_a_dead_letter_and_stops_nothing() -> None:
    """Nothing, rubbish, another record, broken text, what only nodes may say."""

    async def story(world: World) -> None:
        await served(world)
        whole = COMMAND.encode(_asked("w1"))
        broken = whole.replace(b"w1", b"\xff\xfe")
        reply = REPLY.encode(
            {
                "request_id": "",
                "namespace": "ns",
                "workflow_id": "w1",
                "run_id": "",
                "outcome": "",
                "code": 0,
                "message": "",
                "topic": "",
                "partition": 0,
                "offset": 0,
            }
        )
        beats = COMMAND.encode(_asked("w1", body=("millrace.Heartbeats", {"beats": []})))
        bad = [None, b"", b"rubbish", whole[:-3], broken, reply, beats]
        world.kafka.write(OUTSIDE, 0, [(b"\xff", value) for value in bad])
        _produce(world, _asked("w1"))
        await _all_read(world)
        buried = {each["offset"]: each["value"] for each in letters(world)}
        assert buried == dict(enumerate(bad))
        assert counters(world)["w1"].total == 1

    run_world(4, story, partitions=1)


def test_l13_who_names_no_reply_topic_is_told_by_a_dead_letter() -> None:
    """A request that cannot be one; a refusal by the state of things is only counted."""

    async def story(world: World) -> None:
        node = await served(world)
        _produce(
            world,
            _asked("w1", "Nonsense", reply_topic=None),
            _asked("w1", "Refuse", reply_topic=None),
            _asked("w1", namespace="nowhere", reply_topic=None),
        )
        await _all_read(world)
        reasons = [each["reason"] for each in letters(world)]
        assert reasons == ["method Nonsense is not a command", "Namespace nowhere is not found."]
        assert node.history.counts()[0].refused == 3

    run_world(5, story, partitions=1)


def test_l17_a_reply_topic_that_is_ours_is_refused() -> None:
    """The command is not executed: its client waits for a reply that cannot come."""

    async def story(world: World) -> None:
        await served(world)
        for topic in ("events", "commands", "elsewhere"):
            _produce(world, _asked("w1", reply_topic=topic))
        await _all_read(world)
        assert len(letters(world)) == 3
        assert not world.replies
        assert "w1" not in counters(world)

    run_world(6, story, partitions=1)


def test_l17_no_prefix_lets_replies_into_our_topics() -> None:
    """All of them but the one that is for replies."""
    for topic in topics.TOPICS:
        asked = Asked({"reply_topic": topic.name}, 0, Place(0, 0))
        is_ours = topic.name in OURS
        assert bool(reply_topic_fault(asked, "")) == is_ours
    assert topics.REPLIES.name not in OURS
    assert not reply_topic_fault(Asked({"reply_topic": None}, 0, Place(0, 0)), "replies")


def test_n1_many_commands_of_an_unknown_namespace_are_read_for_once() -> None:
    """What arrived before `namespaces` was read is refused without reading again."""

    async def story(world: World) -> None:
        node = await served(world)
        node.consumer.batch_max = 1_000
        values = [COMMAND.encode(_asked(f"w{n}", namespace="nowhere")) for n in range(300)]
        world.kafka.write(OUTSIDE, 0, [(b"k", value) for value in values])
        await _all_read(world)
        assert len(world.replies) == 300
        assert {each["code"] for each in _replies(world)} == {Code.NOT_FOUND}
        assert node.namespaces.reads < 30

    run_world(7, story, partitions=1)


def test_l11_a_command_on_the_wrong_partition_is_executed_once_and_replied_to() -> None:
    """Its reply names where it stood; a repeat on the right partition is a repeat."""

    async def story(world: World) -> None:
        await served(world, nodes=2)
        for n in range(10):
            fields = _asked(f"w{n}", request_id="a")
            home = workflow_partition("ns", f"w{n}", 2)
            _produce(world, fields, partition=1 - home)
            _produce(world, fields)
        await _all_read(world)
        assert {name: each.total for name, each in counters(world).items()} == {
            f"w{n}": 1 for n in range(10)
        }
        assert len(world.replies) == 20
        assert not letters(world)
        assert sum(
            each.misrouted for node in world.nodes for each in node.history.counts().values()
        )

    run_world(8, story)


def test_l11_a_misrouted_command_that_is_too_large_is_a_dead_letter() -> None:
    """It is not carried: it would stand twice in the log."""

    async def story(world: World) -> None:
        await served(world)
        home = workflow_partition("ns", "w1", 2)
        _produce(world, _asked("w1", number=b"1" * 2_000), partition=1 - home)
        await _all_read(world)
        assert "is on the wrong partition" in letters(world)[0]["reason"]

    run_world(9, story, settings=EngineSettings(carried_max_bytes=1_000))


def test_l11_what_belongs_on_commands_stops_nothing_on_commands_internal() -> None:
    """A client that mistakes the topic finds a dead letter."""

    async def story(world: World) -> None:
        await served(world)
        body = ("millrace.CancelWorkflow", {"run_id": "", "reason": ""})
        value = COMMAND.encode(_asked("w1", body=body))
        world.kafka.write(INTERNAL, 0, [(b"ns/w1", value)])
        assert await world.ask("w1", "Add", b"1") == b"1"
        await quiet(world)
        assert "clients write to `commands`" in letters(world)[0]["reason"]

    run_world(10, story, partitions=1)


def test_l14_a_client_whose_command_is_too_large_hears_so() -> None:
    """As the termination Temporal prescribes."""

    async def story(world: World) -> None:
        await served(world)
        _produce(world, _asked("w1", "Grow", b"100000", request_id="a"))
        await _all_read(world)
        (told,) = _replies(world)
        assert (told["outcome"], told["code"]) == ("too_large", Code.NOT_FOUND)
        assert transitions(world)

    run_world(11, story, partitions=1, settings=EngineSettings(transition_max_bytes=10_000))


def test_l11_clients_are_served_exactly_once_under_every_fault() -> None:
    """Right and wrong partitions, each with its request id, repeated by chance."""

    async def story(world: World) -> None:
        world.start(nodes=world.rng.choice((1, 2)))
        faults = ForwardChaos(world)
        faults.furnish()
        running = asyncio.create_task(faults.run(8.0))
        for n in range(60):
            fields = _asked(f"w{n % 7}", request_id=str(n))
            for _ in range(world.rng.choice((1, 1, 2))):
                _produce(world, fields, partition=world.rng.randrange(world.partitions))
                await asyncio.sleep(world.rng.uniform(0, 0.2))
        await running
        await world.settle()
        await _all_read(world)
        world.audit()
        assert sum(each.total for each in counters(world).values()) == 60

    for seed in range(20):
        run_world(seed, story, partitions=3)
