"""The door of matching: polls, offers, and the batches of `tasks` come in here.

A poll waits at the owner of its queue's partition; an offer is performed once its task is on
`tasks` or history has answered it (L18). What is matched is seen through in `matcher.py`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol

import structlog

from schemas.errors import NotTheOwner, Unavailable
from schemas.ids import queue_partition
from schemas.instants import SECOND
from streams.log.ports import CommandBatch
from streams.matching.counts import Counts
from streams.matching.held import HeldTasks
from streams.matching.matcher import Matcher
from streams.matching.ports import Claimed, MatchingPorts
from streams.matching.queries import Handed, WaitingQueries
from streams.matching.served import ROLE, TOPIC, ServedPartition
from streams.matching.settings import MatchingSettings
from streams.matching.tasks_log import TasksLog
from streams.matching.verdicts import Verdicts
from streams.matching.waiting import Waiting, WaitingPolls
from topology.decision import Namespace
from topology.effects import OfferTask, TaskKind
from topology.matching import tasks
from topology.matching.queue import Described, TaskQueue
from topology.matching.tasks import Poll, QueryTask, QueueKey, Task, Worker, WorkerEnd

_log = structlog.get_logger(__name__)

_EMPTY: Final = b""
_UNKNOWN: Final = Worker()
_TAIL_PART: Final = 0.8
"""This part of the tail may pass while history is being asked."""


class Seeks(Protocol):
    """The topic `tasks` as the group's consumer reads it."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read on from an offset."""
        ...


