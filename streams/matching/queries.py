"""Queries that wait for a worker at this node (M4): matched at once with a poll, or refused.

handed over --a poll waits, or comes--> taken by it,
handed over --nobody has polled lately--> refused, --time is up--> refused.

Nothing of a query is written. This file does not know who asked, nor what is answered: answers go
to the history partition that the query's token names.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Final

from schemas.errors import NotTheOwner
from schemas.instants import SECOND
from streams.log.ports import Clock
from streams.matching.counts import Counts
from streams.matching.settings import MatchingSettings
from streams.matching.waiting import WaitingPolls
from topology.matching.queue import TaskQueue
from topology.matching.tasks import QueryTask

_GIVEN_LIMIT: Final = 2_000
"""So many queries are remembered with the poll that took them."""


class Handed(Enum):
    """What came of a query that was handed over."""

    TAKEN = "a poll took it"
    NOT_POLLED = "nobody has polled the task queue lately"
    TIME_UP = "no poll came in time"


class _Waiting:
    """One query, and who hears what came of it."""

    __slots__ = ("handed", "query", "queue", "timer", "until")

    def __init__(self, query: QueryTask, queue: TaskQueue, until: float) -> None:
        self.query = query
        self.queue = queue
        self.until = until
        self.handed: asyncio.Future[Handed] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None


class WaitingQueries:
    """All queries of a node that wait, and which polls the latest ones were given to."""

    def __init__(
        self, polls: WaitingPolls, *, clock: Clock, settings: MatchingSettings, counts: Counts
    ) -> None:
        self._polls = polls
        self._clock = clock
        self._settings = settings
        self._counts = counts
        self._waiting: dict[str, _Waiting] = {}
        self._given: OrderedDict[str, _Waiting] = OrderedDict()

    async def hand_over(self, queue: TaskQueue, query: QueryTask, *, timeout_s: float) -> Handed:
        """Let a query wait for a poll; raises NotTheOwner. Cancelling it withdraws the query."""
        if query.is_sticky and not self.is_polled(queue, self._settings.sticky_window_s):
            return Handed.NOT_POLLED
        loop = asyncio.get_running_loop()
        waiting = _Waiting(query, queue, loop.time() + timeout_s)
        self._wait(waiting)
        patience_s = timeout_s - self._settings.poll_tail_s
        waiting.timer = loop.call_later(max(patience_s, 0), self._end_patience, waiting)
        self.match(queue)
        try:
            return await waiting.handed
        finally:
            if waiting.timer is not None:
                waiting.timer.cancel()
            if self._waiting.get(query.query_id) is waiting and not self._is_given(waiting):
                self._forget(waiting)

    def match(self, queue: TaskQueue) -> None:
        """Give queries that wait in a queue to polls that wait there."""
        while (matched := queue.match_query()) is not None:
            query, poll = matched
            waiting = self._waiting.pop(query.query_id)
            queue.saw_poll(self._clock.now())
            if not self._polls.answer(poll.poll_id, query.answer):
                self._wait(waiting)
                continue
            self._counts.queries += 1
            self._given[poll.poll_id] = waiting
            if len(self._given) > _GIVEN_LIMIT:
                self._given.popitem(last=False)
            _resolve(waiting, Handed.TAKEN)

    def give_again(self, poll_id: str) -> bool:
        """Let a query wait again whose poll was gone; False: that poll had none."""
        waiting = self._given.pop(poll_id, None)
        if waiting is None:
            return False
        loop = asyncio.get_running_loop()
        if waiting.until > loop.time() and waiting.query.query_id not in self._waiting:
            self._wait(waiting)
            waiting.timer = loop.call_at(waiting.until, self._forget, waiting)
            self.match(waiting.queue)
        return True

    def refuse(self, queue: TaskQueue) -> None:
        """The worker of a sticky queue is gone: refuse what waits there."""
        self._end(lambda each: each.queue is queue, Handed.NOT_POLLED)

    def lose(self, is_lost: Callable[[TaskQueue], bool]) -> None:
        """Fail what waits in queues that are lost."""
        lost = NotTheOwner("expected to own the task queue, found it lost")
        self._end(lambda each: is_lost(each.queue), lost)

    def is_polled(self, queue: TaskQueue, within_s: float) -> bool:
        """Tell whether somebody has polled a queue lately."""
        return queue.is_polled(self._clock.now(), round(within_s * SECOND))

    def _wait(self, waiting: _Waiting) -> None:
        self._waiting[waiting.query.query_id] = waiting
        waiting.queue.ask(waiting.query)

    def _is_given(self, waiting: _Waiting) -> bool:
        """Tell whether somebody was given it: then it waits again without its asker."""
        return waiting.handed.done() and not waiting.handed.cancelled()

    def _forget(self, waiting: _Waiting) -> None:
        if self._waiting.get(waiting.query.query_id) is waiting:
            del self._waiting[waiting.query.query_id]
            waiting.queue.withdraw(waiting.query.query_id)

    def _end_patience(self, waiting: _Waiting) -> None:
        """Shortly before the end: where nobody has polled lately, say so."""
        if not self.is_polled(waiting.queue, self._settings.query_window_s):
            self._forget(waiting)
            _resolve(waiting, Handed.NOT_POLLED)
        else:
            loop = asyncio.get_running_loop()
            waiting.timer = loop.call_at(waiting.until, self._end_time, waiting)

    def _end_time(self, waiting: _Waiting) -> None:
        self._forget(waiting)
        _resolve(waiting, Handed.TIME_UP)

    def _end(self, is_meant: Callable[[_Waiting], bool], end: Handed | NotTheOwner) -> None:
        for waiting in [each for each in self._waiting.values() if is_meant(each)]:
            self._forget(waiting)
            _resolve(waiting, end)


def _resolve(waiting: _Waiting, end: Handed | NotTheOwner) -> None:
    if waiting.handed.done():
        return
    if isinstance(end, NotTheOwner):
        waiting.handed.set_exception(end)
    else:
        waiting.handed.set_result(end)
