"""Stand-ins behind the frontend: an echo gateway, histories and task queues of one entry."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import NotTheOwner, ServiceError
from schemas.temporal import query, service
from streams.calls import asked as calls
from streams.calls.waiters import Waiters
from streams.frontend.services import Archives, Services
from streams.frontend.settings import FrontendSettings
from topology.decision import Namespace
from topology.effects import TaskKind
from topology.matching.queue import Described, Stats
from topology.matching.tasks import Worker, WorkerEnd
from topology.tokens import QueryToken

DEFAULT = Namespace(id="00000000-0000-4000-8000-00000000000d", name="default", state=1, retention=1)


class StubClock:
    """The real clocks."""

    def now(self) -> int:
        """Wall clock, ns."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class CountingRandom:
    """Bytes that count, and a fraction that stays."""

    def __init__(self) -> None:
        self.count = 0

    def bytes(self, count: int) -> bytes:
        """The next number."""
        self.count += 1
        return self.count.to_bytes(count)

    def fraction(self) -> float:
        """Always a half."""
        return 0.5


def record_of(namespace: Namespace, **more: object) -> dict[str, object]:
    """Return the Avro fields of a namespace."""
    return {
        "id": namespace.id,
        "name": namespace.name,
        "version": 1,
        "state": namespace.state,
        "retention": namespace.retention,
        "description": "",
        "owner_email": "",
        "custom_data": {},
        "registered_at": 0,
        "home": namespace.name,
        "history_archival_state": 0,
        "history_archival_uri": "",
        "visibility_archival_state": 0,
        "visibility_archival_uri": "",
        "bad_binaries": {},
        "search_attribute_aliases": {},
        "is_erased": False,
    } | more


@dataclass
class StubNamespaces:
    """Namespaces that appear once the topic is read to its end."""

    seen: dict[str, Namespace] = field(default_factory=lambda: {"default": DEFAULT})
    unread: dict[str, Namespace] = field(default_factory=dict)
    changes: dict[str, dict[str, object]] = field(default_factory=dict)
    left: int = 0
    reads: int = 0
    position: int = 7

    def by_name(self, name: str) -> Namespace | None:
        """By name, of what is read."""
        return self.seen.get(name)

    def by_id(self, namespace_id: str) -> Namespace | None:
        """By id, of what is read."""
        return next((each for each in self.seen.values() if each.id == namespace_id), None)

    def records(self) -> list[dict[str, object]]:
        """What is read, as Avro fields."""
        return [
            record_of(each, **(self.changes.get(each.id, {}) if self.left == 0 else {}))
            for each in self.seen.values()
        ]

    def publish(self, namespace_id: str, fields: dict[str, object], *, reads: int) -> None:
        """Change a record, for those who read to the end so often."""
        self.changes[namespace_id] = fields
        self.left = reads

    async def read_to_end(self) -> None:
        """Read what is unread."""
        self.reads += 1
        self.seen |= self.unread
        self.left = max(0, self.left - 1)


Asked = tuple[str, str, str, bytes]


def always(answer: bytes | Exception) -> Callable[[str, Any], bytes]:
    """Return a function that answers, or raises, the same to everything."""

    def answered(*_asked: object) -> bytes:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return answered


