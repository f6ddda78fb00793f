"""One partition's life on this node: standby, owner, neither; and what others ask of its owner.

A supervising task follows the wanted role. As owner it folds the log to its end, claims, serves,
and after an unknown outcome begins again (L5). A revoke alone changes nothing (C7): until the
group names another node or somebody else's claim is seen, everything stays.
"""

import asyncio
from enum import Enum, auto
from typing import NamedTuple

import msgspec
import structlog

from schemas.errors import NotTheOwner, OutcomeUnknown, ServiceError, Unavailable
from streams.log.counts import Counts
from streams.log.faults import LogFault
from streams.log.folded import Folded
from streams.log.outside import HISTORY, Outside
from streams.log.ports import CommandBatch
from streams.log.serving import End, Serving
from streams.log.takeover import Takeover
from streams.log.trimming import Trimming
from streams.log.waiting import Hold
from topology.decision import Ask
from topology.own_work import ScanRuns

_log = structlog.get_logger(__name__)

_RETRY_S = 0.2
_HEARTBEAT_LOOK_S = 0.1


class Role(Enum):
    """What the group wants of this node for one partition."""

    NONE = auto()
    STANDBY = auto()
    OWNER = auto()


class Scanned(msgspec.Struct, frozen=True, array_like=True):
    """Rows of a partition, and the last accepted record that they are a fold of (V1)."""

    accepted_offset: int
    epoch: int
    incarnation: bytes
    seq: int
    rows: bytes  # nothing, or what the machine scanned


class Origin(NamedTuple):
    """The claim under which a command is appended (L12)."""

    epoch: int
    incarnation: bytes


