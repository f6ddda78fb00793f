"""The gateway on stand-ins: one owner that decides what it is told to, one topic that appends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest

from schemas.codec import COMMAND, Fields
from schemas.errors import DeadlineExceeded, NotFound, NotTheOwner, OutcomeUnknown
from schemas.ids import workflow_partition
from streams.calls.asked import Asked
from streams.gateway import Gateway
from streams.log.ports import Appended
from streams.metrics import Metrics
from tests.support.virtual_time import Loop
from topology.decision import Namespace

_SPACE = Namespace(id="id", name="default", state=1, retention=1)
_PARTITIONS = 4
_FAILED = Appended(offset=-1, appended_at=0)


class World:
    """The gateway's surroundings."""

    def __init__(self) -> None:
        self.appends: list[tuple[int, list[Fields]]] = []
        self.keys: list[bytes | None] = []
        self.parked: dict[bytes, asyncio.Future[bytes]] = {}
        self.decide: Callable[[bytes, asyncio.Future[bytes]], None] = lambda *_: None
        self.holds: list[tuple[str, str] | None] = []
        self.refusals = 0
        self.failing = 0
        self.reads: list[tuple[int, str, object, str]] = []
        self.partitions = _PARTITIONS
        self.position = 11
        self.count = 0
        self.gateway = Gateway(self, self, self, clock=self, random=self, metrics=Metrics())

    # the node

    def origin(self, partition: int) -> tuple[int, bytes]:
        """Our claim, unless refusals are left."""
        if self.refusals:
            self.refusals -= 1
            raise NotTheOwner(f"partition {partition} is somebody else's")
        return (3, b"incarnat")

    def park(
        self, _partition: int, command_id: bytes, *, hold: tuple[str, str] | None = None
    ) -> asyncio.Future[bytes]:
        """A future that `decide` will hear of once the command is appended."""
        self.holds.append(hold)
        self.parked[command_id] = asyncio.get_running_loop().create_future()
        return self.parked[command_id]

    def seq(self, _partition: int) -> int:
        """The last accepted record's."""
        return 17

    async def read(self, partition: int, method: str, request: object, namespace_id: str) -> bytes:
        """Answer a read, unless refusals are left."""
        self.origin(partition)
        self.reads.append((partition, method, request, namespace_id))
        return b"read"

    # the topic

    async def append(
        self, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> list[Appended]:
        """Keep records and have them decided, unless failures are left."""
        rows = [COMMAND.decode(value or b"") for _, value in records]
        self.appends.append((partition, rows))
        self.keys += [key for key, _ in records]
        await asyncio.sleep(0)
        if self.failing:
            self.failing -= 1
            return [_FAILED] * len(records)
        for row in rows:
            for command_id in _ids(row):
                self.decide(command_id, self.parked[command_id])
        return [Appended(offset=k, appended_at=0) for k in range(len(records))]

    # clock and random

    def now(self) -> int:
        """Wall clock, ns."""
        return int(self.monotonic() * 1e9)

    def monotonic(self) -> float:
        """The loop's own."""
        return asyncio.get_running_loop().time()

    def fraction(self) -> float:
        """Always the longest pause."""
        return 1.0

    # what tests do

    def answering(self, answer: bytes = b"ok") -> "World":
        """Decide everything at once."""
        self.decide = lambda _, parked: parked.done() or parked.set_result(answer)
        return self

    async def ask(self, workflow_id: str = "w", timeout_s: float = 30) -> bytes:
        """Ask for a start."""
        return await self.gateway.ask(
            _SPACE, workflow_id, "StartWorkflowExecution", b"request", timeout_s=timeout_s
        )

    async def beat(self, workflow_id: str = "w", **more: Any) -> bytes:
        """Beat for an activity."""
        fields = {"activity": "a", "heartbeat_timeout": 0, "timeout_s": 30.0} | more
        request = fields.pop("request", b"beat")
        asked = Asked(self.bytes(16), principal=fields.pop("principal", ""))
        return await self.gateway.under(asked).beat(
            _SPACE, workflow_id, "RecordActivityTaskHeartbeat", request, **fields
        )

    def rows(self) -> list[Fields]:
        """Everything that was appended."""
        return [row for _, rows in self.appends for row in rows]

    # the rest of random, last because of its name

    def bytes(self, count: int) -> bytes:
        """Counts."""
        self.count += 1
        return self.count.to_bytes(count)


def _ids(row: Any) -> Iterator[bytes]:
    kind, body = row["body"]
    if kind == "millrace.Heartbeats":
        yield from (beat["command_id"] for beat in body["beats"])
    else:
        yield row["command_id"]


def run(scenario: Callable[[World], Awaitable[None]]) -> World:
    """Run a scenario on the virtual clock."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        world = World()
        runner.run(_awaited(scenario, world))
    return world


async def _awaited(scenario: Callable[[World], Awaitable[None]], world: World) -> None:
    await scenario(world)


def test_command_says_who_asks_what_and_when() -> None:
    """A command carries the request as it came, our claim and what we had read (L12, N1)."""

    async def scenario(world: World) -> None:
        assert await world.answering().ask() == b"ok"

    world = run(scenario)
    ((partition, (row,)),) = world.appends
    assert partition == workflow_partition("default", "w", _PARTITIONS)
    assert world.keys == [b"default/w"]
    assert row["body"] == (
        "millrace.GrpcRequest",
        {"method": "StartWorkflowExecution", "request": b"request"},
    )
    assert row["origin"] == (
        "millrace.Origin",
        {"epoch": 3, "incarnation": b"incarnat", "namespaces_position": 11, "asked_at": 0},
    )
    assert (row["namespace"], row["workflow_id"]) == ("default", "w")
    assert len(row["command_id"]) == 16  # type: ignore[arg-type]  # bytes


def test_refusal_reaches_the_caller_and_is_not_repeated() -> None:
    """What the owner refused is refused."""

    async def scenario(world: World) -> None:
        world.decide = lambda _, parked: parked.set_exception(NotFound("nobody"))
        with pytest.raises(NotFound):
            await world.ask()

    assert len(run(scenario).rows()) == 1


def test_one_turn_is_one_append_a_partition() -> None:
    """Commands of one turn of the loop go out together, without waiting for more."""

    async def scenario(world: World) -> None:
        world.answering()
        await asyncio.gather(*(world.ask(f"w{n}") for n in range(32)))

    world = run(scenario)
    assert sum(len(rows) for _, rows in world.appends) == 32
    assert len(world.appends) == _PARTITIONS
    assert len({partition for partition, _ in world.appends}) == _PARTITIONS


def test_l12_command_carries_the_id_of_its_request() -> None:
    """Who asks again under the same id asks for the same command."""

    async def scenario(world: World) -> None:
        world.answering()
        asked = Asked(b"0123456789abcdef", principal="somebody")
        for _ in range(2):
            answer = world.gateway.under(asked).ask(_SPACE, "w", "Start", b"r", timeout_s=1)
            assert await answer == b"ok"

    rows = run(scenario).rows()
    assert [row["command_id"] for row in rows] == [b"0123456789abcdef"] * 2
    assert [row["principal"] for row in rows] == ["somebody"] * 2


@pytest.mark.parametrize("error", [OutcomeUnknown("lost"), NotTheOwner("moved")])
def test_c2_lost_decision_is_told_not_repeated(error: Exception) -> None:
    """Who repeats looks the owner up first, and that is not the gateway."""

    async def scenario(world: World) -> None:
        world.decide = lambda _, parked: parked.set_exception(error)
        with pytest.raises(type(error)):
            await world.ask()

    assert len(run(scenario).rows()) == 1


def test_failed_append_is_an_unknown_outcome() -> None:
    """It may be in the log for all we know."""

    async def scenario(world: World) -> None:
        world.answering().failing = 1
        with pytest.raises(OutcomeUnknown):
            await world.ask()

    run(scenario)


def test_c2_nothing_is_appended_for_somebody_elses_partition() -> None:
    """It is said before anything happens."""

    async def scenario(world: World) -> None:
        world.refusals = 2
        with pytest.raises(NotTheOwner):
            await world.ask()
        with pytest.raises(NotTheOwner):
            await world.gateway.read(_SPACE, "w", "Describe", object(), timeout_s=5)

    assert run(scenario).rows() == []


def test_undecided_command_ends_with_the_deadline() -> None:
    """Nobody answers: the caller's time is up, and the parked future is done with."""

    async def scenario(world: World) -> None:
        with pytest.raises(DeadlineExceeded):
            await world.ask(timeout_s=3)
        assert world.monotonic() == pytest.approx(3)
        assert all(parked.done() for parked in world.parked.values())

    run(scenario)


def test_caller_who_leaves_frees_its_place() -> None:
    """A cancelled call leaves no open future behind."""

    async def scenario(world: World) -> None:
        call = asyncio.ensure_future(world.ask())
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        assert all(parked.cancelled() for parked in world.parked.values())

    run(scenario)


def test_read_is_not_appended() -> None:
    """Reads are no commands."""

    async def scenario(world: World) -> None:
        request = object()
        answer = await world.gateway.read(_SPACE, "w", "Describe", request, timeout_s=5)
        partition = workflow_partition("default", "w", _PARTITIONS)
        assert answer == b"read"
        assert world.reads == [(partition, "Describe", request, "id")]

    assert run(scenario).appends == []


def _same_partition(count: int) -> list[str]:
    wanted = workflow_partition("default", "w", _PARTITIONS)
    names = (f"w{n}" for n in range(1_000))
    found = [name for name in names if workflow_partition("default", name, _PARTITIONS) == wanted]
    return found[:count]


def test_t3_lone_beat_goes_out_at_once() -> None:
    """Nothing is held back for nobody; a single beat is a plain request."""

    async def scenario(world: World) -> None:
        assert await world.answering().beat() == b"ok"
        assert world.monotonic() == 0

    (row,) = run(scenario).rows()
    body = {"method": "RecordActivityTaskHeartbeat", "request": b"beat"}
    assert row["body"] == ("millrace.GrpcRequest", body)


def test_t3_beats_of_a_partition_are_one_command() -> None:
    """What comes within 200 ms of a command goes out together in the next."""

    async def scenario(world: World) -> None:
        world.answering()
        await world.beat()
        first, second, third = _same_partition(3)
        beats = [asyncio.ensure_future(world.beat(first))]
        await asyncio.sleep(0.05)
        beats += [asyncio.ensure_future(world.beat(each)) for each in (second, third)]
        assert await asyncio.gather(*beats) == [b"ok"] * 3
        assert world.monotonic() == pytest.approx(0.2)

    _, row = run(scenario).rows()
    kind, body = row["body"]  # type: ignore[misc]  # a union's pair
    assert kind == "millrace.Heartbeats"
    assert [beat["workflow_id"] for beat in body["beats"]] == _same_partition(3)
    assert len({row["command_id"], *(beat["command_id"] for beat in body["beats"])}) == 4


def test_t3_beats_go_out_under_who_asked() -> None:
    """Gathered all the same; one command for each principal."""

    async def scenario(world: World) -> None:
        world.answering()
        await world.beat(principal="one")
        names = [("one", 0), ("two", 1), ("one", 2)]
        workflows = _same_partition(3)
        beats = [world.beat(workflows[at], principal=name) for name, at in names]
        assert await asyncio.gather(*beats) == [b"ok"] * 3

    rows = run(scenario).rows()
    asked = [(row["principal"], row["body"][0]) for row in rows]  # type: ignore[index]
    assert asked == [
        ("one", "millrace.GrpcRequest"),
        ("one", "millrace.Heartbeats"),
        ("two", "millrace.GrpcRequest"),
    ]


def test_t3_newest_beat_of_an_activity_counts() -> None:
    """Callers of the superseded ones get the answer of the newest."""

    async def scenario(world: World) -> None:
        world.answering()
        await world.beat("other")
        beats = [asyncio.ensure_future(world.beat(request=bytes([n]))) for n in range(3)]
        assert await asyncio.gather(*beats) == [b"ok"] * 3

    bodies = [row["body"] for row in run(scenario).rows()]
    requests = [body["request"] for _, body in bodies]  # type: ignore[misc]  # a union's pair
    assert requests[-1] == bytes([2])
    assert len(requests) == 2


def test_t3_beat_holds_its_timeout_from_the_moment_it_comes() -> None:
    """The owner knows of a beat while it is gathered; a superseded one holds nothing."""

    async def scenario(world: World) -> None:
        world.answering()
        await world.beat("other")
        await world.beat()
        late = [asyncio.ensure_future(world.beat()) for _ in range(2)]
        await asyncio.sleep(0.05)
        held = list(world.parked.values())[-2:]
        assert world.holds[-2:] == [("default", "w")] * 2
        assert [parked.cancelled() for parked in held] == [True, False]
        assert await asyncio.gather(*late) == [b"ok"] * 2

    run(scenario)


def test_t3_beat_whose_partition_is_lost_while_gathered_fails() -> None:
    """What fails before it went out is not sent; its caller asks again."""

    async def scenario(world: World) -> None:
        world.answering()
        await world.beat()
        late = asyncio.ensure_future(world.beat())
        await asyncio.sleep(0.05)
        *_, parked = world.parked.values()
        parked.set_exception(NotTheOwner("moved"))
        with pytest.raises(NotTheOwner):
            await late
        await asyncio.sleep(1)

    assert len(run(scenario).rows()) == 1


def test_t3_beat_whose_callers_left_holds_nothing() -> None:
    """Neither a gathered beat nor one that is out and never decided keeps a timeout back."""

    async def scenario(world: World) -> None:
        with pytest.raises(DeadlineExceeded):
            await world.beat(timeout_s=1.0)
        gathered = asyncio.ensure_future(world.beat())
        await asyncio.sleep(0)
        gathered.cancel()
        await asyncio.wait([gathered])
        await asyncio.sleep(0)
        assert len(world.parked) == 2
        assert all(parked.done() for parked in world.parked.values())

    run(scenario)


def test_t3_short_heartbeat_timeout_is_not_held_back_long() -> None:
    """A beat waits at most a twentieth of its heartbeat timeout."""

    async def scenario(world: World) -> None:
        world.answering()
        await world.beat()
        long = asyncio.ensure_future(world.beat(_same_partition(1)[0]))
        await asyncio.sleep(0.01)
        await world.beat(heartbeat_timeout=1_000_000_000)
        assert world.monotonic() == pytest.approx(0.06)
        assert await long == b"ok"

    run(scenario)


def test_t3_a_mebibyte_goes_out_at_once() -> None:
    """Size ends the gathering too."""

    async def scenario(world: World) -> None:
        world.answering()
        await world.beat()
        names = _same_partition(3)
        beats = [world.beat(each, request=b"x" * 400_000) for each in names]
        await asyncio.gather(*beats)
        assert world.monotonic() == 0

    run(scenario)


def test_t3_l12_beat_carries_the_id_of_its_request() -> None:
    """A repeat is the same beat."""

    async def scenario(world: World) -> None:
        world.answering()
        gateway = world.gateway.under(Asked(b"0123456789abcdef"))
        await gateway.beat(
            _SPACE, "w", "Beat", b"b", activity="a", heartbeat_timeout=0, timeout_s=1
        )

    (row,) = run(scenario).rows()
    assert row["command_id"] == b"0123456789abcdef"


def test_c2_lost_beat_fails_all_its_callers() -> None:
    """An append that failed, and a partition that is elsewhere."""

    async def scenario(world: World) -> None:
        world.answering().failing = 1
        with pytest.raises(OutcomeUnknown):
            await world.beat()
        world.refusals = 10
        beats = [asyncio.ensure_future(world.beat()) for _ in range(2)]
        found = await asyncio.gather(*beats, return_exceptions=True)
        assert [type(each) for each in found] == [NotTheOwner, NotTheOwner]

    run(scenario)


def test_t3_refused_beat_refuses_all_its_callers() -> None:
    """Each of them hears why."""

    async def scenario(world: World) -> None:
        world.decide = lambda _, parked: parked.set_exception(NotFound("gone"))
        beats = [asyncio.ensure_future(world.beat()) for _ in range(2)]
        found = await asyncio.gather(*beats, return_exceptions=True)
        assert [type(each) for each in found] == [NotFound, NotFound]

    assert len(run(scenario).rows()) == 1
