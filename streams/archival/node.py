"""The archival agent's node: what waits at the owners, into the archives, and reported back (V5).

Each partition that the group gives this node has a task that works through the owner's rows, a
bounded part of them in memory, whenever `events` has news, and now and then without. A namespace
whose archive is away is passed over and tried again later, with growing pauses; its runs wait at
the owner. A run that its archive refuses is set aside there. Nothing here needs to last: what was
not reported is found again, and archiving it twice is archiving it once.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterable
from functools import partial
from typing import Final, Protocol

import structlog

from archival.archiver import Outcome
from archival.run import ClosedRun
from archival.settings import ArchivalSettings
from schemas.errors import NotTheOwner, ServiceError
from streams.archival.away import Away
from streams.archival.backlog import Owners
from streams.archival.closed import OwnerLost, closed_run
from streams.archival.counts import Counts
from streams.log.ports import Admin, CommandBatch, CommandTopics
from topology.decision import Namespace
from topology.own_work import Batches, ReadBacklog, ReadClosedRun, ReadWaiting, WaitingRun
from topology.topics import EVENTS

_log = structlog.get_logger(__name__)

_IDLE_S: Final = 10.0
"""So often a partition is looked at without news."""
_UNUSED_S: Final = 2.0
"""So often it is seen whether any namespace archives, where none does."""
_RETRY_S: Final = 1.0
_MORE_TIMEOUT_S: Final = 30.0
_PAGE_RUNS: Final = 32
_PAGE_BYTES: Final = 1 << 20
_SWEEP_EVERY: Final = 256
"""Batches of a lake after which what crashes left in it is looked for."""
_REASON_CHARS: Final = 1_000

Places = tuple[str, str, str]
"""Namespace id, and where its histories and its records go."""


class Archives(Protocol):
    """The archives; `archives.py` is the one implementation."""

    async def archive(
        self, history_uri: str, visibility_uri: str, runs: list[ClosedRun]
    ) -> list[Outcome]:
        """Archive runs that go to the same places; say what became of each."""
        ...

    async def tidy(self, uri: str, namespace_id: str) -> None:
        """Merge the small files of a namespace's lake."""
        ...

    async def sweep(self, uri: str, namespace_id: str) -> int:
        """Remove the files that crashes left in a lake."""
        ...


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
        archives: Archives,
        namespaces: Namespaces,
        settings: ArchivalSettings,
        *,
        away: Away,
        admin: Admin,
    ) -> None:
        """Make it inside a running loop; set `topic` before the first assignment."""
        self.topic: CommandTopics | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.counts = Counts()
        self._owners = owners
        self._archives = archives
        self._namespaces = namespaces
        self._settings = settings
        self._admin = admin
        self._away = away
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._news: dict[int, asyncio.Event] = {}
        self._positions: dict[int, int] = {}
        self._batches: dict[Places, int] = {}
        self._tidying = asyncio.Lock()
        self._is_following = False

    async def stop(self) -> None:
        """Stop; what is under way is found again."""
        tasks, self._tasks = set(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- for the group's consumer

    def assigned(self, partitions: Collection[int], generation: int) -> None:  # noqa: ARG002  the port gives it
        """Take note of an assignment."""
        for number in set(self._tasks) - set(partitions):
            self._tasks.pop(number).cancel()
            self._positions.pop(number, None)
            self.counts.forget(number)
        for number in set(partitions) - set(self._tasks):
            self._news[number] = asyncio.Event()
            task = asyncio.create_task(self._keep_up(number), name=f"archival-{number}")
            task.add_done_callback(self._ended)
            self._tasks[number] = task

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
                await asyncio.wait_for(self._news[number].wait(), pause_s)
                await asyncio.sleep(self._settings.gather_s)

    async def _look(self, number: int) -> float:
        """Archive what waits, unless told to pause; return when (s) to look again without news."""
        self._news[number].clear()
        pause_s, is_news = _IDLE_S, True
        if self._settings.state == "enabled":
            pause_s, is_news = await self._work_off(number)
        if is_news or self.counts.has_backlog(number):
            self.counts.note(number, await self._owners.backlog(number, ReadBacklog()))
        return pause_s

    async def _begin_news(self, number: int) -> None:
        """Hear of what happens from now on: what happened before is in the owner's rows."""
        if number in self._positions:
            return
        end = await self._admin.end(EVENTS.name, number)
        self._positions[number] = end
        if self.topic is not None:
            self.topic.seek(EVENTS.name, number, end)

    async def _work_off(self, number: int) -> tuple[float, bool]:
        """Archive all that waits and can be; return when (s) to look again, and if any waited."""
        after = b""
        is_whole, is_news = True, False
        while True:
            runs, after = await self._some(number, after)
            is_news |= bool(runs)
            by_places: dict[Places, list[WaitingRun]] = {}
            for run in runs:
                places = (run.namespace_id, run.history_uri, run.visibility_uri)
                by_places.setdefault(places, []).append(run)
            for places, some in by_places.items():
                is_whole &= await self._archive(number, places, some)
            if not after:
                return self._away.pause_s(_IDLE_S if is_whole else _RETRY_S), is_news

    async def _some(self, number: int, after: bytes) -> tuple[list[WaitingRun], bytes]:
        """Return as many of the runs that wait as shall be in memory at once."""
        settings = self._settings
        runs: list[WaitingRun] = []
        size = 0
        while len(runs) < settings.batch_runs_count and size < settings.batch_bytes:
            ask = ReadWaiting(
                after=after,
                passed_over=self._away.namespaces(),
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

    async def _archive(self, number: int, places: Places, runs: list[WaitingRun]) -> bool:
        """Archive runs of one namespace and report them; False: some are to be looked at again."""
        namespace_id, history_uri, visibility_uri = places
        more = partial(self._more, number, asyncio.get_running_loop())
        closed = [closed_run(run, more) for run in runs]
        outcomes = await self._archives.archive(history_uri, visibility_uri, closed)
        found = list(zip(runs, outcomes, strict=True))
        away = [one for _, one in found if _is_away(one)]
        if away:
            self._away.note(namespace_id)
            self.counts.failures.value += len(away)
            _log.warning(
                "archive_away",
                namespace=runs[0].namespace,
                uri=history_uri,
                error=str(away[0].error),
            )
        else:
            self._away.forget(namespace_id)
        reports = [self._reported(number, run, one) for run, one in found if not _is_away(one)]
        are_reported = await asyncio.gather(*reports)
        if visibility_uri and any(one.is_archived for one in outcomes):
            await self._tidy(places)
        return all(are_reported)

    async def _reported(self, number: int, run: WaitingRun, outcome: Outcome) -> bool:
        """Report what became of a run; False: it is to be looked at again."""
        try:
            if outcome.is_archived:
                await self._owners.archived(number, run)
                self.counts.archived.value += 1
                return True
            if outcome.is_refused:
                reason = str(outcome.error)[:_REASON_CHARS]
                _log.warning("archive_refused", workflow=run.workflow_id, reason=reason)
                await self._owners.set_aside(number, run, reason)
                self.counts.set_aside.value += 1
                return True
        except ServiceError as error:
            _log.info("archival_not_reported", run=run.run_id, error=error.message)
        return False

    def _more(
        self, number: int, loop: asyncio.AbstractEventLoop, run: WaitingRun, first_event_id: int
    ) -> Batches:
        """Ask for more of a history, in a thread of the archiver."""
        ask = ReadClosedRun(run.run_id, first_event_id, _PAGE_BYTES)
        try:
            asked = asyncio.run_coroutine_threadsafe(self._owners.more(number, ask), loop)
            return asked.result(_MORE_TIMEOUT_S)
        except (ServiceError, TimeoutError) as error:
            raise OwnerLost(f"expected more of a history: {error}") from error

    async def _tidy(self, places: Places) -> None:
        """Keep the lake in few files; that it fails is no matter, the next time does it."""
        namespace_id, _, uri = places
        count = self._batches[places] = self._batches.get(places, 0) + 1
        try:
            async with self._tidying:
                await self._archives.tidy(uri, namespace_id)
                if count % _SWEEP_EVERY == 0:
                    await self._archives.sweep(uri, namespace_id)
        except ServiceError as error:
            _log.info("lake_not_tidied", uri=uri, error=error.message)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self.failed.done() or task.cancelled():
            return
        if (error := task.exception()) is not None:
            self.failed.set_exception(error)


def _is_away(outcome: Outcome) -> bool:
    """Whether the archive, not the run or its owner, is why a run is not archived."""
    return not (outcome.is_archived or outcome.is_refused or isinstance(outcome.error, OwnerLost))
