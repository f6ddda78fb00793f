"""Errands and their owners, on stand-ins: an `owners` to write in, peers that answer by hand."""

import asyncio
from collections.abc import Callable

import pytest

from schemas.errors import DeadlineExceeded, NotFound, NotTheOwner, OutcomeUnknown, Unavailable
from streams.calls.asked import Metadata
from streams.calls.forward import HURRY_S, Forward, Home, Place
from streams.calls.outcomes import PeerLost
from streams.calls.owners import Owner
from streams.metrics import Metrics
from tests.support.virtual_time import run_virtually

_HOME = "here:1"
_PLACE = Place("history", 3)


def owner_at(address: str, *, epoch: int = 1) -> Owner:
    """Return an entry of `owners`."""
    return Owner(
        role=_PLACE.role,
        partition=_PLACE.partition,
        generation=1,
        partitions=4,
        epoch=epoch,
        incarnation=epoch.to_bytes(8),
        node=f"node at {address}",
        address=address,
        member_id=f"member at {address}",
        claimed_at=0,
    )


class Pending:
    """A call to another node, answered by hand."""

    def __init__(self, address: str, body: bytes, timeout_s: float) -> None:
        self.address = address
        self.body = body
        self.timeout_s = timeout_s
        self.told: Metadata = ()
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def answer(self) -> bytes:
        """Wait for the test."""
        return await self.future

    def cancel(self) -> None:
        """Cancel it."""
        self.future.cancel()


class Errand:
    """One that counts what happens to it."""

    path = "/Service/Method"
    body = b"as it came"

    def __init__(self, world: "World") -> None:
        self.is_wait = False
        self.stop_answer: bytes | None = None
        self.outcomes: list[bytes | Exception] = []
        self.here_count = 0
        self.left_from: list[Place] = []
        self.heard_of: list[Metadata] = []
        self._world = world

    def place(self) -> Place | None:
        """Where it belongs."""
        return _PLACE

    async def here(self) -> bytes:
        """Serve it as told; a node that is told nothing is not the owner."""
        self.here_count += 1
        if not self.outcomes:
            raise NotTheOwner("not here")
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def metadata(self) -> Metadata:
        """What goes along."""
        return (("client-name", "test"),)

    def heard(self, told: Metadata) -> None:
        """Keep it."""
        self.heard_of.append(told)

    def ended(self) -> bytes | None:
        """What a stop answers."""
        return self.stop_answer

    def left(self, place: Place) -> None:
        """Count."""
        self.left_from.append(place)


class World:
    """One node's view of the others."""

    def __init__(self) -> None:
        self.entry: Owner | None = None
        self.epoch = 0
        self.calls: list[Pending] = []
        self.metadata: list[Metadata] = []
        self.refusing: Exception | None = None
        self.suspects: list[Owner] = []
        self.listeners: list[Callable[[Owner], None]] = []
        self.errand = Errand(self)
        self.forward = Forward(
            self,
            self,
            Home(_HOME, lambda _: self.epoch),
            clock=self,
            random=self,
            metrics=Metrics(),
            suspect=self.suspects.append,
        )

    def owner(self, role: str, partition: int) -> Owner | None:
        """Who owns it."""
        assert (role, partition) == _PLACE
        return self.entry

    def listen(self, listener: Callable[[Owner], None]) -> None:
        """Remember who listens."""
        self.listeners.append(listener)

    def claim(self, entry: Owner) -> None:
        """Somebody claims."""
        self.entry = entry
        for listener in self.listeners:
            listener(entry)

    def ask(
        self, address: str, path: str, body: bytes, *, metadata: Metadata, timeout_s: float
    ) -> Pending:
        """Remember a call; fail it at once when told to."""
        assert path == Errand.path
        call = Pending(address, body, timeout_s)
        self.calls.append(call)
        self.metadata.append(metadata)
        if self.refusing is not None:
            call.future.set_exception(self.refusing)
        return call

    def now(self) -> int:
        """Wall clock."""
        return 0

    def monotonic(self) -> float:
        """The loop's."""
        return asyncio.get_running_loop().time()

    def fraction(self) -> float:
        """The longest pauses."""
        return 1.0

    def serving(self, timeout_s: float = 30) -> asyncio.Task[bytes]:
        """Begin to serve the errand."""
        return asyncio.ensure_future(self.forward.serve(self.errand, timeout_s))

    async def call(self, number: int) -> Pending:
        """Wait for a call to another node."""
        while len(self.calls) <= number:  # noqa: ASYNC110  virtual time costs nothing
            await asyncio.sleep(0.001)
        return self.calls[number]

    # the rest of random, last because of its name

    def bytes(self, count: int) -> bytes:
        """No randomness."""
        return count.to_bytes(count)


