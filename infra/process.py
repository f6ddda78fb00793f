"""The composition root: roles as running services. The only place where objects meet.

Everything is made here, started in order, and stopped in the reverse order. Nothing is decided
here, and no other file makes a client of Kafka, a store or a server.
"""

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
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
from infra.first_namespaces import register_missing
from infra.settings import Settings
from schemas.errors import ServiceError, Unavailable
from streams.agents.history import build_history
from streams.agents.matching import build_matching
from streams.app import GroupApp, GroupSettings
from streams.calls.owners import Identity, Owners, WrongPartitions
from streams.calls.waiters import Waiters
from streams.clock import SystemClock
from streams.frontend.grpcio_transport import GrpcioTransport
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
from streams.tables import RocksStores
from topology.core import Core
from topology.decision import Ask
from topology.requests import parse
from topology.topics import PartitionCounts

_log = structlog.get_logger(__name__)

HISTORY: Final = "history"
MATCHING: Final = "matching"
_REFUSED: Final = (ServiceError, UnsafeTopic, WrongPartitions, AddressUnusable)
_READ_TRIES: Final = 50
_READ_DELAY_S: Final = 0.1

OnFailure = Callable[[str], None]


class Node:
    """One node with all roles, on the Kafka of an address."""

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
        self._starter = _Starter()
        self._frontend: Frontend | None = None

    @property
    def address(self) -> str:
        """`host:port` of the gRPC frontend, once started."""
        assert self._frontend is not None, "expected a started node"
        return self._frontend.address

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
        owners, namespaces = self._projections(producers, counts)
        await asyncio.gather(
            producers.start(), _patiently(owners.check), _patiently(namespaces.read_to_end)
        )
        history, matching = self._roles(producers, counts, owners, namespaces)
        show_counts(self._metrics, history, matching)
        services = self._services(producers, namespaces, history, matching)
        await self._joined(history, matching)
        frontend = await self._listening(services)
        names = dict.fromkeys(("default", *self._settings.node.namespaces))
        await register_missing(services, names, retention_days=self._settings.node.retention_days)
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
    ) -> tuple[HistoryNode, MatchingNode]:
        """Make history and matching, each of which needs the other."""
        starter = self._starter
        ports = MatchingPorts(
            starter=starter,
            tasks=producers.tasks,
            admin=self._admin,
            stores=self._stores(MATCHING).open,
            claims=owners,
            clock=self._clock,
        )
        wanted = self._settings.matching
        matching = MatchingNode(ports, msgspec.structs.replace(wanted, partitions=counts.matching))
        performer = Performer(
            offers=matching, projections=namespaces, dead_letters=producers.dead_letters
        )
        readers = KafkaReaders(self._kafka, on_crash=self._crashed("a reader of events"))
        self._stack.callback(readers.stop)
        starter.history = HistoryNode(
            Outside(
                partitions=counts.history,
                events=producers.events,
                commands=producers.commands_internal,
                admin=self._admin,
                readers=readers,
                open_store=self._stores(HISTORY).open,
                make_machine=Core,
                clock=self._clock,
                random=self._random,
                namespaces=namespaces,
                owners=owners,
                performer=performer,
                parse=parse,
                settings=msgspec.structs.replace(
                    self._settings.engine, node=self._name, address=self._internal_address
                ),
                on_fault=self._on_failure,
            )
        )
        return starter.history, matching

    def _services(
        self,
        producers: Producers,
        namespaces: Namespaces,
        history: HistoryNode,
        matching: MatchingNode,
    ) -> Services:
        gateway = Gateway(
            history,
            producers.commands_internal,
            namespaces,
            clock=self._clock,
            random=self._random,
            metrics=self._metrics,
        )
        wanted = self._settings.frontend
        queries = Queries(history, matching, clock=self._clock, random=self._random)
        self._starter.queries = queries
        return Services(
            namespaces=namespaces,
            gateway=gateway,
            history=history,
            matching=matching,
            queries=queries,
            clock=self._clock,
            random=self._random,
            waiters=Waiters(limit=wanted.max_pollers),
            settings=msgspec.structs.replace(wanted, cluster_id=self._cluster_id()),
        )

    async def _joined(self, history: HistoryNode, matching: MatchingNode) -> None:
        """Join the groups of both roles; returns with the first assignments."""
        apps = {
            HISTORY: build_history(
                self._group(HISTORY), history, on_crash=self._crashed("the history group")
            ),
            MATCHING: build_matching(
                self._group(MATCHING), matching, on_crash=self._crashed("the matching group")
            ),
        }
        self._apps = apps
        history.read_commands_through(apps[HISTORY])
        matching.topic = apps[MATCHING]
        for app in apps.values():
            app.watch(self._admin.stable_end, self._clock)
            self._stack.push_async_callback(app.stop)
        for role in (history, matching):
            await role.start()
            self._stack.push_async_callback(role.stop)
        matching.failed.add_done_callback(self._matching_failed)
        await asyncio.gather(*(app.start() for app in apps.values()))

    async def _listening(self, services: Services) -> Frontend:
        transport = partial(
            GrpcioTransport,
            host=self._settings.node.ip,
            port=self._settings.node.port,
            settings=self._settings.frontend,
        )
        frontend = Frontend(services, transport, self._metrics)
        await frontend.start()
        self._stack.push_async_callback(frontend.stop)
        return frontend

    # -- what they are made from

    @property
    def _name(self) -> str:
        return self._settings.node.name or f"{socket.gethostname()}-{os.getpid()}"

    @property
    def _internal_address(self) -> str:
        """Where other nodes would call; there are none yet."""
        return f"{self._settings.node.ip}:{self._settings.node.port}"

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


class _Starter:
    """History as matching sees it: matching is made first."""

    history: HistoryNode
    queries: Queries

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide; see `HistoryNode.own_work`."""
        return self.queries.carried(ask, await self.history.own_work(partition, ask))
