"""Calls between roles (C5): one role asks the owner of another role's partition.

All are idempotent, a lost one is asked again by who made it: start a task for a poll, hand a task
back, a sticky queue is dead, hand a query over, a worker ends (decision 7), read closed runs that
wait for their archive, one is archived or set aside (decision 12), scan rows (of an index that is
built anew). A further kind needs a decision record. Bodies are MessagePack behind a version byte.
This file decides nothing; offers are appends to `tasks` and need no call.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeVar

import msgspec

from schemas.errors import InvalidArgument, NotTheOwner, OutcomeUnknown
from schemas.ids import queue_partition
from streams.calls.asked import ID_BYTES, Asked, Metadata, headers
from streams.calls.forward import Errand, Place
from streams.calls.outcomes import Answered, refusal_of
from streams.log.partition import Scanned
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

HISTORY: Final = "history"
MATCHING: Final = "matching"
SERVICE: Final = "/millrace.internal.v1.Roles/"
CALL_TIMEOUT_S: Final = 10.0
_VERSION: Final = b"\x01"
_OWN_WORK: Final[dict[str, type[msgspec.Struct]]] = {
    "StartTask": StartTask,
    "HandBack": HandBack,
    "StickyDead": StickyDead,
    "Archived": Archived,
    "SetAside": SetAside,
}
_READS: Final[dict[str, type[msgspec.Struct]]] = {
    "Waiting": ReadWaiting,
    "ClosedRun": ReadClosedRun,
    "Backlog": ReadBacklog,
}
_HAND_BACK_POLL: Final = f"{SERVICE}HandBackPoll"
_QUERY: Final = f"{SERVICE}HandOverQuery"
_END_WORKER: Final = f"{SERVICE}EndWorker"
_QUERY_SLACK_S: Final = 1.0  # matching says itself that the time is up
_SCAN: Final = f"{SERVICE}ScanRows"
_METADATA: Final = headers(Asked(bytes(ID_BYTES)))

T = TypeVar("T", bound=msgspec.Struct)
Serve = Callable[[bytes], Awaitable[bytes]]


class _Work(msgspec.Struct, frozen=True, array_like=True):
    """Own work of a history partition, asked by another role."""

    partition: int
    namespace: Namespace
    workflow_id: str
    request: msgspec.Raw


class _Read(msgspec.Struct, frozen=True, array_like=True):
    """A read of accepted state of a history partition, asked by another role (R1)."""

    partition: int
    request: msgspec.Raw


class _Scan(msgspec.Struct, frozen=True, array_like=True):
    """Some runs of a history partition."""

    partition: int
    after: str
    limit: int


class _PolledTask(msgspec.Struct, frozen=True, array_like=True):
    """What a poll was answered with, that never reached its caller (M2)."""

    namespace: Namespace
    poll_id: str


class _HandedQuery(msgspec.Struct, frozen=True, array_like=True):
    """A query for the pollers of a task queue (M4)."""

    namespace_id: str
    queue: str
    query: QueryTask
    timeout_s: float


class History(Protocol):
    """The history partitions of this node."""

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide the owner's own work."""
        ...

    async def read(self, partition: int, method: str, request: object, namespace_id: str) -> bytes:
        """Read accepted state."""
        ...

    async def scan(self, partition: int, after: str, limit: int) -> Scanned:
        """Return some runs with their position."""
        ...


class Matching(Protocol):
    """The task queues of this node."""

    def hand_back(self, namespace: Namespace, poll_id: str) -> None:
        """Take back what a poll was answered with."""
        ...

    async def query(
        self, namespace_id: str, queue: str, query: QueryTask, *, timeout_s: float
    ) -> Handed:
        """Give a query to a poll of a task queue."""
        ...

    def end_worker(self, end: WorkerEnd) -> None:
        """End what a worker had in a task queue."""
        ...


class Way(Protocol):
    """Brings an errand to its owner; `streams/calls/forward.py` is the one implementation."""

    async def once(self, place: Place | None, errand: Errand, timeout_s: float) -> bytes:
        """Try once."""
        ...


class _RoleErrand:
    """An errand of our own."""

    is_wait = False

    def __init__(
        self, path: str, pack: Callable[[], bytes], here: Callable[[], Awaitable[bytes]]
    ) -> None:
        self.path = path
        self._pack = pack
        self._here = here

    @property
    def body(self) -> bytes:
        return _VERSION + self._pack()

    def place(self) -> Place | None:
        return None  # who asks knows it

    async def here(self) -> bytes:
        return await self._here()

    def metadata(self) -> Metadata:
        return _METADATA

    def heard(self, told: Metadata) -> None:
        """Nothing comes along with these."""

    def ended(self) -> bytes | None:
        return None

    def left(self, place: Place) -> None:
        """Nobody asks for it any more: all of these may happen or not."""


