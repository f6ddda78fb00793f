"""A batch of closed runs of one namespace: archived together, and reported one by one (V5).

A namespace whose archive is away is noted as such, and its runs go on waiting at the owner; a run
that its archive refuses is set aside there, and the others are archived.
"""

import asyncio
from functools import partial
from typing import Final, NamedTuple, Protocol, Self

import structlog

from archival.archiver import Outcome
from archival.run import ClosedRun
from schemas.errors import ServiceError
from streams.archival.away import Away
from streams.archival.backlog import Owners
from streams.archival.closed import OwnerLost, closed_run
from streams.archival.counts import Counts
from topology.own_work import Batches as Histories
from topology.own_work import ReadClosedRun, WaitingRun

_log = structlog.get_logger(__name__)

_PAGE_BYTES: Final = 1 << 20
_MORE_TIMEOUT_S: Final = 30.0
_SWEEP_EVERY: Final = 256
"""Batches of a lake after which what crashes left in it is looked for."""
_REASON_CHARS: Final = 1_000


class Places(NamedTuple):
    """Where the closed runs of a namespace go."""

    namespace_id: str
    history_uri: str
    visibility_uri: str

    @classmethod
    def of(cls, run: WaitingRun) -> Self:
        """Return where a run goes."""
        return cls(run.namespace_id, run.history_uri, run.visibility_uri)


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


class Batches:
    """Archives batches and reports them."""

    def __init__(self, owners: Owners, archives: Archives, away: Away) -> None:
        self.counts = Counts()
        self._owners = owners
        self._archives = archives
        self._away = away
        self._counted: dict[Places, int] = {}
        self._tidying: set[tuple[str, str]] = set()

    async def archive(self, number: int, places: Places, runs: list[WaitingRun]) -> bool:
        """Archive runs of one namespace and report them; False: some are to be looked at again."""
        more = partial(self._more, number, asyncio.get_running_loop())
        closed = [closed_run(run, more) for run in runs]
        outcomes = await self._archives.archive(places.history_uri, places.visibility_uri, closed)
        found = list(zip(runs, outcomes, strict=True))
        self._look_for_away(runs[0].namespace, places, outcomes)
        reports = [self._reported(number, run, one) for run, one in found if not _is_away(one)]
        are_reported = await asyncio.gather(*reports)
        if places.visibility_uri and any(one.is_archived for one in outcomes):
            await self._tidy(places)
        return all(are_reported)

    def _look_for_away(self, namespace: str, places: Places, outcomes: list[Outcome]) -> None:
        """Take note whether the archive is away."""
        errors = [str(one.error) for one in outcomes if _is_away(one)]
        if not errors:
            self._away.forget(places.namespace_id)
            return
        self._away.note(places.namespace_id)
        self.counts.failures.value += len(errors)
        _log.warning("archive_away", namespace=namespace, uri=places.history_uri, error=errors[0])

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
    ) -> Histories:
        """Ask for more of a history, in a thread of the archiver."""
        ask = ReadClosedRun(run.run_id, first_event_id, _PAGE_BYTES)
        try:
            asked = asyncio.run_coroutine_threadsafe(self._owners.more(number, ask), loop)
            return asked.result(_MORE_TIMEOUT_S)
        except (ServiceError, TimeoutError) as error:
            raise OwnerLost(f"expected more of a history: {error}") from error

    async def _tidy(self, places: Places) -> None:
        """Keep the lake in few files; that it fails is no matter, the next time does it."""
        lake = uri, namespace_id = places.visibility_uri, places.namespace_id
        count = self._counted[places] = self._counted.get(places, 0) + 1
        if lake in self._tidying:
            return
        self._tidying.add(lake)
        try:
            await self._archives.tidy(uri, namespace_id)
            if count % _SWEEP_EVERY == 0:
                await self._archives.sweep(uri, namespace_id)
        except ServiceError as error:
            _log.info("lake_not_tidied", uri=uri, error=error.message)
        finally:
            self._tidying.discard(lake)


def _is_away(outcome: Outcome) -> bool:
    """Whether the archive, not the run or its owner, is why a run is not archived."""
    return not (outcome.is_archived or outcome.is_refused or isinstance(outcome.error, OwnerLost))
