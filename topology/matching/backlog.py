"""The tasks of one queue, in order: by level, then as they stand on `tasks`.

none --offer--> fresh --read back--> stored --take--> taken --tombstone--> none,
fresh --take--> taken --put back--> fresh or stored.

Only a window of the stored tasks is in memory, the rest is read when it is needed. A taken task
is not taken again until it is put back; it stays taken until its tombstone is read. This file
knows no polls and decides nothing about tasks.
"""

import heapq
from collections import OrderedDict
from itertools import islice
from typing import Final

from topology.decision import Rows
from topology.matching.rows import stored_tasks
from topology.matching.tasks import FIRST_LEVEL, LAST_LEVEL, QueueKey, Task

WINDOW: Final = 100
"""So many stored tasks of a level are read at once."""
TAKEN_LIMIT: Final = 4_000
"""So many tasks of a queue may be taken, tombstones not yet read back included."""

_NOT_STORED: Final = -1
_LEVELS: Final = range(FIRST_LEVEL, LAST_LEVEL + 1)


class _Level:
    """The tasks of one priority that are not taken."""

    __slots__ = ("fresh", "is_whole", "read_to", "window")

    def __init__(self, *, is_whole: bool) -> None:
        self.window: list[tuple[int, Task]] = []  # a heap by offset
        self.read_to = 0  # stored tasks below this offset are in the window, or taken
        self.is_whole = is_whole  # none is stored from there on
        self.fresh: OrderedDict[bytes, Task] = OrderedDict()  # on their way to `tasks`

    @property
    def is_empty(self) -> bool:
        return self.is_whole and not self.window and not self.fresh

    def first(self, rows: Rows, queue: QueueKey, number: int) -> Task | None:
        """Return its first task, without taking it."""
        if self.window:
            return self.window[0][1]
        if not self.is_whole:
            for _, task in stored_tasks(rows, queue, number, self.read_to):
                return task
        return next(iter(self.fresh.values()), None)


class _Taken:
    """A task that somebody has."""

    __slots__ = ("offset", "task")

    def __init__(self, task: Task, offset: int) -> None:
        self.task = task
        self.offset = offset


class Backlog:
    """What waits in one task queue."""

    def __init__(self, queue: QueueKey, stored: int) -> None:
        """Begin with so many stored tasks, none of them read yet."""
        self._queue = queue
        self._stored = stored
        self._stored_taken = 0
        self._levels: dict[int, _Level] = {}
        self._taken: dict[bytes, _Taken] = {}
        if stored:
            for level in _LEVELS:
                self._levels[level] = _Level(is_whole=False)

    @property
    def is_empty(self) -> bool:
        """Nothing waits; what is taken does not."""
        return not self._levels or all(level.is_empty for level in self._levels.values())

    @property
    def taken_count(self) -> int:
        """Return how many tasks are taken."""
        return len(self._taken)

    @property
    def count(self) -> int:
        """Return how many tasks wait."""
        fresh = sum(len(level.fresh) for level in self._levels.values())
        return max(0, self._stored - self._stored_taken) + fresh

    @property
    def fresh_count(self) -> int:
        """Return how many tasks are on their way to `tasks`."""
        return sum(len(level.fresh) for level in self._levels.values())

    @property
    def window_count(self) -> int:
        """Return how many stored tasks are in memory."""
        return sum(len(level.window) for level in self._levels.values())

    def oldest_at(self, rows: Rows) -> int:
        """Return when the first waiting task of any level was scheduled, ns; 0: none waits."""
        firsts = [level.first(rows, self._queue, number) for number, level in self._levels.items()]
        return min((first.offer.scheduled_at for first in firsts if first is not None), default=0)

    def all_waiting(self, rows: Rows) -> list[Task]:
        """Take every task that waits, as far as so many may be taken."""
        found: list[Task] = []
        while (task := self.take(rows)) is not None:
            found.append(task)
        return found

    def add(self, task: Task) -> None:
        """Take note of a task on its way to `tasks`: the last one of its level."""
        if task.key not in self._taken:
            self._level(task.level).fresh[task.key] = task

    def on_stored(self, offset: int, task: Task) -> None:
        """A task stands on `tasks` at an offset, and is a row now."""
        self._stored += 1
        level = self._level(task.level)
        taken = self._taken.get(task.key)
        if taken is None:
            level.fresh.pop(task.key, None)
            level.is_whole = False
            return
        taken.offset = offset
        self._stored_taken += 1
        if level.is_whole:
            level.read_to = offset + 1

    def on_repeated(self, task: Task) -> None:
        """A task was offered that is stored already; its row keeps its place."""
        self._level(task.level).fresh.pop(task.key, None)

    def on_removed(self, key: bytes, level: int) -> None:
        """A task's tombstone was read; `level` 0: it had no row."""
        if level:
            self._stored -= 1
        taken = self._taken.pop(key, None)
        if taken is not None:
            self._stored_taken -= taken.offset != _NOT_STORED
        elif level and level in self._levels:
            _discard(self._levels[level], key)

    def take(self, rows: Rows) -> Task | None:
        """Take the first task; None: nothing waits, or too many are taken."""
        if len(self._taken) >= TAKEN_LIMIT:
            return None
        for number in _LEVELS:
            level = self._levels.get(number)
            if level is None:
                continue
            task = self._take_of(level, number, rows)
            if task is not None:
                return task
            if not level.read_to:
                del self._levels[number]
        return None

    def put_back(self, task: Task) -> bool:
        """Let a taken task wait again in its old place; False: its tombstone was read."""
        taken = self._taken.get(task.key)
        if taken is None:
            return False
        del self._taken[task.key]
        level = self._level(task.level)
        if taken.offset == _NOT_STORED:
            level.fresh[task.key] = task
            level.fresh.move_to_end(task.key, last=False)
        else:
            self._stored_taken -= 1
            heapq.heappush(level.window, (taken.offset, task))
        return True

    def shrink(self) -> None:
        """Forget the window; it is read again when it is needed."""
        for level in self._levels.values():
            if level.window:
                level.read_to = level.window[0][0]
                level.is_whole = False
                level.window.clear()

    def _take_of(self, level: _Level, number: int, rows: Rows) -> Task | None:
        while not level.window and not level.is_whole:
            self._read(level, number, rows)
        if level.window:
            offset, task = heapq.heappop(level.window)
            self._stored_taken += 1
            self._taken[task.key] = _Taken(task, offset)
            return task
        if level.fresh:
            key, task = level.fresh.popitem(last=False)
            self._taken[key] = _Taken(task, _NOT_STORED)
            return task
        return None

    def _read(self, level: _Level, number: int, rows: Rows) -> None:
        stored = stored_tasks(rows, self._queue, number, level.read_to)
        found = list(islice(stored, WINDOW))
        for offset, task in found:
            level.read_to = offset + 1
            if task.key not in self._taken:
                heapq.heappush(level.window, (offset, task))
        level.is_whole = len(found) < WINDOW

    def _level(self, number: int) -> _Level:
        level = self._levels.get(number)
        if level is None:
            level = self._levels[number] = _Level(is_whole=True)
        return level


def _discard(level: _Level, key: bytes) -> None:
    """Forget a task whose tombstone somebody else wrote."""
    if any(task.key == key for _, task in level.window):
        level.window = [each for each in level.window if each[1].key != key]
        heapq.heapify(level.window)
