"""A world for matching: a loop with a clock of its own, a toy history, a `tasks` log in memory.

`Life` is one process: it can crash at any point where it would touch the outside, and the next
life finds the same log, stores and history.
"""

import asyncio
import selectors
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from schemas.errors import NotTheOwner, OutcomeUnknown, Stale
from streams.log.ports import Appended, CommandBatch, Record, Store
from streams.matching.node import MatchingNode
from streams.matching.ports import Claimed, MatchingPorts
from streams.matching.settings import MatchingSettings
from topology.decision import Ask, Namespace
from topology.effects import OfferTask
from topology.own_work import HandBack, StartTask

NAMESPACE = Namespace("ns-id", "default", 1, 0)
SECOND = 1_000_000_000
T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Lets time pass instead of waiting."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        """Advance the loop's clock to its next timer."""
        assert timeout is not None, "expected something to happen, found everybody waits for ever"
        self.loop.now_s += max(timeout, 0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes when nothing else can be done."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now_s = 1_000.0
        super().__init__(selector)

    def time(self) -> float:
        """Return the virtual time, s."""
        return self.now_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


async def turns(count: int = 30) -> None:
    """Let everything run that can run now."""
    for _ in range(count):
        await asyncio.sleep(0)


class VirtualClock:
    """The loop's time as wall clock."""

    def now(self) -> int:
        """Return ns."""
        return round(asyncio.get_running_loop().time() * SECOND)

    def monotonic(self) -> float:
        """Return s."""
        return asyncio.get_running_loop().time()


class MemoryStore:
    """`ports.Store` in a dict that outlives its user; a closed one can no longer be used."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self.rows = rows
        self.is_closed = False

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        assert not self.is_closed, "expected an open store"
        return self.rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield rows in order."""
        assert not self.is_closed, "expected an open store"
        for key in sorted(self.rows):
            if key.startswith(prefix) and key >= start:
                yield key, self.rows[key]

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write rows."""
        assert not self.is_closed, "expected an open store"
        for key, value in rows.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value

    def discard(self) -> None:
        """Empty it."""
        self.rows.clear()

    def close(self) -> None:
        """Let nobody use it any more."""
        self.is_closed = True


class Log:
    """The topic `tasks`: it survives."""

    def __init__(self) -> None:
        self.topic_id = "topic-1"
        self.records: dict[int, list[Record]] = {}
        self.ends: dict[int, int] = {}
        self.appends: list[int] = []  # records of each append

    def append(
        self, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> list[Appended]:
        """Append records; return their offsets."""
        self.appends.append(len(records))
        out = []
        for key, value in records:
            offset = self.ends.get(partition, 0)
            self.ends[partition] = offset + 1
            self.records.setdefault(partition, []).append(Record(offset, key, value, 0))
            out.append(Appended(offset, 0))
        return out

    def read(self, partition: int, start: int, limit: int) -> Sequence[Record]:
        """Return records from an offset on."""
        records = self.records.get(partition, [])
        at = bisect_left(records, start, key=lambda record: record.offset)
        return records[at : at + limit]

    def compact(self) -> None:
        """Keep the last record of each key; drop tombstones, the last record of all included."""
        for partition, records in self.records.items():
            last = {record.key: record for record in records}
            kept = sorted(last.values(), key=lambda record: record.offset)
            self.records[partition] = [record for record in kept if record.value is not None]

    def values(self) -> int:
        """Return how many records are tasks (not tombstones)."""
        return sum(each.value is not None for some in self.records.values() for each in some)


TaskId = tuple[str, int, int, int]  # run, scheduled event, attempt, stamp


def task_id(ask: StartTask | HandBack | OfferTask) -> TaskId:
    """Name a task as history does."""
    return ask.run_id, ask.scheduled_event_id, ask.attempt, ask.stamp


class History:
    """A toy that decides about tasks and records every start: it survives."""

    def __init__(self) -> None:
        self.waiting: set[TaskId] = set()
        self.started: dict[TaskId, str] = {}
        self.starts: list[TaskId] = []
        self.handed_back: list[TaskId] = []
        self.asked = 0

    def schedule(self, offer: OfferTask) -> None:
        """Schedule a task."""
        self.waiting.add(task_id(offer))

    def decide(self, ask: Ask) -> bytes:
        """Start a task, or take it back."""
        self.asked += 1
        named = task_id(ask.request)
        if isinstance(ask.request, StartTask):
            return self._start(named, ask.request.poll_id)
        assert isinstance(ask.request, HandBack)
        if self.started.get(named) != ask.request.poll_id:
            raise Stale("not started for that poll")
        self.handed_back.append(named)
        return b""

    def _start(self, named: TaskId, poll_id: str) -> bytes:
        if named in self.started:
            if self.started[named] != poll_id:
                raise Stale("started for another poll")
        elif named in self.waiting:
            self.waiting.discard(named)
            self.started[named] = poll_id
            self.starts.append(named)
        else:
            raise Stale("gone")
        return repr(named).encode()


def answer_to(offer: OfferTask) -> bytes:
    """Return what a poll is answered with that gets a task."""
    return repr(task_id(offer)).encode()


def started(answer: bytes) -> bytes:
    """Return an answer without the hints that matching appended."""
    return answer.split(b")")[0] + b")" if answer else answer


class Claim(NamedTuple):
    """A claim."""

    role: str
    partition: int
    epoch: int
    incarnation: bytes


class ClaimsLog:
    """`owners`: it survives."""

    def __init__(self) -> None:
        self.epochs: dict[int, int] = {}
        self.listeners: list[Callable[[Claimed], None]] = []

    def claim(self, role: str, partition: int) -> Claim:
        """Claim."""
        self.epochs[partition] = self.epochs.get(partition, 0) + 1
        claim = Claim(role, partition, self.epochs[partition], b"%d" % self.epochs[partition])
        for listener in self.listeners:
            listener(claim)
        return claim


class Outside:
    """What survives every crash."""

    def __init__(self) -> None:
        self.log = Log()
        self.history = History()
        self.claims = ClaimsLog()
        self.rows: dict[int, dict[bytes, bytes]] = {}

    def stored(self) -> list[bytes]:
        """Return the keys of all stored tasks."""
        return [key for rows in self.rows.values() for key in rows if key.startswith(b"k")]


class Crash(Exception):
    """The process of this life is gone."""


class Life:
    """One process: a node, and its ways to the outside, cut when it crashes."""

    def __init__(
        self,
        outside: Outside,
        settings: MatchingSettings | None = None,
        *,
        crash_at: int = 0,
        stores: Callable[[int], Store] | None = None,
    ) -> None:
        self.outside = outside
        self.deleted: set[str] = set()  # namespaces
        self.is_dead = False
        self.crashed = asyncio.Event()
        self.faults: list[Exception] = []  # raised by the next asks to history
        self.late_faults: list[Exception] = []  # the same, after history has decided
        self.failing_appends = 0
        self.holds_history: asyncio.Event | None = None
        self.is_reading = True
        self.batch_limit = 1_000
        self._points = 0
        self._crash_at = crash_at
        self._stores = stores or self._memory_store
        self._read_to: dict[int, int] = {}
        ports = MatchingPorts(
            starter=self,
            tasks=self,
            admin=self,  # type: ignore[arg-type]  # only what matching asks
            stores=self._stores,
            claims=self,
            clock=VirtualClock(),
            is_deleted=lambda namespace_id: namespace_id in self.deleted,
        )
        self.node = MatchingNode(ports, settings or MatchingSettings())
        self.node.topic = self

    async def start(self, *partitions: int) -> "Life":
        """Start the node, give it partitions, and wait until it has claimed them."""
        await self.node.start()
        self.node.assigned(set(partitions or range(self.node.partitions)), 1)
        self.pump()
        await turns()
        return self

    @property
    def points(self) -> int:
        """Return how often this life touched the outside."""
        return self._points

    async def point(self) -> None:
        """A point where the process may die."""
        if not self.touch():
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)

    def touch(self) -> bool:
        """Touch the outside; False: the process is dead."""
        self._points += not self.is_dead
        if self._points == self._crash_at:
            self.is_dead = True
            self.crashed.set()
        return not self.is_dead

    # -- history

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide."""
        assert partition >= 0
        await self.point()
        if self.holds_history is not None:
            await self.holds_history.wait()
        if self.faults:
            raise self.faults.pop(0)
        answer = self.outside.history.decide(ask)
        await self.point()
        if self.late_faults:
            raise self.late_faults.pop(0)
        return answer

    # -- the log

    async def append(
        self, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> list[Appended]:
        """Append to `tasks`."""
        if self.failing_appends:
            self.failing_appends -= 1
            return [Appended(-1, 0)] * len(records)
        await self.point()
        appended = self.outside.log.append(partition, records)
        await self.point()
        self.pump()
        return appended

    def pump(self) -> None:
        """Hand in what is on the log, as the group's consumer would."""
        asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        if self.is_dead or not self.is_reading:
            return
        for partition in range(self.node.partitions):
            start = self._read_to.get(partition, 0)
            found = self.outside.log.read(partition, start, self.batch_limit)
            if not self.node.wants("tasks", partition):
                if found:
                    asyncio.get_running_loop().call_later(0.05, self._pump)
                continue
            if found:
                self._read_to[partition] = found[-1].offset + 1
                self.node.submit(CommandBatch("tasks", partition, start, found))
                self.pump()

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read on from there."""
        assert topic == "tasks"
        self._read_to[partition] = offset
        self.pump()

    async def topic_id(self, topic: str) -> str:
        """Return the id of `tasks`."""
        assert topic == "tasks"
        await self.point()
        return self.outside.log.topic_id

    async def end(self, topic: str, partition: int) -> int:
        """Return the end of `tasks`."""
        assert topic == "tasks"
        await self.point()
        return self.outside.log.ends.get(partition, 0)

    # -- claims

    async def claim(self, role: str, partition: int) -> Claim:
        """Claim a partition."""
        await self.point()
        claim = self.outside.claims.claim(role, partition)
        await self.point()
        return claim

    def listen(self, listener: Callable[[Claimed], None]) -> None:
        """Hear of claims."""
        self.outside.claims.listeners.append(listener)

    # -- rows

    def _memory_store(self, partition: int) -> Store:
        return _MortalStore(self, self.outside.rows.setdefault(partition, {}))

    # -- short forms

    def poll(
        self, poll_id: str, *, queue: str = "q", timeout_s: float = 30.0, identity: str = "me"
    ) -> asyncio.Task[bytes]:
        """Poll for a workflow task."""
        return asyncio.create_task(
            self.node.poll(
                NAMESPACE,
                queue,
                "workflow",
                poll_id=poll_id,
                identity=identity,
                timeout_s=timeout_s,
            )
        )

    def offer(self, offer: OfferTask) -> asyncio.Future[None]:
        """Offer a task that history has scheduled."""
        self.outside.history.schedule(offer)
        return self.node.offer(0, offer)


class _MortalStore(MemoryStore):
    """A store that nobody writes any more once its process is dead."""

    def __init__(self, life: Life, rows: dict[bytes, bytes]) -> None:
        super().__init__(rows)
        self._life = life

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write rows, unless the process dies before."""
        if self._life.touch():
            super().write(rows)


def offer_of(
    number: int, *, queue: str = "q", priority: int = 0, expires_at: int = 0, stamp: int = 0
) -> OfferTask:
    """Return the offer of a numbered run's first workflow task."""
    return OfferTask(
        namespace_id=NAMESPACE.id,
        namespace=NAMESPACE.name,
        queue=queue,
        kind="workflow",
        workflow_id=f"workflow-{number}",
        run_id=f"run-{number}",
        scheduled_event_id=2,
        attempt=1,
        stamp=stamp,
        scheduled_at=1,
        expires_at=expires_at,
        priority=priority,
    )


NOT_THE_OWNER = NotTheOwner("elsewhere")
OUTCOME_UNKNOWN = OutcomeUnknown("who knows")
