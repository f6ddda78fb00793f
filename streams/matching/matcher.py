"""Brings tasks and polls together and sees each match through to the end.

match --history asked--> answered, obsolete, not started, or nobody there any more. Only history's
verdict removes a task or answers a poll (M1); a poll that is gone after the verdict has its task
handed back (M2).
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from schemas.errors import NotTheOwner
from schemas.instants import SECOND
from streams.log.ports import Clock
from streams.matching.counts import Counts
from streams.matching.held import HeldTasks
from streams.matching.queries import WaitingQueries
from streams.matching.served import ServedPartition
from streams.matching.settings import MatchingSettings
from streams.matching.tasks_log import TasksLog
from streams.matching.verdicts import Verdict, Verdicts
from streams.matching.waiting import Waiting, WaitingPolls
from topology.matching.answers import with_backlog_count, with_poller_change
from topology.matching.queue import TaskQueue
from topology.matching.tasks import Poll, QueueKey, Task, value_of


class _Match(NamedTuple):
    """A task and the poll it is for, with where both come from."""

    served: ServedPartition
    queue: TaskQueue
    task: Task
    waiting: Waiting
    is_fresh: bool = False  # not of the backlog


class Matcher:
    """The matches of a node that are under way."""

    def __init__(  # noqa: PLR0913  made in one place, from what it ties together
        self,
        log: TasksLog,
        held: HeldTasks,
        polls: WaitingPolls,
        *,
        queries: WaitingQueries,
        verdicts: Verdicts,
        clock: Clock,
        settings: MatchingSettings,
        counts: Counts,
        failed: Callable[[BaseException], None],
    ) -> None:
        """`failed` is told of bugs."""
        self._log = log
        self._held = held
        self._polls = polls
        self._queries = queries
        self._verdicts = verdicts
        self._clock = clock
        self._settings = settings
        self._counts = counts
        self._failed = failed
        self._later: dict[QueueKey, asyncio.TimerHandle] = {}
        self._under_way: set[asyncio.Task[Any]] = set()

    def look(self, served: ServedPartition, queue: TaskQueue) -> None:
        """Match what waits in a queue; the asks to history run on their own."""
        self._queries.match(queue)
        if not queue.may_match or not served.is_ready:
            return
        now = self._clock.now()
        queue.saw_poll(now)
        offered = queue.offer(served.store, now)
        self._counts.expired += len(offered.expired)
        for task in offered.expired:
            self._remove(served, queue, task)
        for match in offered.matches:
            bound = _Match(served, queue, match.task, self._bind(match.poll))
            self.spawn(self._see_through(bound))
        loop = asyncio.get_running_loop()
        if offered.is_more and not offered.delay:
            loop.call_soon(self.look, served, queue)
        elif offered.delay and queue.key not in self._later:
            delay_s = offered.delay / SECOND
            self._later[queue.key] = loop.call_later(delay_s, self._look_late, served, queue)

    def _look_late(self, served: ServedPartition, queue: TaskQueue) -> None:
        del self._later[queue.key]
        self.look(served, queue)

    def start_at_once(
        self, served: ServedPartition, queue: TaskQueue, task: Task, poll: Poll
    ) -> asyncio.Future[None]:
        """Have an offered task started for a poll, past `tasks`; resolved when performed (L18)."""
        performed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.saw_poll(self._clock.now())
        match = _Match(served, queue, task, self._bind(poll), is_fresh=True)
        self.spawn(self._perform(match, performed))
        return performed

    def leave_at_once(self, home: int, task: Task) -> asyncio.Future[None]:
        """Tell history of a dead sticky queue, past `tasks` (M3); resolved when performed."""
        performed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.spawn(self._leave_at_once(home, task, performed))
        return performed

    def leave(self, served: ServedPartition, queue: TaskQueue | None, task: Task) -> None:
        """Tell history that a task waits in a dead sticky queue (M3)."""
        self.spawn(self._leave(served, queue, task))

    def remove_swept(self, served: ServedPartition, expired: Sequence[Task]) -> None:
        """Drop expired tasks of queues that nobody polls."""
        self._counts.expired += len(expired)
        for task in expired:
            self._log.remove(served.number, task.key)

    def drop_expired(self) -> asyncio.Future[None]:
        """Return what says that an offer is performed: its task is expired."""
        self._counts.expired += 1
        performed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        performed.set_result(None)
        return performed

    def repeat(
        self, served: ServedPartition, queue: TaskQueue, task: Task, waiting: Waiting
    ) -> None:
        """Ask again for a poll that was answered: the same poll id gets the same answer (M1)."""
        self.spawn(self._ask(_Match(served, queue, task, self._bind(waiting.poll))))

    def hand_back(self, task: Task, poll: Poll) -> None:
        """Tell history that a started task did not reach its poll (M2)."""
        self._counts.handed_back += 1
        self.spawn(self._verdicts.hand_back(task, poll))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let something run to its end; `stop` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    async def stop(self, *, timeout_s: float) -> None:
        """Wait for what is under way; give up what takes longer."""
        for timer in self._later.values():
            timer.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)
        for task in self._under_way:
            task.cancel()

    def _bind(self, poll: Poll) -> Waiting:
        waiting = self._polls.by_id[poll.poll_id]
        waiting.is_matched = True
        return waiting

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failed(error)

    async def _perform(self, match: _Match, performed: asyncio.Future[None]) -> None:
        """See an offer through; what history could not be asked about goes to `tasks`."""
        try:
            verdict = await self._ask(match)
        except asyncio.CancelledError:  # a stop; whoever offered it will offer it again
            performed.cancel()
            raise
        self._counts.sync_matches += isinstance(verdict, bytes)
        if not isinstance(verdict, bytes) and verdict is not Verdict.OBSOLETE:
            match.queue.backlog.add(match.task)
            await self._log.put(match.served.number, match.task.key, value_of(match.task))
        if not performed.done():
            performed.set_result(None)

    async def _leave_at_once(self, home: int, task: Task, performed: asyncio.Future[None]) -> None:
        if await self._verdicts.leave_sticky(task):
            self._counts.left_sticky += 1
        else:
            await self._log.put(home, task.key, value_of(task))
        if not performed.done():
            performed.set_result(None)

    async def _leave(self, served: ServedPartition, queue: TaskQueue | None, task: Task) -> None:
        is_left = await self._verdicts.leave_sticky(task)
        self._counts.left_sticky += is_left
        if is_left and queue is not None:
            self._remove(served, queue, task)
        elif is_left and not served.is_closed:
            self._log.remove(served.number, task.key)
        elif queue is not None:
            self._put_back(served, queue, task)

    async def _see_through(self, match: _Match) -> None:
        """See a match with a task of the backlog through."""
        verdict = await self._ask(match)
        self._counts.backlog_matches += isinstance(verdict, bytes)
        if isinstance(verdict, bytes) or verdict is Verdict.OBSOLETE:
            self._remove(match.served, match.queue, match.task)
        elif verdict is Verdict.NOBODY:
            self._put_back(match.served, match.queue, match.task)
        else:
            asyncio.get_running_loop().call_later(
                self._settings.rest_delay_s, self._put_back, match.served, match.queue, match.task
            )

    async def _ask(self, match: _Match) -> bytes | Verdict:
        """Ask history; answer the poll or let it wait on."""
        verdict = await self._verdicts.ask(match.task, match.waiting)
        match.waiting.is_matched = False
        if isinstance(verdict, bytes):
            self._deliver(match, verdict)
        else:
            self._counts.obsolete += verdict is Verdict.OBSOLETE
            self._counts.not_started += verdict is Verdict.NOT_STARTED
            self._wait_on(match.served, match.queue, match.waiting)
        return verdict

    def _deliver(self, match: _Match, answer: bytes) -> None:
        match.queue.dispatched.count(self._clock.now())
        answer = self._with_hints(match, answer)
        if match.waiting.answer(answer):
            self._polls.remember(match.waiting.poll.poll_id, match.task)
        else:
            self.hand_back(match.task, match.waiting.poll)
        self._polls.forget(match.waiting)

    def _with_hints(self, match: _Match, answer: bytes) -> bytes:
        """Add what helps a worker to weigh its polls."""
        kind, queue, served = match.task.offer.kind, match.queue, match.served
        if served.is_closed:
            return answer
        waited_s = asyncio.get_running_loop().time() - match.waiting.began_at
        waited = round(waited_s * SECOND) if match.is_fresh else 0
        change = queue.poller_change(waited, served.store, self._clock.now())
        answer = with_poller_change(answer, kind, change)
        return with_backlog_count(answer, queue.backlog.count) if kind == "workflow" else answer

    def _wait_on(self, served: ServedPartition, queue: TaskQueue, waiting: Waiting) -> None:
        if waiting.is_gone:
            self._polls.forget(waiting)
        elif served.is_closed:
            waiting.fail(NotTheOwner("expected to own the task queue, found it lost"))
        elif waiting.is_over:
            waiting.answer(b"")
        else:
            queue.wait_on(waiting.poll)
            self.look(served, queue)

    def _remove(self, served: ServedPartition, queue: TaskQueue, task: Task) -> None:
        """Remove a taken task for good; one that was never written needs no tombstone."""
        if self._held.release(task.key):
            queue.backlog.on_removed(task.key, 0)
        elif not served.is_closed:  # only the owner writes tombstones
            self._log.remove(served.number, task.key)

    def _put_back(self, served: ServedPartition, queue: TaskQueue, task: Task) -> None:
        if not served.is_closed and queue.backlog.put_back(task):
            self.look(served, queue)
