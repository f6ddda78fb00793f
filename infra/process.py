"""The composition root: roles as running services. The only place where objects meet.

Everything is made here, started in order, and stopped in the reverse order. Nothing is decided
here, and no other file makes a client of Kafka, a store or a server.
"""

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog

from infra.chance import SystemRandom
from infra.counts import show_counts
from infra.exposition import Exposition
from infra.failures import StartFailure
from infra.first_namespaces import add_missing_attributes, register_missing
from infra.links import Links, listening
from infra.searching import start_searching
from infra.settings import Settings
from schemas.errors import ServiceError, Unavailable
from streams.agents.history import build_history
from streams.agents.matching import build_matching
from streams.app import GroupApp, GroupSettings
from streams.attributes import SearchAttributes
from streams.calls.absent import NoHistory, NoMatching
from streams.calls.forward import Place
from streams.calls.owners import Identity, Owners, WrongPartitions
from streams.calls.waiters import Waiters
from streams.clock import SystemClock
from streams.frontend.grpcio_transport import GrpcioTransport
from streams.frontend.rpcs import Function
from streams.frontend.server import Frontend
from streams.frontend.services import Services
from streams.frontend.transport import AddressUnusable
from streams.gateway import Gateway
from streams.kafka.admin import KafkaAdmin
from streams.kafka.creation import UnsafeTopic, prepare_topics
from streams.kafka.producer import Producers
from streams.kafka.readers import KafkaReaders
from streams.kafka.whole_topic import Origin
from streams.log.node import HistoryNode
from streams.log.outside import Outside
from streams.matching.node import MatchingNode
from streams.matching.ports import MatchingPorts
from streams.metrics import Metrics
from streams.namespaces import Namespaces
from streams.performer import Performer
from streams.queries import Queries
from streams.replies import Replies
from streams.search import StoreSearch
from streams.tables import RocksStores
from streams.warmth import rejoin_when_warm
from topology.core import Core
from topology.decision import Ask
from topology.requests import parse
from topology.topics import PartitionCounts
from topology.typed_commands import request_of

_log = structlog.get_logger(__name__)

FRONTEND: Final = "frontend"
HISTORY: Final = "history"
MATCHING: Final = "matching"
VISIBILITY: Final = "visibility"
_REFUSED: Final = (ServiceError, UnsafeTopic, WrongPartitions, AddressUnusable)
_READ_TRIES: Final = 50
_READ_DELAY_S: Final = 0.1
_REPLIES_TIMEOUT_S: Final = 2.0

OnFailure = Callable[[str], None]


