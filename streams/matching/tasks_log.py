"""Appends to `tasks`: all of one loop turn in one append for each partition, failures again.

The order of one partition is the order of the calls, but for what failed. This file knows nothing
of what tasks mean.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog

from schemas.errors import Unavailable
from streams.log.ports import Appended, Producer
from streams.matching.counts import Counts
from streams.matching.settings import MatchingSettings

_log = structlog.get_logger(__name__)

_FAILED: Final = Appended(-1, 0)
_MARK: Final = b"/claim"  # no task's key


class _Entry:
    """A record on its way."""

    __slots__ = ("failures", "future", "key", "value")

    def __init__(
        self, key: bytes, value: bytes | None, future: asyncio.Future[None] | None
    ) -> None:
        self.key = key
        self.value = value
        self.future = future  # a tombstone has none
        self.failures = 0

    @property
    def is_wanted(self) -> bool:
        """Somebody still needs it on the log."""
        return self.future is None or not self.future.done()


class TasksLog:
    """The way to `tasks`."""

    def __init__(self, producer: Producer, settings: MatchingSettings, counts: Counts) -> None:
        self._producer = producer
        self._counts = counts
        self._settings = settings
        self._gathered: dict[int, list[_Entry]] = {}
        self._open: dict[bytes, asyncio.Future[None]] = {}
        self._appends: set[asyncio.Task[None]] = set()
        self._resting: set[_Entry] = set()
        self._is_stopped = False

    def put(
        self,
        partition: int,
        key: bytes,
        value: bytes,
        future: asyncio.Future[None] | None = None,
    ) -> asyncio.Future[None]:
        """Append a task; the future is resolved once that is acknowledged."""
        if future is None:
            future = asyncio.get_running_loop().create_future()
        self._open[key] = future
        self._gather(partition, _Entry(key, value, future))
        return future

    def remove(self, partition: int, key: bytes) -> None:
        """Append a tombstone: history has decided about the task.

        Whoever waits for the task's own append waits no longer (L18).
        """
        future = self._open.pop(key, None)
        if future is not None and not future.done():
            future.set_result(None)
        self._gather(partition, _Entry(key, None, None))

    async def mark(self, partition: int) -> int:
        """Append a record that means nothing; return its offset. Raises Unavailable."""
        (appended,) = await self._producer.append(partition, [(_MARK, None)])
        if appended.offset < 0:
            raise Unavailable("expected a mark on `tasks`, found the append failed")
        return appended.offset

    async def stop(self) -> None:
        """Hand over what is gathered, wait for what is in flight, give up what failed."""
        self._is_stopped = True
        self._flush()
        if self._appends:
            await asyncio.gather(*self._appends)
        self._give_up(self._resting)

    def _gather(self, partition: int, entry: _Entry) -> None:
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._flush)
        self._gathered.setdefault(partition, []).append(entry)

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for partition, entries in gathered.items():
            task = asyncio.get_running_loop().create_task(self._append(partition, entries))
            self._appends.add(task)
            task.add_done_callback(self._appends.discard)

    async def _append(self, partition: int, entries: list[_Entry]) -> None:
        records = [(entry.key, entry.value) for entry in entries]
        self._counts.appends += 1
        self._counts.records += len(records)
        try:
            acknowledged = await self._producer.append(partition, records)
        except Unavailable:
            acknowledged = [_FAILED] * len(entries)
        failed: list[_Entry] = []
        for entry, appended in zip(entries, acknowledged, strict=True):
            if appended.offset < 0:
                failed.append(entry)
            elif entry.future is not None:
                self._acknowledge(entry.key, entry.future)
        if self._is_stopped:
            self._give_up(failed)
        elif failed:
            self._again_later(partition, failed)

    def _acknowledge(self, key: bytes, future: asyncio.Future[None]) -> None:
        self._close(key, future)
        if not future.done():
            future.set_result(None)

    def _again_later(self, partition: int, entries: list[_Entry]) -> None:
        self._resting.update(entries)
        for entry in entries:
            entry.failures += 1
        failures = max(entry.failures for entry in entries)
        delay_s = self._settings.retry_delay_s(failures)
        _log.warning("tasks_append_failed", partition=partition, count=len(entries))
        asyncio.get_running_loop().call_later(delay_s, self._again, partition, entries)

    def _again(self, partition: int, entries: list[_Entry]) -> None:
        if self._is_stopped:
            return
        for entry in entries:
            self._resting.discard(entry)
            if entry.is_wanted:
                self._gather(partition, entry)
            elif entry.future is not None:
                self._close(entry.key, entry.future)

    def _give_up(self, entries: Iterable[_Entry]) -> None:
        for entry in entries:
            if entry.future is not None:
                self._close(entry.key, entry.future)
                if not entry.future.done():
                    error = Unavailable("expected the task on `tasks`, found the node stopped")
                    entry.future.set_exception(error)

    def _close(self, key: bytes, future: asyncio.Future[None]) -> None:
        if self._open.get(key) is future:
            del self._open[key]