class MatchingNode:
    """The matching role of one process."""

    def __init__(self, ports: MatchingPorts, settings: MatchingSettings | None = None) -> None:
        """Make it inside a running loop."""
        settings = settings or MatchingSettings()
        self.partitions = settings.partitions
        self.topic: Seeks | None = None
        """Set by whoever runs the group's consumer, before the first assignment."""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when a bug was met, a fold's too: then the process must stop (L7)."""
        self._ports = ports
        self._settings = settings
        self.counts = Counts()
        """What happened here so far."""
        self._log = TasksLog(ports.tasks, settings, self.counts)
        self._polls = WaitingPolls(
            polls_limit=settings.polls_limit, answered_limit=settings.answered_limit
        )
        self._held = HeldTasks(self._log, settings)
        self._queries = WaitingQueries(
            self._polls, clock=ports.clock, settings=settings, counts=self.counts
        )
        self._matcher = Matcher(
            self._log,
            self._held,
            self._polls,
            queries=self._queries,
            verdicts=Verdicts(ports.starter, settings),
            clock=ports.clock,
            settings=settings,
            counts=self.counts,
            failed=self._fail,
        )
        self._served: dict[int, ServedPartition] = {}
        self._was_assigned = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._upkeep: asyncio.TimerHandle | None = None
        self._is_stopping = False

    # -- life

    async def start(self) -> None:
        """Begin: hear of other claims, look after idle queues."""
        self._ports.claims.listen(self._on_claim)
        self._keep_up()

    async def stop(self) -> None:
        """Answer polls empty, wait for history's verdicts, close the stores (C7)."""
        self._is_stopping = True
        if self._upkeep is not None:
            self._upkeep.cancel()
        for waiting in list(self._polls.by_id.values()):
            if not waiting.is_matched:
                waiting.answer(_EMPTY)
        await self._matcher.stop(timeout_s=self._settings.stop_timeout_s)
        for waiting in list(self._polls.by_id.values()):
            waiting.answer(_EMPTY)
        self._held.write_all()
        await self._log.stop()
        for number in list(self._served):
            self._lose(number)
        for task in self._running:
            task.cancel()

    # -- the topic `tasks`

    def assigned(self, partitions: set[int], generation: int) -> None:
        """Serve these partitions and no others."""
        _log.debug("matching_assigned", partitions=sorted(partitions), generation=generation)
        for number in set(self._served) - partitions:
            self._lose(number)
        for number in partitions - set(self._served):
            served = ServedPartition(number, self._ports, self._matcher.look, self._on_orphaned)
            self._served[number] = served
            self._claim(served)
        self._was_assigned.set()

    def wants(self, topic: str, partition: int) -> bool:
        """Tell whether a batch of a partition may be handed in now."""
        served = self._served.get(partition)
        return topic == TOPIC and served is not None and served.wants_records

    def position(self, topic: str, partition: int) -> int:
        """Return the next offset wanted of a partition; raises NotTheOwner: not known yet."""
        assert topic == TOPIC, f"expected {TOPIC}, found {topic}"
        return self._owned(partition).position

    def submit(self, batch: CommandBatch) -> None:
        """Take a batch; it is folded in slices, each in a loop turn of its own."""
        served = self._served.get(batch.partition)
        if served is None or not served.is_checked:  # once it is, it seeks to what it wants
            return
        if not served.submit(batch):
            self._seek(served)
        elif not served.is_folding:
            self._run(served.fold_all())

    # -- offers

    def offer(self, partition: int, task: OfferTask) -> asyncio.Future[None]:
        """Take a task of a history partition; resolved once it is performed.

        That is when it stands on `tasks`, or when history has answered. Cancelling it stops
        nothing.
        """
        offered = tasks.offered(partition, task)
        now = self._ports.clock.now()
        if task.expires_at and offered.is_expired(now):
            return self._matcher.drop_expired()
        home = queue_partition(task.namespace_id, task.queue, self.partitions)
        served = self._served.get(home)
        queue = served.queues.get(tasks.queue_of(task)) if served and served.is_ready else None
        if served is not None and self._is_dead(served, offered):
            return self._matcher.leave_at_once(home, offered)
        if served is not None and queue is not None:
            queue.added.count(now)
            poll = queue.match(offered, now)
            if poll is not None:
                return self._matcher.start_at_once(served, queue, offered, poll)
            self._matcher.look(served, queue)  # it may only be too early for this one
            if queue.is_busy(now):
                return self._held.hold(home, offered)
        return self._log.put(home, offered.key, tasks.value_of(offered))

    def _is_dead(self, served: ServedPartition, task: Task) -> bool:
        window = round(self._settings.sticky_window_s * SECOND)
        return served.is_dead(task, self._ports.clock.now(), window)

    def _on_orphaned(self, served: ServedPartition, task: Task) -> None:
        """A sticky task was read from `tasks`: another node could not know who polls (M3)."""
        if self._is_dead(served, task):
            self._matcher.leave(served, None, task)

    # -- queries

    async def query(
        self, namespace_id: str, queue: str, query: QueryTask, *, timeout_s: float
    ) -> Handed:
        """Give a query to a poll of a task queue, or say that there is none (M4).

        Raises NotTheOwner. Cancelling it withdraws a query that no poll has taken.
        """
        served = self._owned(queue_partition(namespace_id, queue, self.partitions))
        found = served.queue(QueueKey(namespace_id, queue, "workflow"), self._ports.clock.now())
        return await self._queries.hand_over(found, query, timeout_s=timeout_s)

    # -- polls

    async def poll(  # noqa: PLR0913  one poll is named by all of these
        self,
        namespace: Namespace,
        queue: str,
        kind: TaskKind,
        *,
        poll_id: str,
        identity: str,
        timeout_s: float,
        worker: Worker = _UNKNOWN,
    ) -> bytes:
        """Wait for a task; return the poll answer, or nothing shortly before the time is up.

        Raises NotTheOwner, ResourceExhausted. Cancelling it loses no task.
        """
        self._polls.enter(namespace.id, kind)
        try:
            loop = asyncio.get_running_loop()
            hold_s = min(timeout_s - self._settings.poll_tail_s, self._settings.poll_hold_s)
            until = loop.time() + max(hold_s, 0)
            key = QueueKey(namespace.id, queue, kind)
            home = queue_partition(namespace.id, queue, self.partitions)
            if not self._was_assigned.is_set():
                await asyncio.wait_for(self._was_assigned.wait(), max(hold_s, 0))
            if self._is_stopping or self._polls.is_ended(worker.key):
                return _EMPTY
            waiting = self._wait(Poll(poll_id, identity, namespace, worker), key, home, until)
            return await self._answer(waiting, waiting.future)
        except TimeoutError:
            return _EMPTY
        finally:
            self._polls.leave(namespace.id, kind)

    def hand_back(self, namespace: Namespace, poll_id: str) -> None:
        """Take back what a poll was answered with: no byte of it reached its caller (M2)."""
        if self._queries.give_again(poll_id):
            return
        task = self._polls.answered(poll_id)
        if task is not None:
            self._matcher.hand_back(task, Poll(poll_id, "", namespace))

    def describe(self, namespace_id: str, queue: str, kind: TaskKind) -> Described:
        """Return what is known of a task queue; raises NotTheOwner."""
        served = self._owned(queue_partition(namespace_id, queue, self.partitions))
        now = self._ports.clock.now()
        found = served.queue(QueueKey(namespace_id, queue, kind), now)
        return Described(found.pollers(now), found.stats(served.store, now))

    # -- workers that stop

    def end_worker(self, end: WorkerEnd) -> None:
        """End what a worker had in a task queue; raises NotTheOwner."""
        served = self._owned(queue_partition(end.namespace_id, end.queue, self.partitions))
        key = QueueKey(end.namespace_id, end.queue, end.kind)
        found = served.queue(key, self._ports.clock.now())
        if end.is_sticky:
            self._drop_sticky(served, found)
        else:
            self._end_polls(found, end.worker)

    def _drop_sticky(self, served: ServedPartition, found: TaskQueue) -> None:
        """A worker's own queue is given up: its polls end, its tasks go elsewhere at once."""
        for poll_id in found.drop():
            self._polls.answer(poll_id, _EMPTY)
        self._queries.refuse(found)
        for task in found.backlog.all_waiting(served.store) if served.is_ready else ():
            self._matcher.leave(served, found, task)

    def _end_polls(self, found: TaskQueue, worker: str) -> None:
        """Answer the polls of a worker empty, those too that come late."""
        self._polls.end_worker(worker)
        for poll_id in found.polls_of(worker):
            found.leave(poll_id)
            self._polls.answer(poll_id, _EMPTY)

    def _wait(self, poll: Poll, key: QueueKey, home: int, until: float) -> Waiting:
        """Let a poll wait in its queue; one with a known id takes the place it had."""
        served = self._owned(home)
        now = self._ports.clock.now()
        queue = served.queue(key, now)
        waiting = self._polls.by_id.get(poll.poll_id)
        if waiting is None:
            waiting = self._polls.by_id[poll.poll_id] = Waiting(poll, key, home)
        else:
            waiting.rejoin()
        waiting.timer = asyncio.get_running_loop().call_at(until, self._end_hold, waiting)
        if waiting.is_matched:
            return waiting
        answered = self._polls.answered(poll.poll_id)
        if answered is not None:
            self._matcher.repeat(served, queue, answered, waiting)
        else:
            queue.wait(poll, now)
            self._matcher.look(served, queue)
        return waiting

    async def _answer(self, waiting: Waiting, future: asyncio.Future[bytes]) -> bytes:
        try:
            return await future
        except asyncio.CancelledError:
            self._on_gone(waiting, future)
            raise
        finally:
            if waiting.future is future and not waiting.is_matched:
                self._polls.forget(waiting)

    def _on_gone(self, waiting: Waiting, future: asyncio.Future[bytes]) -> None:
        """A caller is gone: its poll leaves the queue; an answer not handed over goes back."""
        queue = self._queue_of(waiting)
        if waiting.future is future and queue is not None:
            queue.leave(waiting.poll.poll_id)
        if future.done() and not future.cancelled() and not future.exception() and future.result():
            self.hand_back(waiting.poll.namespace, waiting.poll.poll_id)

    def _end_hold(self, waiting: Waiting) -> None:
        """A poll's time is up; one that history is asked for has a little more."""
        if waiting.is_matched and not waiting.is_over:
            waiting.is_over = True
            tail_s = self._settings.poll_tail_s * _TAIL_PART
            loop = asyncio.get_running_loop()
            waiting.timer = loop.call_later(tail_s, self._end_hold, waiting)
            return
        queue = self._queue_of(waiting)
        if queue is not None:
            queue.leave(waiting.poll.poll_id)
            queue.saw_poll(self._ports.clock.now())
        self.counts.empty_polls += waiting.answer(_EMPTY)

    def _queue_of(self, waiting: Waiting) -> TaskQueue | None:
        served = self._served.get(waiting.partition)
        return served.queues.get(waiting.queue) if served is not None else None

    def _owned(self, number: int) -> ServedPartition:
        served = self._served.get(number)
        if served is None or self._is_stopping:
            raise NotTheOwner(f"expected to own matching partition {number}, found it elsewhere")
        return served

    # -- partitions

    def _claim(self, served: ServedPartition) -> None:
        self._run(self._take_over(served))

    async def _take_over(self, served: ServedPartition) -> None:
        failures = 0
        while not served.is_closed:
            try:
                if not served.is_checked:
                    await served.check_store()
                    self._seek(served)
                await served.take_over(self._log)
            except Unavailable as error:
                if self._served.get(served.number) is not served:
                    return
                failures += 1
                _log.warning("matching_not_claimed", partition=served.number, reason=str(error))
                await asyncio.sleep(self._settings.retry_delay_s(failures))
            else:
                return

    def _on_claim(self, claim: Claimed) -> None:
        """Another claim counts for a partition: ours is fenced, and we claim again if we must."""
        served = self._served.get(claim.partition) if claim.role == ROLE else None
        if served is None or served.claim is None or claim.epoch <= served.claim.epoch:
            return
        self._lose(served.number)
        again = ServedPartition(served.number, self._ports, self._matcher.look, self._on_orphaned)
        self._served[served.number] = again
        asyncio.get_running_loop().call_later(self._settings.reclaim_delay_s, self._claim, again)

    def _lose(self, number: int) -> None:
        served = self._served.pop(number)
        queues = list(served.queues.values())
        self._queries.lose(lambda queue: any(queue is each for each in queues))
        served.close()
        for waiting in list(self._polls.by_id.values()):
            if waiting.partition == number and not waiting.is_matched:
                waiting.fail(NotTheOwner(f"expected to own matching partition {number}, lost it"))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._on_ran)

    def _on_ran(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        _log.error("matching_failed", error=repr(error))
        if not self.failed.done():
            self.failed.set_exception(error)

    def _seek(self, served: ServedPartition) -> None:
        if self.topic is not None:
            self.topic.seek(TOPIC, served.number, served.position)

    def _keep_up(self) -> None:
        now = self._ports.clock.now()
        for served in self._served.values():
            served.forget_idle(now)
            self._matcher.remove_swept(served, served.sweep(now))
        loop = asyncio.get_running_loop()
        self._upkeep = loop.call_later(self._settings.upkeep_interval_s, self._keep_up)
