"""The composition root: roles as running services. The only place where objects meet.

Everything is made here and in the files beside it (`roles.py`, `links.py`, `searching.py`), started
in order, and stopped in the reverse order. Nothing is decided here, and no other file makes a
client of Kafka, a store or a server.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog

from infra.archiving import start_archiving
from infra.exposition import Exposition
from infra.failures import StartFailure
from infra.first_namespaces import (
    add_missing_attributes,
    register_missing,
    register_system,
)
from infra.ground import FRONTEND, HISTORY, MATCHING, Ground, OnFailure
from infra.links import Links, listening
from infra.readiness import check_clock, patiently
from infra.roles import Roles
from infra.searching import start_searching
from infra.settings import Settings
from schemas.errors import ServiceError
from streams.archival.archives import Archives
from streams.calls.absent import NoMatching
from streams.calls.owners import Identity, Owners, WrongPartitions
from streams.calls.waiters import Waiters
from streams.frontend.rpcs import Function
from streams.frontend.server import Frontend
from streams.frontend.services import Services
from streams.frontend.transport import AddressUnusable
from streams.frontend.transports import TRANSPORTS
from streams.gateway import Gateway
from streams.kafka.creation import UnsafeTopic, prepare_topics
from streams.kafka.producer import Producers
from streams.kafka.whole_topic import Origin
from streams.namespaces import Namespaces
from streams.queries import Queries
from streams.search import StoreSearch
from topology.topics import PartitionCounts

_log = structlog.get_logger(__name__)

_REFUSED: Final = (ServiceError, UnsafeTopic, WrongPartitions, AddressUnusable)


class Node:
    """One node with some roles or all, on the Kafka of an address."""

    def __init__(
        self, settings: Settings, folder: Path, kafka: str, *, on_failure: OnFailure
    ) -> None:
        """Make it inside a running loop; `on_failure` hears one sentence when a part dies."""
        self._settings = settings
        self._ground = Ground(settings, folder, kafka, on_failure=on_failure)
        self._stack = self._ground.stack
        self._held = Roles(self._ground)
        self._frontend: Frontend | None = None
        self._public: Frontend | None = None
        self._internal_address = ""

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
                f"The node cannot start on Kafka at {self._ground.kafka}: {reason}."
            ) from error

    async def stop(self) -> None:
        """Stop everything in the reverse order; nothing accepted is left unanswered."""
        await self._stack.aclose()

    async def _start(self) -> None:
        ground, kafka = self._ground, self._settings.kafka
        counts = kafka.counts
        self._stack.push_async_callback(ground.admin.stop)
        await self._expose()
        await prepare_topics(ground.admin, counts, replication=kafka.replication_factor)
        producers = Producers(ground.kafka)
        self._stack.push_async_callback(producers.stop)
        port, self._internal_address = await listening(self._settings.node, self._stack)
        owners, namespaces = self._projections(producers, counts)
        await asyncio.gather(
            producers.start(), patiently(owners.check), patiently(namespaces.read_to_end)
        )
        tolerance_s = self._settings.node.clock_tolerance_s
        await check_clock(owners.log_time, ground.clock, tolerance_s=tolerance_s)
        links = Links(
            owners,
            self._internal_address,
            self._held.history,
            counts,
            epoch=self._held.epoch,
            evict=self._held.evict,
            clock=ground.clock,
            random=ground.random,
            metrics=ground.metrics,
            stack=self._stack,
        )
        self._held.make(producers, owners, namespaces, links.roles, address=self._internal_address)
        search = await start_searching(ground, links.roles) if ground.has(FRONTEND) else None
        archives = Archives(ground.archival, ground.clock)
        self._stack.callback(archives.close)
        services = self._services(producers, namespaces, links, search=search, archives=archives)
        functions = links.functions(namespaces)
        frontend = self._made_frontend(services, functions)
        await self._held.join()
        links.open(port, services)
        if frontend is not None:
            await frontend.start()
        self._stack.callback(self._begin_stop, links)
        if ground.has(HISTORY):
            await self._prepare_namespaces(functions, services)
            start_archiving(ground, archives, links.roles, namespaces)
            self._held.sweep(namespaces)
        if frontend is not None:
            frontend.open()
            self._frontend = frontend

    # -- parts, in the order they start

    async def _expose(self) -> None:
        """Serve metrics, where a port is set."""
        wanted = self._settings.metrics.port
        if not wanted:
            return
        exposition = Exposition(self._settings.node.ip, wanted, self._ground.metrics)
        await exposition.start()
        self._stack.push_async_callback(exposition.stop)

    def _projections(
        self, producers: Producers, counts: PartitionCounts
    ) -> tuple[Owners, Namespaces]:
        """Make the topics that every node reads whole."""
        ground = self._ground
        origin = Origin(ground.kafka, ground.admin.end, ground.crashed("a projection"))
        identity = Identity(
            node=ground.name,
            address=self._internal_address,
            partitions={HISTORY: counts.history, MATCHING: counts.matching},
            member_id=self._held.member_id,
            generation=self._settings.engine.generation,
        )
        owners = Owners(
            origin, producers.owners, identity, clock=ground.clock, random=ground.random
        )
        namespaces = Namespaces(origin, producers.namespaces)
        self._stack.callback(owners.stop)
        self._stack.callback(namespaces.stop)
        return owners, namespaces

    def _services(
        self,
        producers: Producers,
        namespaces: Namespaces,
        links: Links,
        *,
        search: StoreSearch | None,
        archives: Archives,
    ) -> Services:
        ground, held = self._ground, self._held
        history = held.history.node
        gateway = Gateway(
            history,
            producers.commands_internal,
            namespaces,
            clock=ground.clock,
            random=ground.random,
            metrics=ground.metrics,
        )
        wanted = self._settings.frontend
        matching = held.matching if ground.has(MATCHING) else None
        queries = Queries(history, links.roles, clock=ground.clock, random=ground.random)
        held.history.queries = queries
        return Services(
            namespaces=namespaces,
            gateway=gateway,
            history=history,
            matching=NoMatching() if matching is None else matching,
            queries=queries,
            workers=links.roles,
            clock=ground.clock,
            random=ground.random,
            waiters=Waiters(limit=wanted.max_pollers),
            settings=msgspec.structs.replace(wanted, cluster_id=ground.cluster_id()),
            search=search,
            archives=archives,
        )

    def _made_frontend(
        self, services: Services, functions: Mapping[str, Function]
    ) -> Frontend | None:
        """Make the public port, which is closed after the roles have stopped (C7)."""
        if not self._ground.has(FRONTEND):
            return None
        transport = partial(
            TRANSPORTS[self._settings.frontend.transport],
            host=self._settings.node.ip,
            port=self._settings.node.port,
            settings=self._settings.frontend,
        )
        frontend = Frontend(services, transport, self._ground.metrics, functions=functions)
        self._stack.push_async_callback(frontend.finish)
        self._public = frontend
        return frontend

    async def _prepare_namespaces(
        self, functions: Mapping[str, Function], services: Services
    ) -> None:
        """Register the namespaces of the settings, with their search attributes."""
        node = self._settings.node
        await register_system(functions, services)
        names = dict.fromkeys(("default", *node.namespaces))
        await register_missing(functions, services, names, retention_days=node.retention_days)
        await add_missing_attributes(functions, services, names, node.search_attributes)

    def _begin_stop(self, links: Links) -> None:
        """Let nobody in and end waits; what is inside goes on, here or elsewhere (C7)."""
        if self._public is not None:
            self._public.begin_stop()
        links.forward.end_waits()
