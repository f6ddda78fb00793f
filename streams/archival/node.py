"""The archival agent's node: finds what waits at the owners and has it archived (V5).

Each partition that the group gives this node has a task that goes through the owner's rows whenever
`events` has news, and now and then without. What it finds is archived in batches (`batch.py`), one
of each namespace at a time, some side by side, so that neither a slow archive nor one that is away
holds up the others; what is in memory is bounded. Nothing here needs to last: what was not
reported is found again, and archiving it twice is archiving it once.
"""

import asyncio
import contextlib
from collections.abc import Collection, Coroutine, Iterable
from typing import Final, Protocol

import structlog

from archival.settings import ArchivalSettings
from schemas.errors import NotTheOwner, ServiceError
from streams.archival.away import Away
from streams.archival.backlog import Owners
from streams.archival.batch import Batches, Places
from streams.archival.counts import Counts
from streams.log.ports import Admin, CommandBatch, CommandTopics
from topology.decision import Namespace
from topology.own_work import ReadBacklog, ReadWaiting, WaitingRun
from topology.topics import EVENTS

_log = structlog.get_logger(__name__)

_IDLE_S: Final = 10.0
"""So often a partition is looked at without news."""
_UNUSED_S: Final = 2.0
"""So often it is seen whether any namespace archives, where none does."""
_RETRY_S: Final = 1.0
_PAGE_RUNS: Final = 32
_PAGE_BYTES: Final = 1 << 20
_AT_ONCE: Final = 8
"""Batches under way on this node: so many times `batch_bytes` are in memory."""


class Namespaces(Protocol):
    """Which namespaces there are."""

    def all(self) -> Iterable[Namespace]:
        """Return all, also deleted ones."""
        ...


