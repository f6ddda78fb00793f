"""One partition of `tasks` that this node owns: claimed, folded, its task queues.

assigned --store checked--> following --claimed, folded to the end--> ready --lost--> closed.

Batches are folded in slices, rows and position in one write. This file asks history nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from schemas.errors import NotTheOwner
from schemas.rows import UnknownRowVersion
from streams.log.ports import CommandBatch, Record
from streams.matching.ports import Claimed, MatchingPorts
from streams.matching.tasks_log import TasksLog
from topology.matching.queue import TaskQueue
from topology.matching.rows import (
    POSITION_KEY,
    Arrived,
    Position,
    Removed,
    TaskRecord,
    expired_tasks,
    fold,
    stored_count,
    unpack_position,
)
from topology.matching.tasks import QueueKey, Task, queue_of
from topology.topics import TASKS

ROLE: Final = "matching"
TOPIC: Final = TASKS.name
_SLICE: Final = 500
_WAITING_LIMIT: Final = 5_000
_SWEPT: Final = 500
"""So many rows are looked at in one go for expired tasks."""

Changed = Callable[["ServedPartition", TaskQueue], None]
Orphaned = Callable[["ServedPartition", Task], None]


class _Slice(NamedTuple):
    """Records to fold in one go, and the position behind them."""

    records: list[Record]
    end: int


class ServedPartition:
    """The state of one partition, from its assignment to its loss."""

    def __init__(
        self, number: int, ports: MatchingPorts, changed: Changed, orphaned: Orphaned
    ) -> None:
        """Open its store; `changed` is told which queues to look at.

        `orphaned` is told of sticky tasks that came over `tasks` from another node (M3).
        """
        self.number = number
        self.queues: dict[QueueKey, TaskQueue] = {}
        self.claim: Claimed | None = None
        self.is_ready = False
        self.is_closed = False
        self.is_checked = False
        self.store = ports.stores(number)
        self._ports = ports
        self._changed = changed
        self._orphaned = orphaned
        self._topic_id = ""
        self._target: int | None = None
        self._slices: deque[_Slice] = deque()
        self._waiting_count = 0
        self._swept_to = b""
        self.is_folding = False
        self._polled_at = 0  # nobody can say who polled before this instant
        self._position = self._stored_position().next_offset
        self._read_to = self._position

    @property
    def position(self) -> int:
        """Return the next offset wanted; raises NotTheOwner while the store is unchecked."""
        if not self.is_checked:
            raise NotTheOwner(f"expected a store for matching {self.number}, found it unchecked")
        return self._read_to

    @property
    def wants_records(self) -> bool:
        """Tell whether records may be handed in."""
        return self.is_checked and not self.is_closed and self._waiting_count < _WAITING_LIMIT

    async def check_store(self) -> None:
        """Discard a store that is of another topic, or ahead of the log (L6).

        Raises NotTheOwner where the partition, and with it the store, was lost meanwhile.
        """
        self._topic_id = await self._ports.admin.topic_id(TOPIC)
        end = await self._ports.admin.end(TOPIC, self.number)
        self._check_open()
        stored = self._stored_position()
        is_other = stored.topic_id not in ("", self._topic_id)
        if is_other or stored.next_offset > end:
            self.store.discard()
            self._position = self._read_to = 0
        self.is_checked = True

    async def take_over(self, log: TasksLog) -> None:
        """Claim the partition; it is ready once all that was appended before is folded.

        The position says when that is, not the last record's offset: compaction may have taken
        it away (V3). Where nothing moves the position to the end, a mark appended there does.

        Raises NotTheOwner, Unavailable.
        """
        self._check_open()
        if self.claim is None:
            self.claim = await self._ports.claims.claim(ROLE, self.number)
            if self.claim.epoch > 1:
                self._polled_at = self._ports.clock.now()
        end = await self._ports.admin.end(TOPIC, self.number)
        if self._position < end:
            end = await log.mark(self.number) + 1
        self._check_open()
        self._target = end
        self._become_ready()

    def queue(self, key: QueueKey, now: int) -> TaskQueue:
        """Return a task queue; load it if need be."""
        found = self.queues.get(key)
        if found is None:
            stored = stored_count(self.store, key)
            found = TaskQueue(key, stored=stored, now=now, polled_at=self._polled_at)
            self.queues[key] = found
        return found

    def is_dead(self, task: Task, now: int, window: int) -> bool:
        """Tell whether a task is for a sticky queue that nobody has polled for a while (M3).

        After a takeover that while begins anew.
        """
        if not task.offer.is_sticky or not self.is_ready:
            return False
        queue = self.queues.get(queue_of(task.offer))
        if queue is None:
            return now - self._polled_at >= window
        return not queue.is_polled(now, window)

    def submit(self, batch: CommandBatch) -> bool:
        """Take a batch to fold; False: it begins too late, seek to `position` (L10)."""
        if batch.start > self._read_to:
            return False
        records = [each for each in batch.records if each.offset >= self._read_to]
        end = max(batch.end, records[-1].offset + 1 if records else self._read_to)
        if end == self._read_to:
            return True
        self._read_to = end
        self._waiting_count += len(records)
        for at in range(0, len(records), _SLICE):
            some = records[at : at + _SLICE]
            self._slices.append(_Slice(some, some[-1].offset + 1))
        if not records or end > records[-1].offset + 1:  # nothing there (any more)
            self._slices.append(_Slice([], end))
        return True

    async def fold_all(self) -> None:
        """Fold what was handed in, a slice in each loop turn; raises what a fold raises (L7)."""
        self.is_folding = True
        while self._slices and not self.is_closed:
            some = self._slices.popleft()
            self._waiting_count -= len(some.records)
            self._fold(some)
            await asyncio.sleep(0)
        self.is_folding = False

    def forget_idle(self, now: int) -> None:
        """Forget the queues that nobody uses; their rows stay."""
        for key in [key for key, queue in self.queues.items() if queue.is_idle(now)]:
            del self.queues[key]

    def sweep(self, now: int) -> list[Task]:
        """Return some expired tasks of queues that nobody polls; every call looks further."""
        if not self.is_ready:
            return []
        found, self._swept_to = expired_tasks(
            self.store,
            self._swept_to,
            now=now,
            limit=_SWEPT,
            is_deleted=self._ports.is_deleted,
        )
        return [task for task in found if queue_of(task.offer) not in self.queues]

    def close(self) -> None:
        """Close the store: the partition is lost, or the node stops."""
        self.is_closed = True
        self.is_ready = False
        self.queues.clear()
        self._slices.clear()
        self.store.close()

    def _fold(self, some: _Slice) -> None:
        position = Position(self._topic_id, some.end)
        folded = fold(
            [TaskRecord(each.offset, each.key or b"", each.value) for each in some.records],
            self.store,
            position,
        )
        self.store.write(folded.rows)
        self._position = position.next_offset
        touched: dict[QueueKey, TaskQueue] = {}
        for happened in folded.happened:
            queue = self.queues.get(happened.queue)
            if queue is not None:
                touched[happened.queue] = queue
                _tell(queue, happened)
            if isinstance(happened, Arrived) and happened.task.offer.is_sticky:
                self._orphaned(self, happened.task)
        self._become_ready()
        for queue in touched.values():
            self._changed(self, queue)

    def _check_open(self) -> None:
        if self.is_closed:
            raise NotTheOwner(f"expected to own matching partition {self.number}, lost it")

    def _become_ready(self) -> None:
        if self.is_ready or self._target is None or self._position < self._target:
            return
        self.is_ready = True
        for queue in list(self.queues.values()):
            self._changed(self, queue)

    def _stored_position(self) -> Position:
        stored = self.store.get(POSITION_KEY)
        if stored is None:
            return Position("", 0)
        try:
            return unpack_position(stored)
        except UnknownRowVersion:
            self.store.discard()
            return Position("", 0)


def _tell(queue: TaskQueue, happened: Arrived | Removed) -> None:
    if isinstance(happened, Removed):
        queue.backlog.on_removed(happened.key, happened.level)
    elif happened.is_repeated:
        queue.backlog.on_repeated(happened.task)
    else:
        queue.backlog.on_stored(happened.offset, happened.task)
