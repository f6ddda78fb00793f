"""Replies to Kafka clients: tried, tried once more, given up (L17).

Nothing waits for a reply and nothing is held back by one; the asker repeats under its request id.
A topic that takes no replies (it may not even exist) costs a bounded number of them in memory.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Callable
from typing import Final

import structlog

from schemas.errors import ServiceError
from streams.log.clients import Outgoing
from streams.log.ports import Producer
from streams.metrics import Count, Metrics

_log = structlog.get_logger(__name__)

UNDERWAY_MAX: Final = 5_000
"""Replies to one topic that may be underway; beyond it they are given up at once."""
_TRIES: Final = 2
_BY_KEY: Final = -1
"""The producer's partitioner chooses: murmur2 of the key."""


class Replies:
    """Sends replies; implements `streams.log.outside.Replies`."""

    def __init__(self, producer_of: Callable[[str], Producer], metrics: Metrics) -> None:
        """`producer_of` returns the port that appends to a topic."""
        self._producer_of = producer_of
        self._waiting: dict[str, list[Outgoing]] = {}
        self._underway: Tally[str] = Tally()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent: Count = metrics.count(
            "millrace_streams_replies_total", "Replies to Kafka clients that were appended."
        )
        self._given_up: Count = metrics.count(
            "millrace_streams_replies_given_up_total", "Replies to Kafka clients that were not."
        )

    def send(self, outgoing: Outgoing) -> None:
        """Try to send a reply; all of one turn of the loop go out together."""
        topic = outgoing.topic
        if self._underway[topic] >= UNDERWAY_MAX:
            self._given_up.value += 1
            return
        self._underway[topic] += 1
        if topic not in self._waiting:
            self._waiting[topic] = []
            task = asyncio.get_running_loop().create_task(self._flush(topic))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._waiting[topic].append(outgoing)

    async def finish(self, *, timeout_s: float) -> None:
        """Wait for what is underway, for a while."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)

    async def _flush(self, topic: str) -> None:
        replies = self._waiting.pop(topic)
        count = len(replies)
        try:
            for _ in range(_TRIES):
                replies = await self._try(topic, replies)
                if not replies:
                    break
        finally:
            self._underway[topic] -= count
            if not self._underway[topic]:
                del self._underway[topic]
        if replies:
            self._given_up.value += len(replies)
            _log.warning("replies_given_up", topic=topic, count=len(replies))

    async def _try(self, topic: str, replies: list[Outgoing]) -> list[Outgoing]:
        """Append replies; return those that failed."""
        records = [(each.key, each.value) for each in replies]
        try:
            appended = await self._producer_of(topic).append(_BY_KEY, records)
        except ServiceError as error:
            _log.warning("replies_failed", topic=topic, error=repr(error))
            return replies
        pairs = zip(replies, appended, strict=True)
        failed = [reply for reply, at in pairs if at.offset < 0]
        self._sent.value += len(replies) - len(failed)
        return failed
