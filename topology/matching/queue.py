"""One task queue: polls that wait, tasks and queries that wait, and who is given what.

Polls and tasks are both first come, first served; a lower priority number comes first. While a
poll waits no task does, but for a task that history could not be asked about. Whoever is matched
leaves the queue: the shell asks history, and then the task gets its tombstone or is put back, and
the poll is answered or waits on. Queries go before tasks: they wait in memory only (M4).
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from schemas.instants import MINUTE, SECOND
from topology.decision import Rows
from topology.matching.backlog import Backlog
from topology.matching.pace import Pace, Rate
from topology.matching.scaling import Scaling
from topology.matching.tasks import Match, Poll, QueryTask, QueueKey, Task

BUSY: Final = SECOND
"""A queue that was polled this lately will be polled again soon."""
IDLE: Final = 5 * MINUTE
"""A queue that nobody has used for so long is forgotten, its stored tasks are not."""
REMEMBERED: Final = 5 * MINUTE
"""So long a poller is remembered."""
POLLERS_LIMIT: Final = 1_000
"""So many pollers of a queue are remembered."""
SLICE: Final = 200
"""So many tasks are looked at in one go."""


class Offered(NamedTuple):
    """What to do now: ask history for matches, remove the expired; go on if there may be more."""

    matches: list[Match]
    expired: list[Task]
    is_more: bool
    delay: int = 0
    """Go on after so long, ns."""


class Poller(NamedTuple):
    """Who polled lately."""

    identity: str
    polled_at: int  # ns
    tasks_per_second: float | None  # the bound that it named


class Stats(NamedTuple):
    """What goes on in a queue; counts and rates are approximate."""

    backlog_count: int
    backlog_age: int  # ns
    add_rate: float  # tasks a second
    dispatch_rate: float  # the same
    limit: float | None  # tasks a second


class Described(NamedTuple):
    """What is known of a task queue."""

    pollers: list[Poller]
    stats: Stats


class TaskQueue:
    """The state of one task queue in memory."""

    def __init__(self, key: QueueKey, *, stored: int, now: int, polled_at: int = 0) -> None:
        """Load a queue that has so many stored tasks; it counts as polled at `polled_at` (M3)."""
        self.key = key
        self.backlog = Backlog(key, stored)
        self._polls: OrderedDict[str, Poll] = OrderedDict()
        self._seen: OrderedDict[str, Poller] = OrderedDict()
        self._queries: OrderedDict[str, QueryTask] = OrderedDict()
        self._used_at = now
        self._polled_at = polled_at
        self._pace = Pace()
        self.added = Rate(now)
        self.dispatched = Rate(now)
        self._scaling = Scaling(now)

    @property
    def waiting_count(self) -> int:
        """Return how many polls wait."""
        return len(self._polls)

    @property
    def may_match(self) -> bool:
        """Polls and tasks wait, as far as can be said without reading rows."""
        return bool(self._polls) and not self.backlog.is_empty

    def is_busy(self, now: int) -> bool:
        """Tell whether workers poll it all the time: a task will not wait for long."""
        return now - self._used_at < BUSY

    def wait(self, poll: Poll, now: int) -> None:
        """Let a poll wait behind the others, and remember who it was."""
        self._polls[poll.poll_id] = poll
        self._used_at = self._polled_at = now
        limit = poll.worker.tasks_per_second
        if limit is not None:
            self._pace.set(limit, now)
        self._seen[poll.identity] = Poller(poll.identity, now, limit)
        self._seen.move_to_end(poll.identity)
        if len(self._seen) > POLLERS_LIMIT:
            self._seen.popitem(last=False)

    def is_polled(self, now: int, within: int) -> bool:
        """Tell whether a poll waits, or one was there within so many ns."""
        return bool(self._polls) or now - self._polled_at < within

    def saw_poll(self, now: int) -> None:
        """A poll that waited was there until now."""
        self._polled_at = now

    def polls_of(self, worker: str) -> list[str]:
        """Return the ids of the polls of a worker that wait."""
        return [poll_id for poll_id, poll in self._polls.items() if poll.worker.key == worker]

    def drop(self) -> list[str]:
        """Forget whoever polled: its worker is gone. Return the ids of the polls that waited."""
        waiting = list(self._polls)
        self._polls.clear()
        self._seen.clear()
        self._polled_at = 0
        return waiting

    def ask(self, query: QueryTask) -> None:
        """Let a query wait behind the others."""
        self._queries[query.query_id] = query

    def withdraw(self, query_id: str) -> None:
        """Take a query out."""
        self._queries.pop(query_id, None)

    def match_query(self) -> tuple[QueryTask, Poll] | None:
        """Match the first query with the first poll, if both wait."""
        if not self._queries or not self._polls:
            return None
        return self._queries.popitem(last=False)[1], self._polls.popitem(last=False)[1]

    def wait_on(self, poll: Poll) -> None:
        """Let a poll that got nothing wait again, before the others."""
        self._polls[poll.poll_id] = poll
        self._polls.move_to_end(poll.poll_id, last=False)

    def leave(self, poll_id: str) -> bool:
        """Take a poll out; False: it does not wait (any more)."""
        return self._polls.pop(poll_id, None) is not None

    def match(self, task: Task, now: int) -> Poll | None:
        """Return the poll that an offered task goes to at once, past `tasks`.

        None: nobody waits, or others wait before it, or it is too early for another one; then it
        is added to the backlog.
        """
        if self._polls and self.backlog.is_empty and self._pace.take(now):
            return self._polls.popitem(last=False)[1]
        self.backlog.add(task)
        return None

    def offer(self, rows: Rows, now: int) -> Offered:
        """Match what waits with who waits, and take out what is expired."""
        matches: list[Match] = []
        expired: list[Task] = []
        while self._polls and len(matches) + len(expired) < SLICE:
            if delay := self._pace.delay(now):
                return Offered(matches, expired, is_more=True, delay=delay)
            task = self.backlog.take(rows) if delay is not None else None
            if task is None:
                return Offered(matches, expired, is_more=False)
            if task.is_expired(now):
                expired.append(task)
            else:
                self._pace.take(now)
                matches.append(Match(task, self._polls.popitem(last=False)[1]))
        return Offered(matches, expired, is_more=bool(self._polls))

    def pollers(self, now: int) -> list[Poller]:
        """Return who polled lately, the latest first."""
        self._forget_pollers(now)
        return list(reversed(self._seen.values()))

    def stats(self, rows: Rows, now: int) -> Stats:
        """Return what goes on."""
        oldest_at = self.backlog.oldest_at(rows)
        return Stats(
            backlog_count=self.backlog.count,
            backlog_age=max(0, now - oldest_at) if oldest_at else 0,
            add_rate=self.added.per_second(now),
            dispatch_rate=self.dispatched.per_second(now),
            limit=self._pace.per_second,
        )

    def poller_change(self, waited: int, rows: Rows, now: int) -> int:
        """Return the hint for a worker whose poll got a task after waiting so long, ns."""
        return self._scaling.change(waited, lambda: self.stats(rows, now), now)

    def is_idle(self, now: int) -> bool:
        """Tell whether it can be forgotten; forget old pollers, and rows that nobody waits for."""
        self._forget_pollers(now)
        if self._polls or self._queries:
            return False
        self.backlog.shrink()
        is_in_use = self.backlog.taken_count or self.backlog.fresh_count
        return not is_in_use and now - self._used_at >= IDLE

    def _forget_pollers(self, now: int) -> None:
        while self._seen:
            identity = next(iter(self._seen))
            if now - self._seen[identity].polled_at < REMEMBERED:
                return
            del self._seen[identity]
