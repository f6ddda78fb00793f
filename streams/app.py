"""A role's consumer group: build one Faust app, and the few things one does with it.

Nothing happens at import time and there is no module-level app: `build_app` makes a `GroupApp`,
its agent is registered by `streams/agents/<role>.py`, and the process starts and stops it. Each
role has its own app, folder and agent name; any number of them run in one loop.

A crash inside Faust is told to `on_crash` once; the process that owns the node ends then.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import structlog
from faust.types import TP
from mode import CrashingSupervisor

from schemas.errors import Unavailable
from streams.assignor import WarmAssignor
from streams.faust_batches import BatchApp, BatchConsumer, Feed, GroupError, NoTables
from streams.log.ports import CommandBatch
from streams.watchdog import Watchdog

_log = structlog.get_logger(__name__)

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 5.0
_FETCH_BYTES: Final = 4 << 20  # of one partition; a larger record comes alone


class GroupSettings(msgspec.Struct, frozen=True):
    """How a role takes part in its consumer group."""

    address: str
    """Kafka, host:port."""
    folder: Path
    """Of this role on this node; holds the member id."""
    partitions: int
    """How many partitions the role has."""
    group_prefix: str = ""
    """Put before the role's name: the consumer group."""
    session_timeout_s: float = 6.0
    """How long a dead node's partitions stand still; the broker's least is 6, seconds."""
    heartbeat_interval_s: float = 0.3
    """How often members report; a rebalance waits for the slowest one's report, seconds."""
    rebalance_timeout_s: float = 10.0
    """How long a rebalance waits for a member, seconds."""
    request_timeout_s: float = 20.0
    """How long a request to Kafka may take, seconds."""
    fetch_max_wait_ms: int = 250
    """Length of a long poll; also how long a seek may wait for the fetch in flight, ms."""
    poll_count: int = 500
    """Most records of one poll, count."""


