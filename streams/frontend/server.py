"""The frontend as a whole: its table of methods on a transport, its door, its planned stop.

Order of a planned stop (C7): `begin_stop`: health says NOT_SERVING, connections are told to go
away, waits end with empty answers; what clients ask before they know is served like what is inside.
Then the engine stops and the groups are left; `finish`: what is still inside is served by the new
owners, for at most five seconds.
"""

import asyncio
from collections.abc import Mapping

import structlog

from schemas.temporal import operator_service, workflow_service
from streams.frontend import reflection, searching
from streams.frontend.health import Health
from streams.frontend.interceptors import Door, guarded, unserved
from streams.frontend.rpcs import WORKFLOW_SERVICE, Function
from streams.frontend.services import Services
from streams.frontend.transport import Method, Table, TransportOf, Unary
from streams.metrics import Metrics

_log = structlog.get_logger()

_WORKFLOW = workflow_service.DESCRIPTOR.services_by_name["WorkflowService"]
_OPERATOR = operator_service.DESCRIPTOR.services_by_name["OperatorService"]
_HEALTH = "grpc.health.v1.Health"


class Frontend:
    """Serves the RPCs of the two services, health and reflection."""

    def __init__(
        self,
        services: Services,
        transport: TransportOf,
        metrics: Metrics,
        *,
        functions: Mapping[str, Function] = WORKFLOW_SERVICE,
    ) -> None:
        """`functions` are the served RPCs, by name."""
        self._services = services
        self._stopping: asyncio.Future[None] | None = None
        self._door = Door()
        names = (_WORKFLOW.full_name, _OPERATOR.full_name)
        self._health = Health(names)
        shown = (*names, _HEALTH, *reflection.NAMES)
        table = {
            **rpc_table(services, self._door, metrics, functions),
            **_search_table(services, self._door, metrics),
            **self._health.methods(),
            **reflection.Reflection(shown).methods(),
        }
        self._transport = transport(table)
        metrics.gauge(
            "millrace_streams_open_calls", "Calls inside.", lambda: {(): self._door.inside}
        )
        metrics.gauge(
            "millrace_streams_waiters",
            "Long polls that wait, by kind.",
            lambda: {(kind,): count for kind, count in services.waiters.counts().items()},
            labels=("kind",),
        )

    @property
    def address(self) -> str:
        """`host:port` it listens on, once started."""
        return self._transport.address

    async def start(self) -> None:
        """Listen; calls are refused until `open`. Raises AddressUnusable."""
        await self._transport.start()

    def open(self) -> None:
        """Let calls in: everything behind is ready."""
        self._door.open()
        self._health.set_serving(is_serving=True)

    async def stop(self) -> None:
        """Stop as planned, where no engine has to stop in between."""
        self.begin_stop()
        await self.finish()

    def begin_stop(self) -> None:
        """Take no further connections, end waits; calls go on until their clients know."""
        self._health.end()
        self._services.waiters.end_all()
        grace_s = self._services.settings.drain_timeout_s + self._services.settings.move_timeout_s
        self._stopping = asyncio.ensure_future(self._transport.stop(grace_s=grace_s))

    async def finish(self) -> None:
        """Wait a little for what is inside, then cut it off."""
        if self._stopping is None:
            return
        timeout_s = self._services.settings.move_timeout_s
        if not await self._door.emptied(timeout_s=timeout_s):
            _log.warning("calls_cut_off", count=self._door.inside, after_s=timeout_s)
            await self._transport.stop(grace_s=0)
        await self._stopping


def rpc_table(
    services: Services, door: Door, metrics: Metrics, functions: Mapping[str, Function]
) -> Table:
    """Return the handler of every RPC of both services: served, or refused by name."""
    table: dict[str, Method] = {}
    for service in (_WORKFLOW, _OPERATOR):
        for method in service.methods:
            function = functions.get(method.name)
            handler = (
                unserved(method.name)
                if function is None
                else guarded(method.name, function, services, door=door, metrics=metrics)
            )
            table[f"/{service.full_name}/{method.name}"] = Unary(handler)
    return table


def _search_table(services: Services, door: Door, metrics: Metrics) -> Table:
    """Return the handlers of our own service for the operator of search."""
    return {
        searching.SERVICE + name: Unary(
            guarded(f"Search{name}", function, services, door=door, metrics=metrics)
        )
        for name, function in searching.FUNCTIONS.items()
    }
