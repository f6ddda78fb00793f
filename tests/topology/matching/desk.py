"""A desk around one pure task queue: a log, rows, and a history that records verdicts."""

from collections.abc import Iterator

from topology.decision import Namespace
from topology.effects import OfferTask
from topology.matching import rows as stored
from topology.matching.queue import TaskQueue
from topology.matching.rows import Arrived, Position, Removed, TaskRecord
from topology.matching.tasks import Match, Poll, QueueKey, Task, key_of, value_of

NAMESPACE = Namespace("ns-id", "default", 1, 0)
QUEUE = QueueKey("ns-id", "a/queue", "activity")


class MemoryRows:
    """Rows in a dict."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        return self.rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield rows in order."""
        for key in sorted(self.rows):
            if key.startswith(prefix) and key >= start:
                yield key, self.rows[key]

    def write(self, rows: dict[bytes, bytes | None]) -> None:
        """Write rows."""
        for key, value in rows.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


def task(number: int, *, priority: int = 0, expires_at: int = 0) -> Task:
    """Return a numbered task."""
    offer = OfferTask(
        namespace_id=QUEUE.namespace_id,
        namespace="default",
        queue=QUEUE.queue,
        kind=QUEUE.kind,
        workflow_id="workflow",
        run_id="run",
        scheduled_event_id=number,
        attempt=1,
        stamp=0,
        scheduled_at=0,
        expires_at=expires_at,
        priority=priority,
    )
    return Task(key_of(offer), 0, offer)


def number_of(one: Task) -> int:
    """Return the number of a task."""
    return one.offer.scheduled_event_id


class Desk:
    """One queue, and all that survives it."""

    def __init__(self) -> None:
        self.log: list[tuple[bytes, bytes | None]] = []
        self.rows = MemoryRows()
        self.folded = 0
        self.now = 0
        self.started: dict[int, str] = {}
        self.matches: list[Match] = []
        self.offered: list[Task] = []
        self.expired: list[int] = []
        self.queue = self._load()
        self._polls = 0

    def offer(self, one: Task) -> None:
        """Offer a task: to a poll at once, else to the log."""
        self.offered.append(one)
        poll = self.queue.match(one, self.now)
        if poll is None:
            self.log.append((one.key, value_of(one)))
        else:
            self.matches.append(Match(one, poll))

    def poll(self) -> str:
        """Let another poll wait."""
        self._polls += 1
        poll_id = f"p{self._polls}"
        self.queue.wait(Poll(poll_id, "me", NAMESPACE), self.now)
        self.look()
        return poll_id

    def look(self) -> None:
        """Match what waits."""
        is_more = True
        while is_more and self.queue.may_match:
            offered = self.queue.offer(self.rows, self.now)
            self.matches += offered.matches
            for one in offered.expired:
                self.expired.append(number_of(one))
                self.log.append((one.key, None))
            is_more = offered.is_more

    def fold(self, count: int = 1_000_000) -> None:
        """Fold some records of the log."""
        end = min(self.folded + count, len(self.log))
        records = [TaskRecord(at, *self.log[at]) for at in range(self.folded, end)]
        folded = stored.fold(records, self.rows, Position("topic", end))
        self.rows.write(folded.rows)
        self.folded = end
        for happened in folded.happened:
            match happened:
                case Removed():
                    self.queue.backlog.on_removed(happened.key, happened.level)
                case Arrived(is_repeated=True):
                    self.queue.backlog.on_repeated(happened.task)
                case Arrived():
                    self.queue.backlog.on_stored(happened.offset, happened.task)
        self.look()

    def start(self, at: int = 0) -> int:
        """Let history start a matched task, or refuse it; return its number."""
        match = self.matches.pop(at)
        number = number_of(match.task)
        holder = self.started.setdefault(number, match.poll.poll_id)
        self.log.append((match.task.key, None))
        if holder != match.poll.poll_id:
            self.queue.wait_on(match.poll)
            self.look()
        return number

    def fail(self, at: int = 0) -> None:
        """History could not be asked: the task goes back, the poll waits on."""
        match = self.matches.pop(at)
        if not self.queue.backlog.put_back(match.task):
            self.queue.backlog.add(match.task)
            self.log.append((match.task.key, value_of(match.task)))
        self.queue.wait_on(match.poll)
        self.look()

    def crash(self) -> None:
        """Lose all memory; what was not on the log is offered again."""
        appended = {key for key, _ in self.log}
        self.queue = self._load()
        self.matches.clear()
        for one in self.offered:
            if one.key not in appended and number_of(one) not in self.started:
                self.log.append((one.key, value_of(one)))

    def drain(self) -> None:
        """Poll until nothing is left."""
        self.fold()
        for _ in range(3 * len(self.offered) + 3):
            self.poll()
            while self.matches:
                self.start()
            self.fold()

    def _load(self) -> TaskQueue:
        return TaskQueue(QUEUE, stored=stored.stored_count(self.rows, QUEUE), now=self.now)