def test_what_is_ours_is_served_here() -> None:
    """The local case is a call of a function."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at(_HOME)
        world.errand.outcomes = [b"done"]
        assert await world.serving() == b"done"
        assert world.calls == []

    run_virtually(scenario())


def test_c2_request_goes_to_the_owner_as_it_is() -> None:
    """Bytes, metadata and the remaining deadline; nothing is done here."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at("there:1")
        serving = world.serving(timeout_s=7)
        call = await world.call(0)
        assert (call.address, call.body, call.timeout_s) == ("there:1", b"as it came", 7)
        assert world.metadata == [(("client-name", "test"),)]
        call.future.set_result(b"done")
        assert await serving == b"done"
        assert world.errand.here_count == 0

    run_virtually(scenario())


def test_c2_refusal_of_the_owner_is_the_answer() -> None:
    """It is passed on, and not asked again."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at("there:1")
        world.refusing = NotFound("nobody")
        with pytest.raises(NotFound):
            await world.serving()
        assert len(world.calls) == 1

    run_virtually(scenario())


def test_c1_own_newer_claim_counts_before_owners_says_so() -> None:
    """The entry is written a moment after the claim."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at("there:1", epoch=4)
        world.epoch = 5
        world.errand.outcomes = [b"done"]
        assert await world.serving() == b"done"
        assert world.calls == []

    run_virtually(scenario())


@pytest.mark.parametrize("error", [NotTheOwner("moved"), OutcomeUnknown("lost")])
def test_c2_lost_owner_is_looked_up_and_asked_again(error: Exception) -> None:
    """Both mean: ask whoever owns it now, here or elsewhere."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at("there:1")
        serving = world.serving()
        (await world.call(0)).future.set_exception(error)
        world.entry = owner_at("elsewhere:1", epoch=2)
        (await world.call(1)).future.set_exception(error)
        assert [call.address for call in world.calls] == ["there:1", "elsewhere:1"]
        world.entry = owner_at(_HOME, epoch=3)
        world.errand.outcomes = [error, b"done"]
        assert await serving == b"done"

    run_virtually(scenario())


def test_c2_gives_up_at_the_callers_deadline() -> None:
    """The caller's own time ends the repeats."""

    async def scenario() -> None:
        world = World()
        with pytest.raises(DeadlineExceeded):
            await world.serving(timeout_s=7)
        assert world.monotonic() == pytest.approx(7)

    run_virtually(scenario())


def test_c2_gives_up_after_a_minute() -> None:
    """Whoever would wait longer hears UNAVAILABLE."""

    async def scenario() -> None:
        world = World()
        with pytest.raises(Unavailable) as caught:
            await world.serving(timeout_s=1_000)
        assert type(caught.value) is Unavailable
        assert 58 < world.monotonic() <= 60
        assert world.errand.here_count < 80

    run_virtually(scenario())


def test_c2_long_poll_that_lost_its_owner_late_has_its_patience_whole() -> None:
    """The minute is one of failures, not of waiting."""

    async def scenario() -> None:
        world = World()
        world.errand.is_wait = True
        world.entry = owner_at("there:1")
        serving = world.serving(timeout_s=1_000)
        call = await world.call(0)
        await asyncio.sleep(100)
        world.entry = None
        call.future.set_exception(NotTheOwner("moved"))
        await asyncio.sleep(50)
        assert not serving.done()
        world.claim(owner_at("there:2", epoch=2))
        (await world.call(1)).future.set_result(b"task")
        assert await serving == b"task"

    run_virtually(scenario())


