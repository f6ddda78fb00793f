"""The history partitions of this process, behind one door.

Everybody else in the process talks to the log engine through `HistoryNode`. What the group assigns
arrives in `assigned`, which runs inside a rebalance and therefore only starts and stops tasks.
"""

import asyncio
from collections.abc import Collection

import structlog

from schemas.errors import NotTheOwner
from streams.log.counts import Counts
from streams.log.outside import Outside
from streams.log.partition import Origin, Partition, Role, Scanned
from streams.log.ports import CommandBatch, CommandTopics
from streams.log.waiting import Hold
from topology.decision import Ask

_log = structlog.get_logger(__name__)

_CLOCKS_INTERVAL_S = 10.0


class HistoryNode:
    """The log engine of one process."""

    def __init__(self, outside: Outside) -> None:
        self.partitions = outside.partitions
        self._outside = outside
        self._known: dict[int, Partition] = {}
        self._actives: set[int] = set()
        self._generation = -1
        self._is_stopping = False
        self._upkeep: asyncio.Task[None] | None = None

    def read_commands_through(self, topics: CommandTopics) -> None:
        """Set the group's consumer, which exists only once its app does."""
        self._outside.topics = topics

    async def start(self) -> None:
        """Begin upkeep; partitions begin when they are assigned."""
        self._upkeep = asyncio.create_task(self._keep_up(), name="history-upkeep")

    async def stop(self) -> None:
        """Decide and answer what was appended, close everything (C7)."""
        self._is_stopping = True
        if self._upkeep is not None:
            self._upkeep.cancel()
        await asyncio.gather(*(each.drain() for each in self._known.values()))
        self._known.clear()

    def assigned(
        self, actives: Collection[int], standbys: Collection[int], generation: int
    ) -> None:
        """Take note of what the group wants of this node (L5, C7).

        Under the generation after the last one nobody else can have had what is ours again: it goes
        on under its old claim. Any other number, the same one twice included, means: fold to the
        end and claim.
        """
        if self._is_stopping:
            return
        is_next = generation == self._generation + 1
        was, self._actives, self._generation = self._actives, set(actives), generation
        for number in sorted({*self._known, *actives, *standbys}):
            partition = self._known.get(number)
            if partition is None:
                partition = self._known[number] = Partition(number, self._outside)
            role = Role.NONE
            if number in actives:
                role = Role.OWNER
            elif number in standbys:
                role = Role.STANDBY
            goes_on = role is partition.role and role is not Role.NONE
            if goes_on and (role is Role.STANDBY or (is_next and number in was)):
                continue
            if role is not partition.role or goes_on:
                partition.take_role(role)

    # -- for the group's consumer

    def submit(self, batch: CommandBatch) -> None:
        """Take in what was read of a command topic (L10)."""
        partition = self._known.get(batch.partition)
        if partition is not None:
            partition.submit(batch)

    def wants(self, topic: str, partition: int) -> bool:  # noqa: ARG002  both topics alike
        """Whether more of a command topic is wanted now."""
        known = self._known.get(partition)
        return known is not None and known.wants()

    def position(self, topic: str, partition: int) -> int:
        """Return the next offset wanted of a command topic."""
        known = self._known.get(partition)
        return 0 if known is None else known.wanted(topic)

    # -- for callers

    def origin(self, partition: int) -> Origin:
        """Return the claim under which a command is appended; raises NotTheOwner."""
        return self._owned(partition).origin()

    def seq(self, partition: int) -> int:
        """Return the seq of the last accepted record; raises NotTheOwner."""
        return self._owned(partition).seq()

    def park(
        self, partition: int, command_id: bytes, *, hold: Hold | None = None
    ) -> asyncio.Future[bytes]:
        """Return the future of a command's answer; raises NotTheOwner.

        It is resolved, or failed with a ServiceError, once the command is decided and its record
        accepted. `hold` (namespace name, workflow id) is for heartbeats that are being gathered:
        until the future is done, no timer of that workflow fires (T3).
        """
        return self._owned(partition).park(command_id, hold)

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide the owner's own work (L0); raises Stale, Rejected, NotTheOwner, OutcomeUnknown."""
        return await self._owned(partition).own_work(ask)

    async def read(self, partition: int, method: str, request: object, namespace_id: str) -> bytes:
        """Read accepted state (R1); raises NotFound, NotTheOwner."""
        return await self._owned(partition).read(method, request, namespace_id)

    async def scan(self, partition: int, after: str, limit: int) -> Scanned:
        """Return some runs with their position; no limit: the position alone (C5)."""
        return self._owned(partition).scan(after, limit)

    def watch(self, partition: int, run_id: str) -> asyncio.Future[None]:
        """Return a future that is resolved at the next accepted transition that touches a run."""
        return self._owned(partition).watch(run_id)

    def counts(self) -> dict[int, Counts]:
        """Return what happened, by partition."""
        return {number: partition.counts for number, partition in self._known.items()}

    def waiting_counts(self) -> dict[str, int]:
        """Return who waits, by kind (C3)."""
        total: dict[str, int] = {}
        for partition in self._known.values():
            for kind, count in partition.waiting_counts().items():
                total[kind] = total.get(kind, 0) + count
        return total

    def serves(self, partition: int) -> bool:
        """Whether a partition is claimed and served."""
        known = self._known.get(partition)
        return known is not None and known.is_open()

    def warm(self) -> list[int]:
        """Return the partitions whose stores are near the end of the log; in any thread (V4)."""
        return [number for number, each in list(self._known.items()) if each.is_warm()]

    def epoch(self, partition: int) -> int:
        """Return the epoch of our accepted claim of a partition; 0: none."""
        return self.origin(partition).epoch if self.serves(partition) else 0

    def is_idle(self, partition: int) -> bool:
        """Whether all that came to a partition is accepted, answered and performed."""
        return self._owned(partition).serving().is_idle()

    def _owned(self, partition: int) -> Partition:
        known = self._known.get(partition)
        if known is None:
            raise NotTheOwner(f"partition {partition} is not on this node")
        return known

    async def _keep_up(self) -> None:
        settings = self._outside.settings
        passed = 0.0
        while True:
            await asyncio.sleep(_CLOCKS_INTERVAL_S)
            passed += _CLOCKS_INTERVAL_S
            for partition in list(self._known.values()):
                partition.check_clocks()
            if passed >= settings.upkeep_interval_s:
                passed = 0.0
                for partition in list(self._known.values()):
                    await partition.upkeep()