class RoleCalls:
    """History and matching as the other role sees them, wherever their partitions are."""

    def __init__(
        self, way: Way, history: History, matching: Matching, *, matching_partitions: int
    ) -> None:
        """`history` and `matching` are those of this node."""
        self._way = way
        self._history = history
        self.matching = matching
        self._matching_partitions = matching_partitions

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Have the owner decide its own work (L0).

        Raises Stale and other refusals, NotTheOwner, OutcomeUnknown, Unavailable.
        """
        errand = _RoleErrand(
            SERVICE + ask.method,
            lambda: _packed_work(partition, ask),
            lambda: self._history.own_work(partition, ask),
        )
        try:
            return await self._way.once(Place(HISTORY, partition), errand, CALL_TIMEOUT_S)
        except Answered as answered:
            raise refusal_of(answered) from None

    async def read(self, partition: int, method: str, request: msgspec.Struct) -> bytes:
        """Have the owner read its accepted state (R1).

        Raises refusals, NotTheOwner, OutcomeUnknown, Unavailable.
        """
        errand = _RoleErrand(
            SERVICE + method,
            lambda: _pack(_Read(partition, msgspec.Raw(_pack(request)))),
            lambda: self._history.read(partition, method, request, ""),
        )
        try:
            return await self._way.once(Place(HISTORY, partition), errand, CALL_TIMEOUT_S)
        except Answered as answered:
            raise refusal_of(answered) from None

    async def scan(self, partition: int, after: str, limit: int) -> Scanned:
        """Return some runs behind a run id with their position; raises NotTheOwner."""

        async def here() -> bytes:
            return _pack(await self._history.scan(partition, after, limit))

        errand = _RoleErrand(_SCAN, lambda: _pack(_Scan(partition, after, limit)), here)
        try:
            answer = await self._way.once(Place(HISTORY, partition), errand, CALL_TIMEOUT_S)
        except Answered as answered:
            raise refusal_of(answered) from None
        return msgspec.msgpack.decode(answer, type=Scanned)

    async def query(
        self, namespace_id: str, queue: str, query: QueryTask, *, timeout_s: float
    ) -> Handed:
        """Give a query to a poll of a task queue (M4); raises NotTheOwner, OutcomeUnknown."""

        async def here() -> bytes:
            found = await self.matching.query(namespace_id, queue, query, timeout_s=timeout_s)
            return found.name.encode()

        handed = _HandedQuery(namespace_id, queue, query, timeout_s)
        errand = _RoleErrand(_QUERY, lambda: _pack(handed), here)
        home = queue_partition(namespace_id, queue, self._matching_partitions)
        try:
            answer = await self._way.once(Place(MATCHING, home), errand, timeout_s + _QUERY_SLACK_S)
        except Answered as answered:
            raise refusal_of(answered) from None
        return Handed[answer.decode()]

    async def end_worker(self, end: WorkerEnd) -> None:
        """End what a worker had in a task queue; raises NotTheOwner, OutcomeUnknown."""

        async def here() -> bytes:
            self.matching.end_worker(end)
            return b""

        errand = _RoleErrand(_END_WORKER, lambda: _pack(end), here)
        home = queue_partition(end.namespace_id, end.queue, self._matching_partitions)
        try:
            await self._way.once(Place(MATCHING, home), errand, CALL_TIMEOUT_S)
        except Answered as answered:
            raise refusal_of(answered) from None

    async def hand_back(self, place: Place, namespace: Namespace, poll_id: str) -> None:
        """Tell the owner of a queue that a poll's answer never arrived (M2); it may be lost."""

        async def here() -> bytes:
            self.matching.hand_back(namespace, poll_id)
            return b""

        polled = _PolledTask(namespace, poll_id)
        errand = _RoleErrand(_HAND_BACK_POLL, lambda: _pack(polled), here)
        try:
            await self._way.once(place, errand, CALL_TIMEOUT_S)
        except (NotTheOwner, OutcomeUnknown, Answered):
            return  # its timeouts decide


def served(history: History, matching: Matching) -> Mapping[str, Serve]:
    """Return what a node answers to other roles, by method."""

    def own_work(method: str, kind: type[msgspec.Struct]) -> Serve:
        async def serve(body: bytes) -> bytes:
            work = _unpack(body, _Work)
            request = msgspec.msgpack.decode(work.request, type=kind)
            ask = Ask(method, work.namespace, work.workflow_id, request)
            return await history.own_work(work.partition, ask)

        return serve

    def read(method: str, kind: type[msgspec.Struct]) -> Serve:
        async def serve(body: bytes) -> bytes:
            asked = _unpack(body, _Read)
            request = msgspec.msgpack.decode(asked.request, type=kind)
            return await history.read(asked.partition, method, request, "")

        return serve

    async def scan(body: bytes) -> bytes:
        asked = _unpack(body, _Scan)
        return _pack(await history.scan(asked.partition, asked.after, asked.limit))

    async def hand_back_poll(body: bytes) -> bytes:
        polled = _unpack(body, _PolledTask)
        matching.hand_back(polled.namespace, polled.poll_id)
        return b""

    async def hand_over_query(body: bytes) -> bytes:
        asked = _unpack(body, _HandedQuery)
        found = await matching.query(
            asked.namespace_id, asked.queue, asked.query, timeout_s=asked.timeout_s
        )
        return found.name.encode()

    async def end_worker(body: bytes) -> bytes:
        matching.end_worker(_unpack(body, WorkerEnd))
        return b""

    calls = {SERVICE + method: own_work(method, kind) for method, kind in _OWN_WORK.items()}
    calls |= {SERVICE + method: read(method, kind) for method, kind in _READS.items()}
    return {
        **calls,
        _SCAN: scan,
        _HAND_BACK_POLL: hand_back_poll,
        _QUERY: hand_over_query,
        _END_WORKER: end_worker,
    }


PATHS: Final = (
    *(SERVICE + method for method in (*_OWN_WORK, *_READS)),
    _SCAN,
    _HAND_BACK_POLL,
    _QUERY,
    _END_WORKER,
)
"""Every method of these calls."""


def _packed_work(partition: int, ask: Ask) -> bytes:
    request = msgspec.Raw(_pack(ask.request))
    return _pack(_Work(partition, ask.namespace, ask.workflow_id, request))


def _pack(value: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(value)


def _unpack(body: bytes, kind: type[T]) -> T:
    if body[:1] != _VERSION:
        raise InvalidArgument(f"expected version {_VERSION!r} of {kind.__name__}: upgrade the node")
    try:
        return msgspec.msgpack.decode(body[1:], type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f"expected a {kind.__name__}, found {error}") from error
