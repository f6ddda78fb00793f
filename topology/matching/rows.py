"""What is stored of a partition of `tasks`: a fold of its records.

Rows: `t` + queue + level + offset -> the record's value as it is; `k` + task key -> level and
offset of that row; `q` + queue -> how many tasks it has stored; and the position. A record whose
key is already there changes nothing (a repeated offer keeps its place), a tombstone removes.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from schemas.rows import pack, unpacker
from topology.decision import Rows
from topology.matching.tasks import QueueKey, Task, queue_of, queue_of_key, task_of

POSITION_KEY: Final = b"\x00position"
TASK_PREFIX: Final = b"t"
_OFFSET_BYTES: Final = 8


class Position(msgspec.Struct, frozen=True):
    """Up to where `tasks` is folded into this store, and which topic that was (L6)."""

    topic_id: str
    next_offset: int


unpack_position = unpacker(Position)


class Arrived(NamedTuple):
    """A task was stored. `is_repeated`: it already was."""

    queue: QueueKey
    offset: int
    task: Task
    is_repeated: bool


class Removed(NamedTuple):
    """A tombstone was read; `level` 0: no such task was stored."""

    queue: QueueKey
    key: bytes
    level: int


class Folded(NamedTuple):
    """Rows to write at once, and what happened, in order."""

    rows: dict[bytes, bytes | None]
    happened: list[Arrived | Removed]


class TaskRecord(NamedTuple):
    """A record of `tasks`; a tombstone has no value."""

    offset: int
    key: bytes
    value: bytes | None


def fold(records: Iterable[TaskRecord], rows: Rows, position: Position) -> Folded:
    """Fold records in order; `position` is the one behind them."""
    overlay = _Overlay(rows)
    happened: list[Arrived | Removed] = []
    for record in records:
        if record.value is not None:
            happened.append(_store(overlay, record.offset, record.value))
        elif queue := queue_of_key(record.key):  # else a mark in the log, no task
            happened.append(_remove(overlay, queue, record.key))
    overlay.rows[POSITION_KEY] = pack(position)
    return Folded(overlay.rows, happened)


def stored_count(rows: Rows, queue: QueueKey) -> int:
    """Return how many tasks of a queue are stored."""
    return int.from_bytes(rows.get(b"q" + _queue_bytes(queue)) or b"", "big")


def stored_tasks(
    rows: Rows, queue: QueueKey, level: int, first_offset: int
) -> Iterator[tuple[int, Task]]:
    """Yield (offset, task) of one level of a queue in order, from an offset on."""
    prefix = TASK_PREFIX + _queue_bytes(queue) + bytes([level])
    for key, value in rows.scan(prefix, prefix + first_offset.to_bytes(_OFFSET_BYTES, "big")):
        yield int.from_bytes(key[-_OFFSET_BYTES:], "big"), task_of(value)


def expired_tasks(
    rows: Rows,
    start: bytes,
    *,
    now: int,
    limit: int,
    is_deleted: Callable[[str], bool] = lambda _namespace_id: False,
) -> tuple[list[Task], bytes]:
    """Look at some rows from a key on; return expired tasks, and where to go on (empty: begin).

    Tasks of deleted namespaces are expired.
    """
    expired: list[Task] = []
    for count, (key, value) in enumerate(rows.scan(TASK_PREFIX, start)):
        if count >= limit:
            return expired, key
        task = task_of(value)
        if task.is_expired(now) or is_deleted(task.offer.namespace_id):
            expired.append(task)
    return expired, b""


class _Overlay:
    """The store as the rows written so far make it."""

    def __init__(self, stored: Rows) -> None:
        self.rows: dict[bytes, bytes | None] = {}
        self._stored = stored

    def get(self, key: bytes) -> bytes | None:
        if key in self.rows:
            return self.rows[key]
        return self._stored.get(key)


def _store(overlay: _Overlay, offset: int, value: bytes) -> Arrived:
    task = task_of(value)
    queue = queue_of(task.offer)
    if overlay.get(b"k" + task.key) is not None:
        return Arrived(queue, offset, task, is_repeated=True)
    place = bytes([task.level]) + offset.to_bytes(_OFFSET_BYTES, "big")
    packed_queue = _queue_bytes(queue)
    overlay.rows[TASK_PREFIX + packed_queue + place] = value
    overlay.rows[b"k" + task.key] = place
    _count(overlay, packed_queue, 1)
    return Arrived(queue, offset, task, is_repeated=False)


def _remove(overlay: _Overlay, queue: QueueKey, key: bytes) -> Removed:
    place = overlay.get(b"k" + key)
    if place is None:
        return Removed(queue, key, 0)
    packed_queue = _queue_bytes(queue)
    overlay.rows[TASK_PREFIX + packed_queue + place] = None
    overlay.rows[b"k" + key] = None
    _count(overlay, packed_queue, -1)
    return Removed(queue, key, place[0])


def _count(overlay: _Overlay, packed_queue: bytes, change: int) -> None:
    key = b"q" + packed_queue
    count = int.from_bytes(overlay.get(key) or b"", "big") + change
    overlay.rows[key] = count.to_bytes(_OFFSET_BYTES, "big") if count > 0 else None


def _queue_bytes(queue: QueueKey) -> bytes:
    """Return the bytes of a queue, none a prefix of another."""
    name = f"{queue.namespace_id}/{queue.queue}/{queue.kind}".encode()
    return len(name).to_bytes(2, "big") + name