class Partition:
    """One partition on this node."""

    def __init__(self, number: int, outside: Outside) -> None:
        self.number = number
        self.counts = Counts()
        self._outside = outside
        self._role = Role.NONE
        self._changed = asyncio.Event()
        self._folded: Folded | None = None
        self._takeover: Takeover
        self._announced: asyncio.Task[None] | None = None
        self._serving: Serving | None = None
        self._trimming: Trimming | None = None
        self._mine: set[bytes] = set()
        self._life: asyncio.Task[None] | None = None

    # -- roles

    @property
    def role(self) -> Role:
        """The role that was taken last."""
        return self._role

    def take_role(self, role: Role) -> None:
        """Take a role, beginning it anew; only starts and stops things."""
        self._role = role
        self._changed.set()
        if self._serving is not None:
            self._serving.is_open = False
        if self._life is None or self._life.done():
            self._life = asyncio.create_task(self._supervise(), name=f"history-{self.number}")

    async def closed(self) -> None:
        """Wait until the partition is closed, after the role NONE was taken."""
        if self._life is not None:
            await self._life

    async def _supervise(self) -> None:
        try:
            await self._live()
        except LogFault as fault:
            self._stop_process(str(fault))
        except Exception as error:  # noqa: BLE001  the loop that owns this partition's agent
            _log.exception("partition_failed", partition=self.number)
            self._stop_process(f"history-{self.number}: a bug in the engine: {error!r}")
        finally:
            self._close()

    def _stop_process(self, sentence: str) -> None:
        if self._serving is not None:
            self._serving.end(NotTheOwner(f"partition {self.number} has stopped"))
        self._outside.on_fault(sentence)

    async def _live(self) -> None:
        while self._role is not Role.NONE:
            self._changed.clear()
            folded = self._open()
            work = self._own(folded) if self._role is Role.OWNER else self._stand_by(folded)
            task = asyncio.create_task(work)
            change = asyncio.create_task(self._changed.wait())
            await asyncio.wait({task, change}, return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
            self._lose(NotTheOwner(f"partition {self.number} is being moved"))

    def _open(self) -> Folded:
        if self._folded is None:
            outside = self._outside
            self._folded = folded = Folded(
                self.number,
                outside.open_store(self.number),
                make_machine=outside.make_machine,
                settings=outside.settings,
                partitions=outside.partitions,
            )
            self._takeover = Takeover(folded, outside, self.counts)
            self._serving = Serving(self._takeover, folded, outside, self.counts)
            self._trimming = Trimming(folded, outside)
        return self._folded

    def _close(self) -> None:
        self._lose(NotTheOwner(f"partition {self.number} is not here"))
        folded, self._folded = self._folded, None
        self._serving = self._trimming = None
        if folded is not None:
            with folded.lock:
                folded.store.close()

    def _lose(self, error: ServiceError) -> None:
        if self._serving is not None:
            self._serving.end(error)

    # -- standby and owner

    async def _stand_by(self, _folded: Folded) -> None:
        while True:
            try:
                await self._takeover.stand_by()
            except Unavailable as error:
                await self._try_later(error)

    async def _own(self, folded: Folded) -> None:
        self._mine.clear()
        while True:
            try:
                if not await self._take(folded):
                    continue
            except Unavailable as error:
                await self._try_later(error)
                continue
            assert self._serving is not None, "expected an open partition"
            end = await self._serving.serve()
            if end is End.DRAINED:
                self._role = Role.NONE
                return
            if end is End.CLAIM:
                self._serving.pause()
            else:
                _log.warning("outcome_unknown", partition=self.number)
                self._serving.end(OutcomeUnknown("expected the append where the log ended"))

    async def _take(self, folded: Folded) -> bool:
        """Fold to the end, claim, begin to serve; False: begin again."""
        takeover, serving = self._takeover, self._serving
        assert serving is not None, "expected an open partition"
        await takeover.wait_for_own()
        await takeover.fold_to_end()
        if self._mine and folded.position.incarnation not in self._mine:
            await self._fenced(serving)
            await takeover.fold_to_end()
        serving.clock.record(folded.position.recorded_at)
        claimed = await takeover.claim(serving.clock.now())
        if claimed is None:
            return False
        self._mine.add(folded.position.incarnation)
        serving.begin(claimed)
        self._seek(serving)
        self._announced = asyncio.create_task(self._announce(self.origin()))
        return True

    async def _fenced(self, serving: Serving) -> None:
        """Somebody else has claimed: claim again only if the group still names us (L5)."""
        self.counts.fenced += 1
        _log.warning("fenced", partition=self.number)
        serving.end(NotTheOwner(f"partition {self.number} was claimed by another node"))
        outside = self._outside
        since = outside.clock.monotonic()
        delay = outside.settings.fence_delay_s
        await asyncio.sleep(delay * (1 + 2 * outside.random.fraction()))
        while outside.topics is not None and outside.topics.last_heartbeat() <= since:  # noqa: ASYNC110  (the group's thread notes it)
            await asyncio.sleep(_HEARTBEAT_LOOK_S)
        self._mine.clear()

    def _seek(self, serving: Serving) -> None:
        if self._outside.topics is not None:
            for topic, offset in serving.intake.all_wanted().items():
                self._outside.topics.seek(topic, self.number, offset)

    async def _announce(self, origin: Origin) -> None:
        """Write the entry of an accepted claim into `owners` (C1)."""
        while self.is_open() and self.origin() == origin:
            try:
                await self._outside.owners.claim_written(HISTORY, self.number, *origin)
            except Unavailable as error:
                await self._try_later(error)
            else:
                return

    async def _try_later(self, error: Unavailable) -> None:
        _log.warning("log_unavailable", partition=self.number, error=str(error))
        await asyncio.sleep(_RETRY_S * (1 + self._outside.random.fraction()))

    # -- what others ask

    def is_open(self) -> bool:
        """Whether the partition is claimed and served."""
        return self._serving is not None and self._serving.is_open

    def is_warm(self) -> bool:
        """Whether its store is near the end of the log (V4)."""
        return self._folded is not None and self._takeover.is_warm

    def serving(self) -> Serving:
        """Return what serves; raises NotTheOwner."""
        serving = self._serving
        if serving is None or not serving.is_open:
            raise NotTheOwner(f"partition {self.number} is not served here")
        return serving

    def origin(self) -> Origin:
        """Return our accepted claim; raises NotTheOwner."""
        self.serving()
        assert self._folded is not None, "expected an open partition"
        position = self._folded.position
        return Origin(position.epoch, position.incarnation)

    def park(self, command_id: bytes, hold: Hold | None) -> asyncio.Future[bytes]:
        """Return the future of a command's answer; raises NotTheOwner."""
        return self.serving().waiting.park(command_id, hold)

    def watch(self, run_id: str) -> asyncio.Future[None]:
        """Return a future that is resolved when a run is touched; raises NotTheOwner."""
        return self.serving().waiting.watch(run_id)

    async def own_work(self, ask: Ask) -> bytes:
        """Decide the owner's own work (L0)."""
        return await self.serving().do_own(ask)

    async def read(self, method: str, request: object, namespace_id: str) -> bytes:
        """Read accepted state (R1)."""
        serving = self.serving()
        await serving.reads.current()
        folded = self._folded
        if folded is None:
            raise NotTheOwner(f"partition {self.number} is not served here")
        return folded.machine.read(method, request, namespace_id, folded.store)

    def seq(self) -> int:
        """Return the seq of the last accepted record; raises NotTheOwner."""
        if self._folded is None:
            raise NotTheOwner(f"partition {self.number} is not here")
        return self._folded.position.seq

    def scan(self, after: str, limit: int) -> Scanned:
        """Return some runs with the position that they are true of; raises NotTheOwner.

        Whoever reads on behind the position misses nothing, so it need not be the newest (R1).
        """
        self.serving()
        folded = self._folded
        assert folded is not None, "expected an open partition"
        at, rows = folded.position, b""
        if limit:
            rows = folded.machine.read("ScanRuns", ScanRuns(after, limit), "", folded.store)
        return Scanned(at.accepted_offset, at.epoch, at.incarnation, at.seq, rows)

    def submit(self, batch: CommandBatch) -> None:
        """Take in what was read of a command topic (L10)."""
        serving = self._serving
        if serving is None or not serving.is_open:
            self.counts.early += 1
            return
        try:
            is_news = serving.intake.offer(
                batch, self._outside.topics, at=self._outside.clock.monotonic()
            )
        except LogFault as fault:
            self._stop_process(str(fault))
            return
        if is_news:
            serving.wake()

    def wants(self) -> bool:
        """Whether more commands are wanted."""
        serving = self._serving
        if serving is None or not serving.is_open or serving.is_draining:
            return False
        return serving.intake.backlog() < self._outside.settings.backlog_max_count

    def wanted(self, topic: str) -> int:
        """Return the next offset wanted of a command topic."""
        if self._serving is not None and self._serving.is_open:
            return self._serving.intake.wanted(topic)
        if self._folded is None or topic not in self._folded.position.sources:
            return 0
        return self._folded.position.sources[topic].position + 1

    def waiting_counts(self) -> dict[str, int]:
        """Return who waits, by kind (C3)."""
        return {} if self._serving is None else self._serving.waiting.counts()

    # -- upkeep and the planned stop

    def check_clocks(self) -> None:
        """Claim again where the clocks have come apart (T1)."""
        if self._serving is not None:
            self._serving.check_clocks()

    async def upkeep(self) -> None:
        """Trim the command topics (V2) and forget callers who went away."""
        if self._trimming is not None and self.is_open():
            assert self._serving is not None, "expected an open partition"
            self._serving.waiting.sweep()
            await self._trimming.trim()

    async def drain(self) -> None:
        """Decide and answer what was appended, for a while, and close (C7)."""
        if self._life is None:
            return
        if self._serving is not None and self._serving.is_open:
            self._serving.is_draining = True
            self._serving.wake()
            await asyncio.wait({self._life}, timeout=self._outside.settings.drain_timeout_s)
        self.take_role(Role.NONE)
        await self._life
