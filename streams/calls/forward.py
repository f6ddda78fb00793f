"""One request, wherever its owner is: served here, or forwarded as it is (C2).

An errand is tried at the owner, this node or another one. "Not the owner" and "outcome unknown"
both mean: look the owner up and ask again under the same id, with pauses that end early when
`owners` has news, until the caller's deadline and for at most a minute. A feature knows nothing of
it: it is written once, for the local case. This file knows no RPC and no transport.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from schemas.errors import (
    DeadlineExceeded,
    NotTheOwner,
    OutcomeUnknown,
    ServiceError,
    Unavailable,
)
from streams.calls.asked import Metadata
from streams.calls.outcomes import PeerLost
from streams.calls.owners import Owner
from streams.calls.pause import Pause
from streams.log.ports import Clock, Random
from streams.metrics import Count, Metrics

PATIENCE_S: Final = 60.0
"""How long an errand that fails is repeated at most."""
HURRY_S: Final = 4.0
"""How long a long poll that needs its owner's answer may last while this node stops."""


class Place(NamedTuple):
    """Who must serve: the owner of a partition of a role."""

    role: str
    partition: int


class Errand(Protocol):
    """What is asked, and how it is served by the owner itself."""

    @property
    def path(self) -> str:
        """The method at the owner's internal port."""
        ...

    @property
    def body(self) -> bytes:
        """The request, as it came."""
        ...

    @property
    def is_wait(self) -> bool:
        """Whether it is a long poll, which may last as long as its caller likes."""
        ...

    def place(self) -> Place | None:
        """Return who must serve it, as far as is known now; None: anybody may."""
        ...

    async def here(self) -> bytes:
        """Serve it; raises NotTheOwner where that is wrong."""
        ...

    def metadata(self) -> Metadata:
        """Return what goes along with it."""
        ...

    def heard(self, told: Metadata) -> None:
        """Take note of what came along with another node's answer."""
        ...

    def ended(self) -> bytes | None:
        """Return what a planned stop answers to it (C7); None: it must go on elsewhere."""
        ...

    def left(self, place: Place) -> None:
        """Take note that nobody waits any more for what another node was asked (M2)."""
        ...


class Pending(Protocol):
    """A call to another node that is under way."""

    @property
    def told(self) -> Metadata:
        """What came along with the answer."""
        ...

    async def answer(self) -> bytes:
        """Return the answer; raises ServiceError, and CancelledError once cancelled."""
        ...

    def cancel(self) -> None:
        """Cancel it, there too."""
        ...


class Peers(Protocol):
    """The other nodes' internal ports."""

    def ask(
        self, address: str, path: str, body: bytes, *, metadata: Metadata, timeout_s: float
    ) -> Pending:
        """Begin a call."""
        ...


class Owners(Protocol):
    """Who owns what (C1)."""

    def owner(self, role: str, partition: int) -> Owner | None:
        """Return who owns a partition, as far as it is known here."""
        ...

    def listen(self, listener: Callable[[Owner], None]) -> None:
        """Call a listener whenever another claim counts for a partition."""
        ...


class Home(NamedTuple):
    """This node: its internal address, and the epoch of its own accepted claim (0: none)."""

    address: str
    epoch: Callable[[Place], int]


class _Open:
    """A call to another node, and why we cancelled it."""

    __slots__ = ("error", "is_wait", "owner", "pending")

    def __init__(self, pending: Pending, owner: Owner, *, is_wait: bool) -> None:
        self.pending = pending
        self.owner = owner
        self.is_wait = is_wait
        self.error: ServiceError | None = None

    def end(self, error: ServiceError) -> None:
        """Cancel it; who waits for it hears this error."""
        self.error = error
        self.pending.cancel()


