"""Tasks that are not yet written to `tasks`, because a worker will likely ask before it matters.

held --history decides--> nothing was written, held --time is up, or too many--> written.

Such an offer is not performed yet, so the outbox of its history partition still has it (L15):
losing this memory loses nothing. Held tasks are offered like all others; only the record waits,
and where workers keep up, record and tombstone are never written.
"""

import asyncio
from collections import OrderedDict

from streams.matching.settings import MatchingSettings
from streams.matching.tasks_log import TasksLog
from topology.matching.tasks import Task, value_of


class _Held:
    """One task, and when it is written at the latest."""

    __slots__ = ("partition", "performed", "task", "until")

    def __init__(self, partition: int, task: Task, until: float) -> None:
        self.partition = partition
        self.task = task
        self.until = until
        self.performed: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class HeldTasks:
    """All held tasks of a node, the oldest first."""

    def __init__(self, log: TasksLog, settings: MatchingSettings) -> None:
        self._log = log
        self._settings = settings
        self._held: OrderedDict[bytes, _Held] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def hold(self, partition: int, task: Task) -> asyncio.Future[None]:
        """Hold a task; the future is resolved once it is written or history has decided."""
        known = self._held.get(task.key)
        if known is not None and not known.performed.done():
            return known.performed
        until = asyncio.get_running_loop().time() + self._settings.hold_delay_s
        held = self._held[task.key] = _Held(partition, task, until)
        if len(self._held) > self._settings.held_limit:
            self._write(next(iter(self._held.values())))
        if self._timer is None and self._held:
            self._arm()
        return held.performed

    def release(self, key: bytes) -> bool:
        """Let go of a task that history has decided about; False: it is or will be written."""
        held = self._held.pop(key, None)
        if held is not None and not held.performed.done():
            held.performed.set_result(None)
        return held is not None

    def write_all(self) -> None:
        """Write all that is held: the node stops."""
        for held in list(self._held.values()):
            self._write(held)
        if self._timer is not None:
            self._timer.cancel()

    def _write(self, held: _Held) -> None:
        del self._held[held.task.key]
        self._log.put(held.partition, held.task.key, value_of(held.task), held.performed)

    def _arm(self) -> None:
        first = next(iter(self._held.values()))
        self._timer = asyncio.get_running_loop().call_at(first.until, self._write_due)

    def _write_due(self) -> None:
        now = asyncio.get_running_loop().time()
        for held in list(self._held.values()):
            if held.until > now:
                break
            self._write(held)
        self._timer = None
        if self._held:
            self._arm()
