"""An owner for the archiver's tests: a core at a desk, and archives that may fail."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from archival.archive import Archive
from archival.files import Disk, FileStore
from archival.settings import ArchivalSettings
from archival.uri import parse_uri
from schemas.temporal import history
from streams.archival.archives import Archives
from streams.archival.away import Away
from streams.archival.backlog import Owners
from streams.archival.batch import Batches
from streams.archival.node import ArchivalNode
from streams.clock import SystemClock
from tests.support.core import NAMESPACE, Desk
from topology.decision import Ask, HistoryFact, Namespace
from topology.namespace.archival import ENABLED, Archival
from topology.topics import EVENTS

SETTINGS = ArchivalSettings(blob_bytes=2_000, gather_s=0.0, workers_count=1)


def archiving(uri: str, namespace: Namespace = NAMESPACE) -> Namespace:
    """Return a namespace that archives at a URI."""
    target = Archival(ENABLED, uri)
    return msgspec.structs.replace(namespace, history_archival=target, visibility_archival=target)


class Calls:
    """The way to an owner: the desk's core."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.asked: Counter[str] = Counter()
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None

    async def read(self, partition: int, method: str, request: msgspec.Struct) -> bytes:
        """Read accepted state."""
        assert partition == 0
        self._count(method)
        return self.desk.read(method, request)

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide own work."""
        assert partition == 0
        self._count(ask.method)
        answer = self.desk.ask(ask.method, ask.request, workflow_id=ask.workflow_id)
        self.after(ask.method)
        return answer

    def _count(self, method: str) -> None:
        self.asked[method] += 1
        self.before(method)


class Folders(Archives):
    """Archives in folders, each on a disk of its own."""

    def __init__(self, settings: ArchivalSettings = SETTINGS) -> None:
        super().__init__(settings, SystemClock())
        self.disks: dict[str, Disk] = {}

    def at(self, uri: str) -> Archive:
        """Return the archive at a URI."""
        store = FileStore(Path(parse_uri(uri).path), disk=self.disks.get(uri, Disk()))
        return Archive(parse_uri(uri), store, SETTINGS)


class Spaces:
    """The namespaces that there are."""

    def __init__(self, *spaces: Namespace) -> None:
        self.spaces = spaces

    def all(self) -> tuple[Namespace, ...]:
        """Return them."""
        return self.spaces


class Steady:
    """No chance at all."""

    def bytes(self, count: int) -> bytes:
        """Return nothing but zeros."""
        return bytes(count)

    def fraction(self) -> float:
        """Return the middle."""
        return 0.5


class EmptyLog:
    """Admin of a log that nobody reads."""

    async def end(self, topic: str, partition: int) -> int:
        """Its end."""
        assert (topic, partition) == (EVENTS.name, 0)
        return 7


@asynccontextmanager
async def running(
    calls: Calls,
    archives: Archives,
    *spaces: Namespace,
    settings: ArchivalSettings = SETTINGS,
    longest_s: float = 0.02,
) -> AsyncIterator[ArchivalNode]:
    """Run a node that has the partition."""
    away = Away(SystemClock(), Steady(), longest_s=longest_s)
    owners = Owners(calls)
    node = ArchivalNode(
        owners,
        Batches(owners, archives, away),
        Spaces(*spaces),
        settings,
        away=away,
        admin=EmptyLog(),  # type: ignore[arg-type]  # asks for nothing else
    )
    node.assigned({0}, 1)
    try:
        yield node
    finally:
        await node.stop()
        archives.close()


def folded(desk: Desk) -> dict[str, list[history.HistoryEvent]]:
    """Return the history of each run as the log has it."""
    runs: dict[str, list[history.HistoryEvent]] = {}
    for _, changes in desk.log:
        for change in changes:
            events = runs.setdefault(change.run_id, [])
            events += [
                history.HistoryEvent.FromString(fact.body)
                for fact in change.facts
                if isinstance(fact, HistoryFact)
            ]
    return runs