class ArchivalNode:
    """Archives the closed runs of the partitions that the group gives it."""

    def __init__(
        self,
        owners: Owners,
        batches: Batches,
        namespaces: Namespaces,
        settings: ArchivalSettings,
        *,
        away: Away,
        admin: Admin,
    ) -> None:
        """Make it inside a running loop; set `topic` before the first assignment."""
        self.topic: CommandTopics | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owners = owners
        self._batches = batches
        self._namespaces = namespaces
        self._settings = settings
        self._away = away
        self._admin = admin
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._busy: dict[int, dict[str, asyncio.Task[None]]] = {}
        self._news: dict[int, asyncio.Event] = {}
        self._urgent: set[int] = set()
        self._positions: dict[int, int] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._is_following = False

    @property
    def counts(self) -> Counts:
        """What was done, and what waits."""
        return self._batches.counts

    async def stop(self) -> None:
        """Stop; what is under way is found again."""
        tasks = [task for number in list(self._tasks) for task in self._leave(number)]
        if tasks:
            await asyncio.wait(tasks)

    # -- for the group's consumer

    def assigned(self, partitions: Collection[int], generation: int) -> None:  # noqa: ARG002  the port gives it
        """Take note of an assignment."""
        for number in set(self._tasks) - set(partitions):
            self._leave(number)
        for number in set(partitions) - set(self._tasks):
            self._news[number] = asyncio.Event()
            self._busy[number] = {}
            self._tasks[number] = self._started(self._keep_up(number))

    def wants(self, topic: str, partition: int) -> bool:  # noqa: ARG002  the port gives it
        """Whether news of a partition are wanted: only where anything is archived at all."""
        return self._is_following and partition in self._positions

    def position(self, topic: str, partition: int) -> int:  # noqa: ARG002  the port gives it
        """Return the next offset wanted; raises NotTheOwner until it is known."""
        if partition not in self._positions:
            raise NotTheOwner(f"where the news of partition {partition} begin is not known yet")
        return self._positions[partition]

    def submit(self, batch: CommandBatch) -> None:
        """Hear that something happened in a partition; what, the owner knows."""
        if batch.partition in self._positions:
            self._positions[batch.partition] = batch.end
            self._news[batch.partition].set()

    # -- one partition

    async def _keep_up(self, number: int) -> None:
        """Archive what waits, for ever."""
        news = self._news[number]
        while True:
            self._is_following = any(
                each.history_archival.uri or each.visibility_archival.uri
                for each in self._namespaces.all()
            )
            pause_s = _UNUSED_S
            if self._is_following:
                try:
                    await self._begin_news(number)
                    pause_s = await self._look(number)
                except ServiceError as error:
                    _log.info("archival_later", partition=number, error=error.message)
                    pause_s = _RETRY_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), pause_s)
                if number not in self._urgent:
                    await asyncio.sleep(self._settings.gather_s)
            self._urgent.discard(number)

    async def _begin_news(self, number: int) -> None:
        """Hear of what happens from now on: what happened before is in the owner's rows."""
        if number in self._positions:
            return
        end = await self._admin.end(EVENTS.name, number)
        self._positions[number] = end
        if self.topic is not None:
            self.topic.seek(EVENTS.name, number, end)

    async def _look(self, number: int) -> float:
        """Begin to archive what waits, unless told to pause; return when (s) to look again."""
        self._news[number].clear()
        is_news = self._settings.state != "enabled" or await self._begin_all(number)
        if is_news or self.counts.has_backlog(number):
            self.counts.note(number, await self._owners.backlog(number, ReadBacklog()))
        return self._away.pause_s(_IDLE_S)

    async def _begin_all(self, number: int) -> bool:
        """Begin to archive all that waits and can be; whether there was any."""
        after = b""
        is_news = False
        while True:
            runs, after = await self._some(number, after)
            by_places: dict[Places, list[WaitingRun]] = {}
            for run in runs:
                by_places.setdefault(Places.of(run), []).append(run)
            for places, some in by_places.items():
                is_news = True
                await self._begin(number, places, some, is_more=bool(after))
            if not after:
                return is_news

    async def _some(self, number: int, after: bytes) -> tuple[list[WaitingRun], bytes]:
        """Return as many of the runs that wait as shall be in memory at once."""
        settings = self._settings
        runs: list[WaitingRun] = []
        size = 0
        while len(runs) < settings.batch_runs_count and size < settings.batch_bytes:
            ask = ReadWaiting(
                after=after,
                passed_over=(*self._away.namespaces(), *self._busy[number]),
                runs_count=min(_PAGE_RUNS, settings.batch_runs_count - len(runs)),
                history_bytes=min(_PAGE_BYTES, settings.batch_bytes - size),
            )
            page = await self._owners.waiting(number, ask)
            runs += page.runs
            size += sum(len(batch) for run in page.runs for batch in run.history.batches)
            after = page.after
            if not after:
                break
        return runs, after

    async def _begin(
        self, number: int, places: Places, runs: list[WaitingRun], *, is_more: bool
    ) -> None:
        """Begin to archive runs of one namespace, once there is room for them."""
        await self._room.acquire()
        work = self._done(number, places, runs, is_more=is_more)
        self._busy[number][places.namespace_id] = self._started(work)

    async def _done(
        self, number: int, places: Places, runs: list[WaitingRun], *, is_more: bool
    ) -> None:
        """Archive runs, and have the partition looked at again where that is of use."""
        try:
            is_whole = await self._batches.archive(number, places, runs)
        except Exception:  # noqa: BLE001  the agent's loop: what an archive holds must not end a node
            _log.exception("archive_failed", namespace_id=places.namespace_id)
            self._away.note(places.namespace_id)
            is_whole = False
        finally:
            self._room.release()
            self._busy.get(number, {}).pop(places.namespace_id, None)
        if is_more and is_whole:
            self._urgent.add(number)
        delay_s = 0.0 if is_whole else _RETRY_S
        asyncio.get_running_loop().call_later(delay_s, self._news[number].set)

    def _leave(self, number: int) -> list[asyncio.Task[None]]:
        """Stop what concerns a partition; return what is still to end."""
        self._positions.pop(number, None)
        self.counts.forget(number)
        tasks = [self._tasks.pop(number), *self._busy.pop(number).values()]
        for task in tasks:
            task.cancel()
        return tasks

    def _started(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self.failed.done() or task.cancelled():
            return
        if (error := task.exception()) is not None:
            self.failed.set_exception(error)
