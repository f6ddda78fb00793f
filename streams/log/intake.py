"""Commands as they come in: nothing is missed, nothing is taken twice (L10).

Faust drops and repeats batches at rebalances. A batch is taken only if it begins at or before what
is wanted next; otherwise the reader is sent back once, and all is refused until one fits. What is
wanted next follows from the sources of the state; the group's own offsets are never used.
"""

from collections import deque
from typing import NamedTuple

import structlog

from streams.log.commands import INTERNAL, OUTSIDE, TOPICS
from streams.log.counts import Counts
from streams.log.faults import LogFault
from streams.log.ports import CommandBatch, CommandTopics, Record

_log = structlog.get_logger(__name__)

_SEEK_AGAIN_S = 1.0


class Taken(NamedTuple):
    """A record in the backlog."""

    topic: str
    record: Record


class Intake:
    """The backlog of one partition."""

    def __init__(self, partition: int, counts: Counts, *, gate_timeout_s: float) -> None:
        self._partition = partition
        self._counts = counts
        self._gate_timeout_s = gate_timeout_s
        self._wanted: dict[str, int] = {}
        self._queue: deque[Taken] = deque()
        self._queued: dict[str, int] = {}
        self._gate: dict[str, int] = {}
        self._sought_at: dict[str, float] = {}
        self._heard_at = 0.0

    def begin(self, wanted: dict[str, int], gate: dict[str, int], *, at: float) -> None:
        """Begin anew at a claim; `gate`: ends of the topics then, `at`: monotonic seconds."""
        self._wanted = dict(wanted)
        self._queue.clear()
        self._queued = dict.fromkeys(TOPICS, 0)
        self._gate = {topic: end for topic, end in gate.items() if wanted[topic] < end}
        self._sought_at.clear()
        self._heard_at = at

    def wanted(self, topic: str) -> int:
        """Return the next offset to be handed over."""
        return self._wanted[topic]

    def all_wanted(self) -> dict[str, int]:
        """Return the next offset to be handed over of each topic."""
        return dict(self._wanted)

    def backlog(self) -> int:
        """Return how many commands wait."""
        return len(self._queue)

    def offer(self, batch: CommandBatch, topics: CommandTopics | None, *, at: float) -> bool:
        """Take a batch in, or seek back; True: something is there to be decided or known."""
        topic, records = batch.topic, batch.records
        wanted = self._wanted[topic]
        if batch.start > wanted:
            self._seek_back(topic, batch.start, topics, at)
            return False
        fresh = [record for record in records if record.offset >= wanted]
        if topic == INTERNAL and fresh and fresh[0].offset != wanted:
            raise LogFault(
                f"{topic}-{self._partition}: expected offset {wanted}, found {fresh[0].offset} "
                f"in what was read from {batch.start} on: the topic has a hole (L10)"
            )
        self._sought_at.pop(topic, None)
        self._heard_at = at
        for record in fresh:
            self._queue.append(Taken(topic, record))
        self._queued[topic] += len(fresh)
        self._wanted[topic] = max(wanted, fresh[-1].offset + 1 if fresh else 0, batch.end)
        return True

    def head(self) -> Taken | None:
        """Return the next command; it stays until `pop`."""
        return self._queue[0] if self._queue else None

    def pop(self) -> None:
        """The next command is decided."""
        taken = self._queue.popleft()
        self._queued[taken.topic] -= 1

    def may_fire(self, *, at: float) -> bool:
        """Whether what was there at the claim is decided, so that due timers may fire (T2)."""
        for topic, end in list(self._gate.items()):
            if self._decided_to(topic) >= end or self._is_silent(topic, at):
                del self._gate[topic]
        return not self._gate

    def _decided_to(self, topic: str) -> int:
        if not self._queued[topic]:
            return self._wanted[topic]
        return next(taken.record.offset for taken in self._queue if taken.topic == topic)

    def _is_silent(self, topic: str, at: float) -> bool:
        """Control records at the end of `commands` may never be shown by its reader."""
        is_quiet = topic == OUTSIDE and not self._queued[topic]
        return is_quiet and at - self._heard_at >= self._gate_timeout_s

    def _seek_back(self, topic: str, start: int, topics: CommandTopics | None, at: float) -> None:
        self._counts.rewinds += 1
        sought_at = self._sought_at.get(topic)
        if topics is None or (sought_at is not None and at - sought_at < _SEEK_AGAIN_S):
            return
        wanted = self._wanted[topic]
        _log.warning(
            "commands_sought_back",
            topic=topic,
            partition=self._partition,
            wanted=wanted,
            start=start,
        )
        self._sought_at[topic] = at
        topics.seek(topic, self._partition, wanted)
