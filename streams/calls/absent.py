"""Roles that this node does not have: whatever is asked of them belongs to another node."""
# ruff: noqa: ARG002 - the arguments are those of the real ones

import asyncio
from typing import Never

from schemas.errors import NotTheOwner
from streams.log.waiting import Hold
from topology.decision import Ask, Namespace
from topology.effects import TaskKind
from topology.matching.tasks import QueryTask, Worker, WorkerEnd


class NoHistory:
    """The history partitions of a node without the history role: none."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions

    def origin(self, partition: int) -> Never:
        """Raise NotTheOwner."""
        raise _elsewhere("history", partition)

    def park(
        self,
        partition: int,
        command_id: bytes,
        *,
        hold: Hold | None = None,
    ) -> asyncio.Future[bytes]:
        """Raise NotTheOwner."""
        raise _elsewhere("history", partition)

    def seq(self, partition: int) -> Never:
        """Raise NotTheOwner."""
        raise _elsewhere("history", partition)

    def watch(self, partition: int, run_id: str) -> Never:
        """Raise NotTheOwner."""
        raise _elsewhere("history", partition)

    async def own_work(self, partition: int, ask: Ask) -> Never:
        """Raise NotTheOwner."""
        raise _elsewhere("history", partition)

    async def scan(self, partition: int, after: str, limit: int) -> Never:
        """Raise NotTheOwner."""
        raise _elsewhere("history", partition)

    async def read(
        self,
        partition: int,
        method: str,
        request: object,
        namespace_id: str,
    ) -> Never:
        """Raise NotTheOwner."""
        raise _elsewhere("history", partition)


class NoMatching:
    """The task queues of a node without the matching role: none."""

    async def poll(  # noqa: PLR0913  as MatchingNode has it
        self,
        namespace: Namespace,
        queue: str,
        kind: TaskKind,
        *,
        poll_id: str,
        identity: str,
        timeout_s: float,
        worker: Worker,
    ) -> Never:
        """Raise NotTheOwner."""
        raise NotTheOwner(f"task queue {queue} is not on this node")

    def describe(self, namespace_id: str, queue: str, kind: TaskKind) -> Never:
        """Raise NotTheOwner."""
        raise NotTheOwner(f"task queue {queue} is not on this node")

    def end_worker(self, end: WorkerEnd) -> Never:
        """Raise NotTheOwner."""
        raise NotTheOwner(f"task queue {end.queue} is not on this node")

    async def query(
        self,
        namespace_id: str,
        queue: str,
        query: QueryTask,
        *,
        timeout_s: float,
    ) -> Never:
        """Raise NotTheOwner."""
        raise NotTheOwner(f"task queue {queue} is not on this node")

    def hand_back(self, namespace: Namespace, poll_id: str) -> None:
        """Do nothing: no poll was answered here."""


def _elsewhere(role: str, partition: int) -> NotTheOwner:
    return NotTheOwner(f"{role} partition {partition} is not on this node")