class Forward:
    """Brings errands to their owners."""

    def __init__(  # noqa: PLR0913  what a node has of the others
        self,
        owners: Owners,
        peers: Peers,
        home: Home,
        *,
        clock: Clock,
        random: Random,
        metrics: Metrics,
        suspect: Callable[[Owner], None] = lambda _: None,
    ) -> None:
        """`suspect` hears of owners that could not be reached (V6)."""
        self._owners = owners
        self._peers = peers
        self._home = home
        self._clock = clock
        self._pause = Pause(random)
        self._suspect = suspect
        self._open: dict[Place, set[_Open]] = {}
        self._news: dict[Place | None, asyncio.Future[None]] = {}
        self._is_ending = False
        self._forwards: Count = metrics.count(
            "millrace_streams_forwards_total", "Requests forwarded to their owners (C2)."
        )
        self._repeats: Count = metrics.count(
            "millrace_streams_repeats_total", "Requests asked again (C2)."
        )
        owners.listen(self._on_owner)

    async def serve(self, errand: Errand, timeout_s: float) -> bytes:
        """Have an errand served, however often its owner changes.

        Raises what the owner answered; DeadlineExceeded when the time is up, which does not say
        that nothing happened; Unavailable after a minute of repeats.
        """
        until = self._clock.monotonic() + timeout_s
        if not self._is_hurried(errand):
            answer = await self._repeat(errand, until)
            if answer is not None:
                return answer
        return await self._hurry(errand, until)

    async def _repeat(self, errand: Errand, until: float) -> bytes | None:
        """Try until an instant; None: this node stops, and a long poll must not go on."""
        now = began_at = self._clock.monotonic()
        failing_since = 0.0
        failures = 0
        is_hurried = self._is_hurried(errand)
        while True:
            place = errand.place()
            try:
                return await self.once(place, errand, until - now)
            except (NotTheOwner, OutcomeUnknown) as error:
                last = error
            if self._is_hurried(errand) and not is_hurried:
                return None
            now = self._clock.monotonic()
            self._repeats.value += 1
            if not failures or (errand.is_wait and now - began_at > PATIENCE_S / 60):
                failing_since, failures = now, 0
            pause_s = self._pause.after(failures)
            failures += 1
            if now + pause_s >= until:
                await asyncio.sleep(max(0.0, until - now))
                raise DeadlineExceeded(f"deadline exceeded; last: {last.message}") from last
            if now + pause_s - failing_since >= PATIENCE_S:
                raise Unavailable(last.message) from last
            await self._rest(place, pause_s)
            now = began_at = self._clock.monotonic()

    async def _hurry(self, errand: Errand, until: float) -> bytes:
        """Answer a long poll while this node stops (C7): empty, or by an owner with little time."""
        answer = errand.ended()
        if answer is not None:
            return answer
        soon = self._clock.monotonic() + HURRY_S
        try:
            answer = await self._repeat(errand, min(until, soon))
        except DeadlineExceeded as error:
            if until <= soon:
                raise
            raise Unavailable(error.message) from error
        assert answer is not None, "expected an errand that is hurried already to go on"
        return answer

    def _is_hurried(self, errand: Errand) -> bool:
        return self._is_ending and errand.is_wait

    async def once(self, place: Place | None, errand: Errand, timeout_s: float) -> bytes:
        """Try an errand once, here or at its owner."""
        owner = None if place is None else self._elsewhere(place)
        if owner is None:
            return await errand.here()
        assert place is not None, "expected who is elsewhere to have a place"
        return await self._there(place, owner, errand, timeout_s)

    def end_waits(self) -> None:
        """Answer forwarded long polls as a planned stop does (C7); the other errands go on."""
        self._is_ending = True
        for opens in self._open.values():
            for each in opens:
                if each.is_wait:
                    each.end(NotTheOwner("this node stops"))
        for news in self._news.values():
            _tell(news)

    def _elsewhere(self, place: Place) -> Owner | None:
        """Return the owner, if it is another node and ours is not the newer claim."""
        owner = self._owners.owner(place.role, place.partition)
        if owner is None or owner.address == self._home.address:
            return None
        return None if self._home.epoch(place) > owner.epoch else owner

    async def _there(self, place: Place, owner: Owner, errand: Errand, timeout_s: float) -> bytes:
        pending = self._peers.ask(
            owner.address,
            errand.path,
            errand.body,
            metadata=errand.metadata(),
            timeout_s=timeout_s,
        )
        self._forwards.value += 1
        opened = _Open(pending, owner, is_wait=errand.is_wait)
        opens = self._open.setdefault(place, set())
        opens.add(opened)
        try:
            answer = await pending.answer()
            if pending.told:
                errand.heard(pending.told)
            return answer  # noqa: TRY300  what follows are ways to fail
        except PeerLost:
            self._suspect(owner)
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            is_by_caller = opened.error is None or (task is not None and task.cancelling())
            if is_by_caller or (self._is_ending and opened.is_wait):
                pending.cancel()
                errand.left(place)
            if is_by_caller or opened.error is None:
                raise
            raise opened.error from None
        finally:
            opens.discard(opened)

    def _on_owner(self, owner: Owner) -> None:
        """Another claim counts: calls to another node than its own are lost at once (C2)."""
        place = Place(owner.role, owner.partition)
        for each in self._open.get(place, ()):
            if each.owner.address != owner.address:
                each.end(OutcomeUnknown(f"{place.role} {place.partition} has another owner now"))
        _tell(self._news.pop(place, None))

    async def _rest(self, place: Place | None, pause_s: float) -> None:
        """Pause, but not longer than until the place has another owner."""
        news = self._news.get(place)
        if news is None or news.done():
            news = self._news[place] = asyncio.get_running_loop().create_future()
        await asyncio.wait([news], timeout=pause_s)


def _tell(news: asyncio.Future[None] | None) -> None:
    if news is not None and not news.done():
        news.set_result(None)
