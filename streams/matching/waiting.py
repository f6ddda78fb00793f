"""Polls that wait at this node: a future each, counted by namespace and kind (C3).

This file does not know what they wait for.
"""

import asyncio
from collections import Counter, OrderedDict
from typing import Final

from schemas.errors import ResourceExhausted
from schemas.temporal import enums
from topology.effects import TaskKind
from topology.matching.tasks import Poll, QueueKey, Task

_CONCURRENT: Final = enums.ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT
_NAMESPACE: Final = enums.ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE


class Waiting:
    """One poll that waits, or that history is being asked for."""

    __slots__ = (
        "began_at",
        "future",
        "is_matched",
        "is_over",
        "partition",
        "poll",
        "queue",
        "timer",
    )

    def __init__(self, poll: Poll, queue: QueueKey, partition: int) -> None:
        self.poll = poll
        self.queue = queue
        self.partition = partition
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.began_at = asyncio.get_running_loop().time()
        self.is_matched = False  # history is being asked
        self.is_over = False  # its time is up but for the tail

    @property
    def is_gone(self) -> bool:
        """Nobody waits for the answer any more, or somebody has it already."""
        return self.future.done()

    def answer(self, answer: bytes) -> bool:
        """Hand the answer over; False: the caller is gone."""
        if self.future.done():
            return False
        self.future.set_result(answer)
        return True

    def fail(self, error: Exception) -> None:
        """Fail the poll; its caller asks elsewhere."""
        if not self.future.done():
            self.future.set_exception(error)

    def rejoin(self) -> asyncio.Future[bytes]:
        """Let the same poll wait again: a repeated ask takes the place of the one before."""
        self.answer(b"")
        self.future = asyncio.get_running_loop().create_future()
        self.is_over = False
        self.stop_timer()
        return self.future

    def stop_timer(self) -> None:
        """Forget the end of its time."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class WaitingPolls:
    """All polls of a node."""

    def __init__(self, *, polls_limit: int, answered_limit: int) -> None:
        self.by_id: dict[str, Waiting] = {}
        self._counts: Counter[tuple[str, TaskKind]] = Counter()
        self._polls_limit = polls_limit
        self._answered: OrderedDict[str, Task] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._answered_limit = answered_limit

    def enter(self, namespace_id: str, kind: TaskKind) -> None:
        """Count a call in; raises ResourceExhausted."""
        if self._counts[namespace_id, kind] >= self._polls_limit:
            raise ResourceExhausted(
                "namespace concurrent poller limit exceeded", cause=_CONCURRENT, scope=_NAMESPACE
            )
        self._counts[namespace_id, kind] += 1

    def leave(self, namespace_id: str, kind: TaskKind) -> None:
        """Count a call out."""
        self._counts[namespace_id, kind] -= 1
        if not self._counts[namespace_id, kind]:
            del self._counts[namespace_id, kind]

    def end_worker(self, worker: str) -> None:
        """A worker stops: polls of it that come from now on are answered empty."""
        self._ended[worker] = None
        if len(self._ended) > self._answered_limit:
            self._ended.popitem(last=False)

    def is_ended(self, worker: str) -> bool:
        """Tell whether a worker has said that it stops."""
        return worker in self._ended

    def answer(self, poll_id: str, answer: bytes) -> bool:
        """Answer a poll past history; False: its caller is gone."""
        waiting = self.by_id[poll_id]
        self.forget(waiting)
        return waiting.answer(answer)

    def forget(self, waiting: Waiting) -> None:
        """Forget a poll that nobody waits for any more."""
        waiting.stop_timer()
        if self.by_id.get(waiting.poll.poll_id) is waiting:
            del self.by_id[waiting.poll.poll_id]

    def remember(self, poll_id: str, task: Task) -> None:
        """Remember which task a poll was answered with; the newest ones are kept."""
        self._answered[poll_id] = task
        if len(self._answered) > self._answered_limit:
            self._answered.popitem(last=False)

    def answered(self, poll_id: str) -> Task | None:
        """Return the task that a poll was answered with, and forget it."""
        return self._answered.pop(poll_id, None)