class Node:
    """One node with some roles or all, on the Kafka of an address."""

    def __init__(
        self, settings: Settings, folder: Path, kafka: str, *, on_failure: OnFailure
    ) -> None:
        """Make it inside a running loop; `on_failure` hears one sentence when a part dies."""
        self._settings = settings
        self._folder = folder
        self._kafka = kafka
        self._on_failure = on_failure
        self._stack = AsyncExitStack()
        self._clock = SystemClock()
        self._random = SystemRandom()
        self._metrics = Metrics()
        self._admin = KafkaAdmin(kafka)
        self._apps: dict[str, GroupApp] = {}
        self._has = frozenset(settings.node.roles)
        self._history = _History(settings.kafka.history_partitions)
        self._matching: MatchingNode | None = None
        self._frontend: Frontend | None = None
        self._public: Frontend | None = None
        self._internal_address = ""
        self._looking: tuple[asyncio.Task[None], ...] = ()

    @property
    def address(self) -> str:
        """`host:port` of the gRPC frontend, once started; empty without one."""
        return "" if self._frontend is None else self._frontend.address

    @property
    def internal_address(self) -> str:
        """`host:port` for other nodes, once started."""
        return self._internal_address

    async def start(self) -> None:
        """Start everything in order and let calls in; raises StartFailure."""
        try:
            await self._start()
        except _REFUSED as error:
            reason = str(error).rstrip(".")
            raise StartFailure(
                f"The node cannot start on Kafka at {self._kafka}: {reason}."
            ) from error

    async def stop(self) -> None:
        """Stop everything in the reverse order; nothing accepted is left unanswered."""
        await self._stack.aclose()

    async def _start(self) -> None:
        counts = PartitionCounts(
            history=self._settings.kafka.history_partitions,
            matching=self._settings.kafka.matching_partitions,
        )
        self._stack.push_async_callback(self._admin.stop)
        await self._exposed()
        replicas = self._settings.kafka.replication_factor
        await prepare_topics(self._admin, counts, replication=replicas)
        producers = Producers(self._kafka)
        self._stack.push_async_callback(producers.stop)
        port, self._internal_address = await listening(self._settings.node, self._stack)
        owners, namespaces = self._projections(producers, counts)
        await asyncio.gather(
            producers.start(), _patiently(owners.check), _patiently(namespaces.read_to_end)
        )
        links = Links(
            owners,
            self._internal_address,
            self._history,
            counts,
            epoch=self._epoch,
            evict=self._evict,
            clock=self._clock,
            random=self._random,
            metrics=self._metrics,
            stack=self._stack,
        )
        self._roles(producers, counts, owners, namespaces, links=links)
        search = await self._searching() if FRONTEND in self._has else None
        services = self._services(producers, namespaces, links, search=search)
        functions = links.functions(namespaces)
        frontend = self._made_frontend(services, functions)
        await self._joined()
        links.open(port, services)
        if frontend is not None:
            await frontend.start()
        self._stack.callback(self._begin_stop, links)
        if HISTORY in self._has:
            names = dict.fromkeys(("default", *self._settings.node.namespaces))
            days = self._settings.node.retention_days
            await register_missing(functions, services, names, retention_days=days)
            wanted = self._settings.node.search_attributes
            await add_missing_attributes(functions, services, names, wanted)
        if frontend is not None:
            frontend.open()
            self._frontend = frontend

    # -- parts, in the order they start

    async def _exposed(self) -> None:
        """Serve metrics, where a port is set."""
        wanted = self._settings.metrics.port
        if not wanted:
            return
        exposition = Exposition(self._settings.node.ip, wanted, self._metrics)
        await exposition.start()
        self._stack.push_async_callback(exposition.stop)

    def _projections(
        self, producers: Producers, counts: PartitionCounts
    ) -> tuple[Owners, Namespaces]:
        """Make the topics that every node reads whole."""
        origin = Origin(self._kafka, self._admin.end, self._crashed("a projection"))
        identity = Identity(
            node=self._name,
            address=self._internal_address,
            partitions={HISTORY: counts.history, MATCHING: counts.matching},
            member_id=lambda role: self._apps[role].member_id if role in self._apps else "",
            generation=self._settings.engine.generation,
        )
        owners = Owners(origin, producers.owners, identity, clock=self._clock, random=self._random)
        namespaces = Namespaces(origin, producers.namespaces)
        self._stack.callback(owners.stop)
        self._stack.callback(namespaces.stop)
        return owners, namespaces

    def _roles(
        self,
        producers: Producers,
        counts: PartitionCounts,
        owners: Owners,
        namespaces: Namespaces,
        *,
        links: Links,
    ) -> None:
        """Make history and matching, each of which needs the other.

        Offers of a history node without matching are appended by a matching node that owns nothing.
        """
        if self._has <= {FRONTEND}:
            return
        ports = MatchingPorts(
            starter=links.roles,
            tasks=producers.tasks,
            admin=self._admin,
            stores=self._stores(MATCHING).open,
            claims=owners,
            clock=self._clock,
        )
        wanted = self._settings.matching
        matching = MatchingNode(ports, msgspec.structs.replace(wanted, partitions=counts.matching))
        self._matching = matching
        if MATCHING in self._has:
            links.roles.matching = matching
        if HISTORY in self._has:
            performer = Performer(
                offers=matching, projections=namespaces, dead_letters=producers.dead_letters
            )
            self._history.node = self._made_history(producers, owners, namespaces, performer)
            show_counts(self._metrics, self._history.node, matching)

    def _made_history(
        self,
        producers: Producers,
        owners: Owners,
        namespaces: Namespaces,
        performer: Performer,
    ) -> HistoryNode:
        replies = Replies(producers.reply, self._metrics)
        self._stack.push_async_callback(replies.finish, timeout_s=_REPLIES_TIMEOUT_S)
        readers = KafkaReaders(self._kafka, on_crash=self._crashed("a reader of events"))
        self._stack.callback(readers.stop)
        return HistoryNode(
            Outside(
                partitions=self._settings.kafka.history_partitions,
                events=producers.events,
                commands=producers.commands_internal,
                admin=self._admin,
                readers=readers,
                open_store=self._stores(HISTORY).open,
                make_machine=partial(
                    Core, limits=self._settings.core, attributes=SearchAttributes()
                ),
                clock=self._clock,
                random=self._random,
                namespaces=namespaces,
                owners=owners,
                performer=performer,
                replies=replies,
                parse=parse,
                parse_client=request_of,
                settings=msgspec.structs.replace(
                    self._settings.engine, node=self._name, address=self._internal_address
                ),
                on_fault=self._on_failure,
            )
        )

    def _services(
        self,
        producers: Producers,
        namespaces: Namespaces,
        links: Links,
        *,
        search: StoreSearch | None,
    ) -> Services:
        gateway = Gateway(
            self._history.node,
            producers.commands_internal,
            namespaces,
            clock=self._clock,
            random=self._random,
            metrics=self._metrics,
        )
        wanted = self._settings.frontend
        matching = self._matching if MATCHING in self._has else None
        queries = Queries(self._history.node, links.roles, clock=self._clock, random=self._random)
        self._history.queries = queries
        return Services(
            namespaces=namespaces,
            gateway=gateway,
            history=self._history.node,
            matching=NoMatching() if matching is None else matching,
            queries=queries,
            workers=links.roles,
            clock=self._clock,
            random=self._random,
            waiters=Waiters(limit=wanted.max_pollers),
            settings=msgspec.structs.replace(wanted, cluster_id=self._cluster_id()),
            search=search,
        )

    def _made_frontend(
        self, services: Services, functions: Mapping[str, Function]
    ) -> Frontend | None:
        """Make the public port, which is closed after the roles have stopped (C7)."""
        if FRONTEND not in self._has:
            return None
        transport = partial(
            GrpcioTransport,
            host=self._settings.node.ip,
            port=self._settings.node.port,
            settings=self._settings.frontend,
        )
        frontend = Frontend(services, transport, self._metrics, functions=functions)
        self._stack.push_async_callback(frontend.finish)
        self._public = frontend
        return frontend

    async def _joined(self) -> None:
        """Join the groups of the roles; returns with the first assignments."""
        history, matching = self._history.node, self._matching
        if isinstance(history, HistoryNode):
            crashed = self._crashed("the history group")
            app = build_history(self._group(HISTORY), history, on_crash=crashed, warm=history.warm)
            self._apps[HISTORY] = app
            history.read_commands_through(app)
            await history.start()
            self._looking += (
                asyncio.ensure_future(rejoin_when_warm(app, history.warm)),
                asyncio.ensure_future(self._check_clock()),
            )
        if matching is not None and MATCHING in self._has:
            crashed = self._crashed("the matching group")
            app = build_matching(self._group(MATCHING), matching, on_crash=crashed)
            self._apps[MATCHING] = matching.topic = app
            matching.failed.add_done_callback(self._matching_failed)
            await matching.start()
        self._stack.push_async_callback(self._left)
        for app in self._apps.values():
            app.watch(self._admin.stable_end, self._clock)
        await asyncio.gather(*(app.start() for app in self._apps.values()))

    # -- the planned stop (C7)

    def _begin_stop(self, links: Links) -> None:
        """Let nobody in and end waits; what is inside goes on, here or elsewhere."""
        if self._public is not None:
            self._public.begin_stop()
        links.forward.end_waits()

    async def _left(self) -> None:
        """Decide and answer what was appended, and leave the groups."""
        for task in self._looking:
            task.cancel()
        if self._matching is not None:
            await self._matching.stop()
        await asyncio.gather(self._left_history(), self._left_group(MATCHING))

    async def _left_history(self) -> None:
        if isinstance(self._history.node, HistoryNode):
            await self._history.node.stop()
        await self._left_group(HISTORY)

    async def _left_group(self, role: str) -> None:
        if role in self._apps:
            await self._apps[role].stop()

    async def _searching(self) -> StoreSearch:
        """Open the search store, and follow `events` into it."""
        return await start_searching(
            self._settings,
            self._folder,
            self._group(VISIBILITY),
            self._admin,
            on_crash=self._crashed("the visibility agent"),
            stack=self._stack,
        )

    # -- what the links to other nodes ask

    def _epoch(self, place: Place) -> int:
        """Return the epoch of our own claim; matching's stand in `owners` at once."""
        history = self._history.node
        if place.role == HISTORY and isinstance(history, HistoryNode):
            return history.epoch(place.partition)
        return 0

    async def _evict(self, role: str, member_id: str) -> None:
        app = self._apps.get(role)
        if app is not None:
            await app.evict(member_id)

    async def _check_clock(self) -> None:
        """End where this machine's clock and Kafka's are far apart, once a claim tells."""
        assert isinstance(self._history.node, HistoryNode), "expected the history role"
        while (difference := self._history.node.clock_difference()) is None:  # noqa: ASYNC110  rare
            await asyncio.sleep(_READ_DELAY_S)
        limit_s = self._settings.node.clock_tolerance_s
        if abs(difference) > limit_s * 1e9:
            ahead = "ahead of" if difference > 0 else "behind"
            self._on_failure(
                f"The clock of this machine is {abs(difference) / 1e9:.0f} s {ahead} Kafka's; "
                f"set it right (allowed: node.clock_tolerance_s = {limit_s:g})."
            )

    # -- what they are made from

    @property
    def _name(self) -> str:
        return self._settings.node.name or f"{socket.gethostname()}-{os.getpid()}"

    def _cluster_id(self) -> str:
        """Return a UUID that every node on this Kafka computes alike."""
        kafka_id = self._admin.client.list_topics(timeout=10).cluster_id
        return str(uuid.uuid5(uuid.NAMESPACE_OID, str(kafka_id)))

    def _stores(self, role: str) -> RocksStores:
        return RocksStores(self._folder / role / "stores", self._settings.tables)

    def _group(self, role: str) -> GroupSettings:
        partitions = {
            HISTORY: self._settings.kafka.history_partitions,
            MATCHING: self._settings.kafka.matching_partitions,
            VISIBILITY: self._settings.kafka.history_partitions,
        }
        return GroupSettings(
            address=self._kafka,
            folder=self._folder / role,
            partitions=partitions[role],
            group_prefix="millrace-",
            session_timeout_s=self._settings.kafka.session_timeout_s,
        )

    def _crashed(self, part: str) -> Callable[[BaseException], None]:
        """Return who turns the crash of a part into the end of the process."""

        def crashed(error: BaseException) -> None:
            _log.error("part_crashed", part=part, exc_info=error)
            self._on_failure(f"The node ends, because {part} crashed: {error or repr(error)}.")

        return crashed

    def _matching_failed(self, failed: "asyncio.Future[None]") -> None:
        if not failed.cancelled() and (error := failed.exception()) is not None:
            self._crashed("matching")(error)


async def _patiently(read: Callable[[], Awaitable[None]]) -> None:
    """Read a topic that was made a moment ago: its leader may not know yet that it leads."""
    for _ in range(_READ_TRIES):
        try:
            await read()
        except Unavailable as error:
            _log.info("not_readable_yet", error=error.message)
            await asyncio.sleep(_READ_DELAY_S)
        else:
            return
    await read()


class _History:
    """The history partitions of this node as others see them; set once they are made."""

    def __init__(self, partitions: int) -> None:
        self.node: HistoryNode | NoHistory = NoHistory(partitions)
        self.queries: Queries  # set once both roles are made

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide; see `HistoryNode.own_work`."""
        return self.queries.carried(ask, await self.node.own_work(partition, ask))
