"""What the frontend's functions need from the rest of the process. Protocols, and their bundle."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from archival.query import Page as ArchivedPage
from archival.record import Record, Types
from archival.run import HistoryPage, RunKey
from schemas.temporal import history, query, service
from streams.archival.filters import Wanted
from streams.calls.asked import Asked
from streams.calls.waiters import Waiters
from streams.frontend.settings import FrontendSettings
from streams.frontend.transport import Call
from streams.log.ports import Clock, Random
from streams.search import Search
from topology.decision import Namespace
from topology.effects import TaskKind
from topology.matching.queue import Described
from topology.matching.tasks import Worker, WorkerEnd
from topology.tokens import QueryToken


class Namespaces(Protocol):
    """The namespaces, folded from their topic (N1)."""

    @property
    def position(self) -> int:
        """How far the topic is folded."""
        ...

    def by_name(self, name: str) -> Namespace | None:
        """Return a namespace by its name."""
        ...

    def by_id(self, namespace_id: str) -> Namespace | None:
        """Return a namespace by its id."""
        ...

    def records(self) -> Sequence[dict[str, object]]:
        """Return the Avro fields of all namespaces."""
        ...

    async def read_to_end(self) -> None:
        """Fold what the topic holds by now."""
        ...


class Gateway(Protocol):
    """The way to the partition of a workflow id on this node."""

    written: str
    """The position of the write that this request was; empty: none yet."""

    def under(self, asked: Asked) -> "Gateway":
        """Return the gateway for one request, whose id its command carries."""
        ...

    async def ask(
        self,
        namespace: Namespace,
        workflow_id: str,
        method: str,
        request: bytes,
        *,
        timeout_s: float,
    ) -> bytes:
        """Have a command decided; return its answer."""
        ...

    async def beat(  # noqa: PLR0913  one beat is named by all of these
        self,
        namespace: Namespace,
        workflow_id: str,
        method: str,
        request: bytes,
        *,
        activity: str,
        heartbeat_timeout: int,
        timeout_s: float,
    ) -> bytes:
        """Have a heartbeat decided, together with others (T3); return its answer."""
        ...

    async def read(
        self,
        namespace: Namespace,
        workflow_id: str,
        method: str,
        request: object,
        *,
        timeout_s: float,
    ) -> bytes:
        """Read accepted state (R1)."""
        ...


class History(Protocol):
    """The history partitions of this node."""

    @property
    def partitions(self) -> int:
        """How many history partitions there are, on all nodes."""
        ...

    def watch(self, partition: int, run_id: str) -> asyncio.Future[None]:
        """Return a future resolved at the next accepted transition that touches a run."""
        ...


class Matching(Protocol):
    """The task queues."""

    async def poll(  # noqa: PLR0913  one poll is named by all of these
        self,
        namespace: Namespace,
        queue: str,
        kind: TaskKind,
        *,
        poll_id: str,
        identity: str,
        timeout_s: float,
        worker: Worker,
    ) -> bytes:
        """Wait for a task; return the poll answer, or nothing."""
        ...

    def describe(self, namespace_id: str, queue: str, kind: TaskKind) -> Described:
        """Return what is known of a task queue; raises NotTheOwner."""
        ...

    def hand_back(self, namespace: Namespace, poll_id: str) -> None:
        """Take back what a poll was answered with (M2)."""
        ...


class Workers(Protocol):
    """The owners of task queues, wherever they are (C5)."""

    async def end_worker(self, end: WorkerEnd) -> None:
        """End what a worker had in a task queue; raises NotTheOwner, OutcomeUnknown."""
        ...


class Queries(Protocol):
    """The queries that wait at the history partitions of this node."""

    async def ask(
        self,
        namespace: Namespace,
        request: service.QueryWorkflowRequest,
        *,
        leave_sticky: Callable[[str], Awaitable[object]],
        timeout_s: float,
    ) -> bytes:
        """Have a worker answer a query; return the response."""
        ...

    def answer(self, token: QueryToken, request: service.RespondQueryTaskCompletedRequest) -> None:
        """Take a worker's answer; raises NotFound, NotTheOwner."""
        ...

    def answering(
        self, run_id: str, results: Mapping[str, query.WorkflowQueryResult]
    ) -> AbstractContextManager[None]:
        """Hold the queries that a completed task answers; they are answered if it is accepted."""
        ...

    def riding(self, run_id: str) -> bytes:
        """Return the queries that a workflow task of a run is to carry, as a poll answer's."""
        ...


class Archives(Protocol):
    """The archives of closed runs, by URI."""

    @property
    def history_uri(self) -> str:
        """Where the histories of namespaces go that name no URI; empty: there is no default."""
        ...

    @property
    def visibility_uri(self) -> str:
        """Where their visibility records go."""
        ...

    async def check(self, uri: str) -> None:
        """Raise InvalidArgument unless runs can be archived at a URI."""
        ...

    async def history_page(self, uri: str, key: RunKey, size: int, token: bytes) -> HistoryPage:
        """Return a page of an archived history; raises NotFound."""
        ...

    async def last_event(self, uri: str, key: RunKey) -> history.HistoryEvent:
        """Return the last event of an archived history; raises NotFound."""
        ...

    async def describe(
        self, uri: str, key: RunKey, types: Types, *, closed_at: int | None = None
    ) -> Record:
        """Return the archived record of a run; raises NotFound."""
        ...

    async def list(
        self, uri: str, namespace_id: str, wanted: Wanted, *, size: int, token: bytes
    ) -> ArchivedPage:
        """Return a page of the archived runs that match, the last closed first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a function of the frontend may use."""

    namespaces: Namespaces
    gateway: Gateway
    history: History
    matching: Matching
    queries: Queries
    workers: Workers
    clock: Clock
    random: Random
    waiters: Waiters
    settings: FrontendSettings
    search: Search | None = None
    """Finds runs; a node without a search store has none."""
    archives: Archives | None = None
    """The archives of closed runs."""
    asked: Asked | None = None
    """The request that is being served."""

    def under(self, asked: Asked) -> "Services":
        """Return the services for one request; what it causes carries its id (L12, C4)."""
        return Services(
            namespaces=self.namespaces,
            gateway=self.gateway.under(asked),
            history=self.history,
            matching=self.matching,
            queries=self.queries,
            workers=self.workers,
            clock=self.clock,
            random=self.random,
            waiters=self.waiters,
            settings=self.settings,
            search=self.search,
            archives=self.archives,
            asked=asked,
        )

    def time_left(self, call: Call) -> float:
        """Return the seconds a call may still take."""
        if call.deadline is None:
            return self.settings.call_timeout_s
        return call.deadline - self.clock.monotonic()

    def new_id(self) -> str:
        """Return a new UUID."""
        return str(uuid.UUID(bytes=self.random.bytes(16), version=4))

    def poll_id(self) -> str:
        """Return the id of a poll: the request's, so that a repeat is the same poll (C4)."""
        return self.new_id() if self.asked is None else poll_id_of(self.asked)


def poll_id_of(asked: Asked) -> str:
    """Return the id of the poll that a request is."""
    return str(uuid.UUID(bytes=asked.id, version=4))
