"""Calls between roles: the same answer, whether the owner is here or elsewhere."""

import msgspec
import pytest

from schemas.errors import (
    Internal,
    InvalidArgument,
    NotTheOwner,
    OutcomeUnknown,
    Rejected,
    ResourceExhausted,
    ServiceError,
    Stale,
    Unavailable,
)
from streams.calls.forward import Errand, Place
from streams.calls.outcomes import Answered, error_of, outcome_of
from streams.calls.roles import PATHS, RoleCalls, served
from streams.matching.queries import Handed
from topology.decision import Ask, Namespace
from topology.matching.tasks import QueryTask, WorkerEnd
from topology.own_work import (
    Archived,
    HandBack,
    ReadBacklog,
    ReadClosedRun,
    ReadWaiting,
    SetAside,
    StartTask,
    StickyDead,
)

_SPACE = Namespace(id="id", name="default", state=1, retention=5)
_START = StartTask("poll", "me", "activity", "queue", "run", 5, 2, 1)
_ASKS = [
    Ask("StartTask", _SPACE, "w", _START),
    Ask("HandBack", _SPACE, "w", HandBack("poll", "workflow", "run", 5, 2, 1)),
    Ask("StickyDead", _SPACE, "w", StickyDead("run", 5, 2, 1)),
    Ask("Archived", _SPACE, "w", Archived("run")),
    Ask("SetAside", _SPACE, "w", SetAside("run", "history was mutated")),
]
_READS = [
    ("Waiting", ReadWaiting(b"after", ("id",))),
    ("ClosedRun", ReadClosedRun("run", 5)),
    ("Backlog", ReadBacklog()),
]


class Node:
    """History and matching of one node; answers what it is told."""

    def __init__(self) -> None:
        self.asks: list[tuple[int, Ask]] = []
        self.reads: list[tuple[int, str, object]] = []
        self.outcome: bytes | ServiceError = b"answer"
        self.handed_back: list[tuple[Namespace, str]] = []
        self.queries: list[tuple[str, str, QueryTask, float]] = []

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide."""
        self.asks.append((partition, ask))
        if isinstance(self.outcome, ServiceError):
            raise self.outcome
        return self.outcome

    async def read(self, partition: int, method: str, request: object, namespace_id: str) -> bytes:
        """Read."""
        assert namespace_id == ""
        self.reads.append((partition, method, request))
        return b"rows"

    def hand_back(self, namespace: Namespace, poll_id: str) -> None:
        """Remember."""
        self.handed_back.append((namespace, poll_id))

    def end_worker(self, end: WorkerEnd) -> None:
        """Nothing of it is tested here."""

    async def query(
        self, namespace_id: str, queue: str, query: QueryTask, *, timeout_s: float
    ) -> Handed:
        """Remember."""
        self.queries.append((namespace_id, queue, query, timeout_s))
        return Handed.NOT_POLLED


class Wire:
    """The way to the owner: `here`, or through the bytes of the internal port."""

    def __init__(self, owner: Node, *, is_local: bool) -> None:
        self._serves = served(owner, owner)
        self._is_local = is_local
        self.places: list[Place | None] = []

    async def once(self, place: Place | None, errand: Errand, timeout_s: float) -> bytes:
        """Carry an errand out."""
        assert timeout_s > 0
        self.places.append(place)
        if self._is_local:
            return await errand.here()
        try:
            return await self._serves[errand.path](errand.body)
        except ServiceError as error:
            said = outcome_of(error)
            raise error_of(int(error.code), error.message, outcome=said, status=b"") from None


def ways() -> list[tuple[Node, RoleCalls, Wire]]:
    """Return the calls of a node that is the owner, and of one that is not."""
    local, remote = Node(), Node()
    found = []
    for owner, is_local in ((local, True), (remote, False)):
        wire = Wire(owner, is_local=is_local)
        mine = owner if is_local else Node()
        found.append((owner, RoleCalls(wire, mine, mine, matching_partitions=4), wire))
    return found


@pytest.mark.parametrize("ask", _ASKS, ids=lambda ask: ask.method)
async def test_c5_own_work_arrives_as_it_was_asked(ask: Ask) -> None:
    """Start a task, hand one back, a sticky queue is dead, a run is archived or set aside."""
    for owner, calls, wire in ways():
        assert await calls.own_work(3, ask) == b"answer"
        assert owner.asks == [(3, ask)]
        assert wire.places == [Place("history", 3)]


@pytest.mark.parametrize(("method", "request_"), _READS)
async def test_c5_reads_arrive_as_they_were_asked(method: str, request_: msgspec.Struct) -> None:
    """What waits for its archive, more of a closed run, the backlog."""
    for owner, calls, wire in ways():
        assert await calls.read(3, method, request_) == b"rows"
        assert owner.reads == [(3, method, request_)]
        assert wire.places == [Place("history", 3)]


@pytest.mark.parametrize(
    ("raised", "heard"),
    [
        (Stale("gone"), Stale),
        (NotTheOwner("moved"), NotTheOwner),
        (OutcomeUnknown("lost"), OutcomeUnknown),
        (Internal("bug"), Internal),
        (Unavailable("no log"), Unavailable),
        (InvalidArgument("what"), Rejected),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_c5_verdicts_are_told_apart(raised: ServiceError, heard: type[ServiceError]) -> None:
    """Obsolete is final, not the owner and unknown are asked again."""
    for owner, calls, _ in ways():
        owner.outcome = raised
        with pytest.raises(heard):
            await calls.own_work(3, _ASKS[0])


async def test_c5_full_owner_did_nothing() -> None:
    """Its task is offered again later."""
    _, (owner, calls, _) = ways()
    owner.outcome = ResourceExhausted("full")
    with pytest.raises(NotTheOwner):
        await calls.own_work(3, _ASKS[0])


async def test_m2_first_frontend_hands_a_polls_task_back_by_its_id() -> None:
    """It never saw the answer; the owner of the queue knows which task it was."""
    for owner, calls, _ in ways():
        await calls.hand_back(Place("matching", 1), _SPACE, "poll")
        assert owner.handed_back == [(_SPACE, "poll")]


async def test_m4_query_is_handed_over_to_the_owner_of_its_queue() -> None:
    """With the time it has, and what came of it comes back."""
    for owner, calls, wire in ways():
        query = QueryTask("q", b"poll answer", is_sticky=True)
        assert await calls.query("id", "queue", query, timeout_s=3) is Handed.NOT_POLLED
        assert owner.queries == [("id", "queue", query, 3)]
        assert [place.role for place in wire.places if place] == ["matching"]


async def test_c5_body_of_another_version_is_refused() -> None:
    """Releases that do not understand one another say so."""
    node = Node()
    serves = served(node, node)
    for path in PATHS:
        for body in (b"", b"\x02\x90", b"\x01garbage"):
            with pytest.raises(InvalidArgument):
                await serves[path](body)


def test_answered_error_keeps_its_own_status() -> None:
    """What goes on to the client are the owner's bytes."""
    refusal = InvalidArgument("what")
    answered = error_of(3, "what", outcome="answered", status=refusal.status())
    assert isinstance(answered, Answered)
    assert answered.status() == refusal.status()