class FormerLife:
    """`MemberNote` in a file: the group's member id, on disk before that member exists (V6)."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "member"

    def read(self) -> str | None:
        """Return the id of the last life, if any."""
        try:
            return self._path.read_text() or None
        except FileNotFoundError:
            return None

    def write(self, member_id: str) -> None:
        """Keep an id, unless it is there already."""
        if self.read() != member_id:
            fresh = self._path.with_suffix(".new")
            fresh.write_text(member_id)
            fresh.replace(self._path)


Assigned = Callable[[set[int], set[int], int], None]
OnCrash = Callable[[BaseException], None]


class GroupApp:
    """`ports.CommandTopics` of one role, and its life."""

    def __init__(self, app: BatchApp, note: FormerLife, on_crash: OnCrash) -> None:
        """Use `build_app`."""
        self.faust = app
        self._note = note
        self._joined_at = 0.0
        self._on_crash = on_crash
        self._is_stopping = False
        self._loop = asyncio.get_running_loop()
        self._crash: asyncio.Future[BaseException] = self._loop.create_future()
        self._watching: asyncio.Task[None] | None = None
        self._watchdog: Watchdog | None = None
        app.on_crash = self._crashed_somewhere

    # -- ports.CommandTopics

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read on from an offset; batches that start elsewhere may still arrive (L10)."""
        self._consumer.seek_soon(TP(topic, partition), offset)

    def last_heartbeat(self) -> float:
        """Return the monotonic instant (s) of the group's last good heartbeat or join (L5)."""
        return max(self._joined_at, self._consumer.last_heartbeat_at)

    # -- life

    def agent(
        self, name: str, topics: tuple[str, ...], take: Callable[[CommandBatch], None]
    ) -> None:
        """Register the agent: each batch of these topics goes to `take`."""

        async def batches(stream: Any) -> None:
            async for event in stream.noack().events():
                take(event.value)
                event.ack()

        channel = self.faust.topic(*topics, key_type=bytes, value_type=bytes)
        self.faust.agent(channel, name=name)(batches)

    def on_assigned(self, topic: str, assigned: Assigned) -> None:
        """Register who hears of assignments: (actives, standbys, generation).

        It is called inside the rebalance: it only starts and stops things.
        """

        async def told(*_given: Any, **_further: Any) -> None:
            self._joined_at = time.monotonic()
            assignor = self.faust.assignor
            actives = _partitions(assignor.assigned_actives(), topic)
            standbys = _partitions(assignor.assigned_standbys(), topic)
            assigned(actives, standbys, self.faust.consumer_generation_id)

        self.faust.on_partitions_assigned.connect(told, weak=False)

    def watch(self, end: Callable[[str, int], Awaitable[int]]) -> None:
        """Crash when the consumer silently stops; `end` is `ports.Admin.stable_end`."""
        wants = self.faust.feed.wants
        self._watchdog = Watchdog(self.positions, wants, end=end)

    async def start(self) -> None:
        """Join the group; returns with the first assignment. Raises what crashed it."""
        starting = asyncio.ensure_future(self.faust.start())
        waits: set[Awaitable[Any]] = {starting, self._crash}
        await asyncio.wait(
            waits,  # type: ignore[type-var]  # both are futures
            timeout=START_TIMEOUT_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not starting.done():
            starting.cancel()
        try:
            if self._crash.done():
                raise self._crash.result()
            await starting
        except (asyncio.CancelledError, GroupError) as error:
            if isinstance(error, asyncio.CancelledError) and not starting.cancelled():
                raise  # it is we who are cancelled
            found = str(error) or "no answer"
            raise Unavailable(
                f"expected to join group {self.faust.conf.id!r}, found: {found}"
            ) from error
        if self._watchdog is not None:
            self._watching = asyncio.ensure_future(self._watchdog.run(self._crashed))

    async def stop(self) -> None:
        """Leave the group; idempotent."""
        self._is_stopping = True
        if self._watching is not None:
            self._watching.cancel()
        try:
            await asyncio.wait_for(self.faust.stop(), STOP_TIMEOUT_S)
        except TimeoutError:  # Kafka is away: the group finds out when our session ends
            _log.warning("group_not_left", group=self.faust.conf.id)

    async def rejoin(self) -> None:
        """Ask the group for a new assignment: what was due here is warm (V4)."""
        await self._consumer.rejoin()

    async def evict(self, member_id: str) -> None:
        """Leave the group for a member whose process is gone (V6)."""
        await self._consumer.evict(member_id)

    @property
    def due(self) -> frozenset[int]:
        """Partitions that shall be ours once they are warm here (V4)."""
        return frozenset(cast("WarmAssignor", self.faust.assignor).due)

    @property
    def member_id(self) -> str:
        """Our id in the group; empty before the join."""
        return self._note.read() or ""

    def positions(self) -> dict[tuple[str, int], int]:
        """Return how far each assigned partition has been read; none during a rebalance."""
        return {(tp.topic, tp.partition): at for tp, at in self._consumer.positions().items()}

    @property
    def _consumer(self) -> BatchConsumer:
        return cast("BatchConsumer", self.faust.consumer)

    def _crashed_somewhere(self, reason: BaseException) -> None:
        """Take a crash from whichever thread Faust tells it in."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._crashed, reason)

    def _crashed(self, reason: BaseException) -> None:
        if not self._crash.done():
            self._crash.set_result(reason)
        if not self._is_stopping:
            self._on_crash(reason)


def build_app(
    role: str,
    settings: GroupSettings,
    feed: Feed,
    *,
    on_crash: OnCrash,
    warm: Callable[[], Iterable[int]] | None = None,
) -> GroupApp:
    """Build the app of one role, inside a running loop; agents are registered afterwards.

    `warm` names the partitions whose stores are (nearly) at the end of the log; without it every
    partition counts as warm, and moves at once.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    app = BatchApp(
        settings.group_prefix + role,
        broker=[f"kafka://{one}" for one in settings.address.split(",")],
        datadir=str(settings.folder / "faust"),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        agent_supervisor=CrashingSupervisor,
        TableManager=NoTables,
        PartitionAssignor=WarmAssignor,
        table_standby_replicas=1,  # 0 would make Faust take aiokafka's round robin
        stream_recovery_delay=0.0,
        stream_wait_empty=False,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_interval_s,
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        broker_request_timeout=settings.request_timeout_s,
        broker_max_poll_records=settings.poll_count,
        consumer_max_fetch_size=_FETCH_BYTES,
    )
    note = FormerLife(settings.folder)
    app.feed = feed
    app.member_note = note
    app.warm = warm if warm is not None else lambda: range(settings.partitions)
    app.fetch_max_wait_ms = settings.fetch_max_wait_ms
    app.use_batches()
    return GroupApp(app, note, on_crash)


def _partitions(tps: Iterable[TP], topic: str) -> set[int]:
    return {tp.partition for tp in tps if tp.topic == topic}