def test_c2_open_calls_to_a_former_owner_are_lost_at_once() -> None:
    """`owners` names another node: nobody waits for the old one, which may be stopped."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at("there:1")
        serving = world.serving()
        first = await world.call(0)
        world.claim(owner_at("elsewhere:1", epoch=2))
        second = await world.call(1)
        assert first.future.cancelled()
        assert world.monotonic() < 0.1
        second.future.set_result(b"done")
        assert await serving == b"done"

    run_virtually(scenario())


def test_c2_open_calls_stay_when_the_same_node_claims_again() -> None:
    """It fails its own waiters where it must."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at("there:1")
        serving = world.serving()
        call = await world.call(0)
        world.claim(owner_at("there:1", epoch=2))
        await asyncio.sleep(1)
        call.future.set_result(b"done")
        assert await serving == b"done"
        assert len(world.calls) == 1

    run_virtually(scenario())


def test_c2_pause_ends_with_the_news() -> None:
    """Who waits for an owner need not sleep on when there is one."""

    async def scenario() -> None:
        world = World()
        serving = world.serving()
        await asyncio.sleep(20)
        world.claim(owner_at("there:1"))
        (await world.call(0)).future.set_result(b"done")
        assert await serving == b"done"
        assert world.monotonic() < 20.1

    run_virtually(scenario())


def test_c2_caller_who_leaves_cancels_the_owners_call() -> None:
    """Cancellation reaches the owner, and the errand hears of it (M2)."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at("there:1")
        serving = world.serving()
        call = await world.call(0)
        serving.cancel()
        await asyncio.wait([serving])
        assert serving.cancelled()
        assert call.future.cancelled()
        assert world.errand.left_from == [_PLACE]

    run_virtually(scenario())


def test_v6_owner_that_cannot_be_reached_is_suspected() -> None:
    """One that answers is not."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at("there:1")
        serving = world.serving()
        (await world.call(0)).future.set_exception(PeerLost("connection refused"))
        (await world.call(1)).future.set_exception(NotTheOwner("moved"))
        (await world.call(2)).future.set_result(b"done")
        await serving
        assert world.suspects == [owner_at("there:1")]

    run_virtually(scenario())


def test_c7_planned_stop_answers_forwarded_polls_empty() -> None:
    """Those at other nodes as well as those between two owners."""

    async def scenario() -> None:
        world = World()
        world.errand.is_wait = True
        world.errand.stop_answer = b""
        world.entry = owner_at("there:1")
        at_owner = world.serving()
        call = await world.call(0)
        world.entry = None
        between = world.serving()
        await asyncio.sleep(5)
        world.forward.end_waits()
        assert await at_owner == b""
        assert await between == b""
        assert call.future.cancelled()
        assert world.errand.left_from == [_PLACE]

    run_virtually(scenario())


def test_c7_poll_that_comes_during_a_planned_stop_is_answered_at_once() -> None:
    """Nobody is asked."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at("there:1")
        world.errand.is_wait = True
        world.errand.stop_answer = b""
        world.forward.end_waits()
        assert await world.serving() == b""
        assert (world.calls, world.errand.here_count) == ([], 0)

    run_virtually(scenario())


def test_c7_poll_without_an_empty_answer_is_given_little_time_at_its_owner() -> None:
    """Such a poll of a history needs the owner's token; its client is told to ask again."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at("there:1")
        world.errand.is_wait = True
        serving = world.serving(60)
        first = await world.call(0)
        world.forward.end_waits()
        second = await world.call(1)
        assert first.future.cancelled()
        assert (first.timeout_s, second.timeout_s) == (60, HURRY_S)
        second.future.set_result(b"page")
        assert await serving == b"page"
        late = world.serving(60)
        (await world.call(2)).future.set_exception(DeadlineExceeded("no answer"))
        with pytest.raises(Unavailable):
            await late

    run_virtually(scenario())


def test_c7_planned_stop_lets_commands_go_on_to_the_new_owner() -> None:
    """What cannot be answered empty finds its owner within the time that is left."""

    async def scenario() -> None:
        world = World()
        world.entry = owner_at(_HOME)
        serving = world.serving()
        world.forward.end_waits()
        await asyncio.sleep(0.5)
        world.claim(owner_at("there:1", epoch=2))
        (await world.call(0)).future.set_result(b"done")
        assert await serving == b"done"

    run_virtually(scenario())