@dataclass
class StubGateway:
    """Remembers what it was asked; answers what it was told to."""

    answer: Callable[[str, bytes], bytes] = field(default_factory=lambda: always(b""))
    page: Callable[[str, Any], bytes] = field(default_factory=lambda: always(b""))
    reads: list[tuple[str, str, str, Any]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    beats: list[tuple[str, int]] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    blocked: asyncio.Event | None = None
    written: str = ""
    under_ids: list[bytes] = field(default_factory=list)

    def under(self, asked: calls.Asked) -> "StubGateway":
        """Remember the request's id."""
        self.under_ids.append(asked.id)
        return self

    async def ask(
        self,
        namespace: Namespace,
        workflow_id: str,
        method: str,
        request: bytes,
        *,
        timeout_s: float,
    ) -> bytes:
        """Remember a command, and answer it."""
        self.asked.append((namespace.name, workflow_id, method, request))
        self.timeouts.append(timeout_s)
        if self.blocked is not None:
            await self.blocked.wait()
        return self.answer(method, request)

    async def beat(
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
        """Remember a heartbeat, and answer it."""
        self.beats.append((activity, heartbeat_timeout))
        return await self.ask(namespace, workflow_id, method, request, timeout_s=timeout_s)

    async def read(
        self,
        namespace: Namespace,
        workflow_id: str,
        method: str,
        request: Any,
        *,
        timeout_s: float,
    ) -> bytes:
        """Remember a read, and answer it."""
        self.reads.append((namespace.name, workflow_id, method, request))
        self.timeouts.append(timeout_s)
        return self.page(method, request)


@dataclass
class StubHistory:
    """Watches that are resolved by hand."""

    partitions: int = 4
    watches: list[tuple[int, str, asyncio.Future[None]]] = field(default_factory=list)

    def watch(self, partition: int, run_id: str) -> asyncio.Future[None]:
        """A future for the test to resolve."""
        news = asyncio.get_running_loop().create_future()
        self.watches.append((partition, run_id, news))
        return news


@dataclass
class StubMatching:
    """A task queue that gives one answer, or lets its polls wait."""

    task: bytes | ServiceError | None = None
    polls: list[tuple[str, str, TaskKind, str, str, float]] = field(default_factory=list)
    polled: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: int = 0
    moves: int = 0
    handed_back: list[str] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    described: Described = field(default_factory=lambda: Described([], Stats(0, 0, 0, 0, None)))
    ends: list[WorkerEnd] = field(default_factory=list)
    asked: list[tuple[str, str, TaskKind]] = field(default_factory=list)

    def describe(self, namespace_id: str, queue: str, kind: TaskKind) -> Described:
        """Return what the test has put there."""
        self.asked.append((namespace_id, queue, kind))
        return self.described

    async def end_worker(self, end: WorkerEnd) -> None:
        """Remember what ends."""
        self.ends.append(end)

    def hand_back(self, namespace: Namespace, poll_id: str) -> None:
        """Remember what was handed back."""
        del namespace
        self.handed_back.append(poll_id)

    async def poll(
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
        """Remember a poll; answer it or wait for ever."""
        self.workers.append(worker)
        self.polls.append((namespace.name, queue, kind, poll_id, identity, timeout_s))
        self.polled.set()
        if self.moves:
            self.moves -= 1
            raise NotTheOwner("moved")
        if isinstance(self.task, ServiceError):
            raise self.task
        if self.task is not None:
            return self.task
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return b""


@dataclass
class StubQueries:
    """Queries that are answered at once."""

    asked: list[str] = field(default_factory=list)
    answers: list[QueryToken] = field(default_factory=list)
    results: list[tuple[str, dict[str, query.WorkflowQueryResult]]] = field(default_factory=list)
    carried: bytes = b""
    leaves_sticky: str = ""

    async def ask(
        self,
        namespace: Namespace,
        request: service.QueryWorkflowRequest,
        *,
        leave_sticky: Callable[[str], Awaitable[object]],
        timeout_s: float,
    ) -> bytes:
        """Remember a query, and answer it."""
        assert (namespace.name, timeout_s > 0) == ("default", True)
        self.asked.append(request.execution.workflow_id)
        if self.leaves_sticky:
            await leave_sticky(self.leaves_sticky)
        return b"answer"

    def answer(self, token: QueryToken, request: service.RespondQueryTaskCompletedRequest) -> None:
        """Remember a worker's answer."""
        assert request.task_token
        self.answers.append(token)

    @contextmanager
    def answering(
        self, run_id: str, results: Mapping[str, query.WorkflowQueryResult]
    ) -> Iterator[None]:
        """Remember what a completed task answers."""
        yield
        self.results.append((run_id, dict(results)))

    def riding(self, run_id: str) -> bytes:
        """Return what waits."""
        assert run_id
        return self.carried


@dataclass
class World:
    """One frontend's surroundings."""

    namespaces: StubNamespaces = field(default_factory=StubNamespaces)
    gateway: StubGateway = field(default_factory=StubGateway)
    history: StubHistory = field(default_factory=StubHistory)
    matching: StubMatching = field(default_factory=StubMatching)
    queries: StubQueries = field(default_factory=StubQueries)
    settings: FrontendSettings = field(default_factory=FrontendSettings)
    archives: Archives | None = None

    def services(self) -> Services:
        """The bundle that functions get."""
        return Services(
            namespaces=self.namespaces,
            gateway=self.gateway,
            history=self.history,
            matching=self.matching,
            queries=self.queries,
            workers=self.matching,
            clock=StubClock(),
            random=CountingRandom(),
            waiters=Waiters(limit=self.settings.max_pollers),
            settings=self.settings,
            archives=self.archives,
        )


@dataclass
class StubCall:
    """A call without a transport."""

    request: bytes
    deadline: float | None = field(default_factory=lambda: time.monotonic() + 30)
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    peer: str = "test"
    told: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, name: str, value: str) -> None:
        """Keep it."""
        self.told.append((name, value))
