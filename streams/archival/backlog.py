"""What the owners have for the archiver: runs that wait, their histories, and to whom it reports.

Every method asks the owner of a partition, wherever it is (C5), and raises what the way there
raises: NotTheOwner, OutcomeUnknown, Unavailable.
"""

from typing import Protocol

import msgspec

from topology.decision import Ask, Namespace
from topology.own_work import (
    Archived,
    AsideRun,
    Backlog,
    Batches,
    ReadBacklog,
    ReadClosedRun,
    ReadWaiting,
    SetAside,
    WaitingPage,
    WaitingRun,
)

_page = msgspec.msgpack.Decoder(WaitingPage).decode
_batches = msgspec.msgpack.Decoder(Batches).decode
_backlog = msgspec.msgpack.Decoder(Backlog).decode


class Calls(Protocol):
    """The calls between roles; `streams/calls/roles.py` is the one implementation."""

    async def read(self, partition: int, method: str, request: msgspec.Struct) -> bytes:
        """Have the owner read its accepted state (R1)."""
        ...

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Have the owner decide its own work (L0)."""
        ...


class Owners:
    """The owners of closed runs, as the archiver needs them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def waiting(self, partition: int, ask: ReadWaiting) -> WaitingPage:
        """Return closed runs that wait for their archive."""
        return _page(await self._calls.read(partition, "Waiting", ask))

    async def more(self, partition: int, ask: ReadClosedRun) -> Batches:
        """Return more of a closed run's history; raises Rejected where it is gone."""
        return _batches(await self._calls.read(partition, "ClosedRun", ask))

    async def backlog(self, partition: int, ask: ReadBacklog) -> Backlog:
        """Return how much waits, and what was set aside."""
        return _backlog(await self._calls.read(partition, "Backlog", ask))

    async def archived(self, partition: int, run: WaitingRun) -> None:
        """Report that a run is archived (V5)."""
        await self._calls.own_work(partition, _ask("Archived", run, Archived(run.run_id)))

    async def set_aside(self, partition: int, run: WaitingRun, reason: str) -> None:
        """Report that a run's archive refused it for good."""
        await self._calls.own_work(partition, _ask("SetAside", run, SetAside(run.run_id, reason)))

    async def try_again(self, partition: int, run: AsideRun) -> None:
        """Have a run that was set aside tried again."""
        await self._calls.own_work(partition, _ask("SetAside", run, SetAside(run.run_id, "")))


def _ask(method: str, run: WaitingRun | AsideRun, request: msgspec.Struct) -> Ask:
    """Return own work; the owner adds what it knows of the namespace."""
    namespace = Namespace(run.namespace_id, run.namespace, 0, 0)
    return Ask(method, namespace, run.workflow_id, request)
