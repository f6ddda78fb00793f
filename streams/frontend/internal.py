"""The internal port: what other nodes may ask of this one (C2, C5, C6).

The RPCs that have an owner, served as our own and never forwarded on; and the calls between roles.
Our own metadata counts here only. Until the node is open, and again once it stops, everything is
answered "not the owner".
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from schemas.errors import Internal, NotTheOwner, ServiceError
from streams.calls import roles
from streams.calls.asked import asked_of
from streams.frontend.routes import ROUTES
from streams.frontend.routing import WORKFLOW_SERVICE_PATH, with_position
from streams.frontend.rpcs import Function
from streams.frontend.services import Services
from streams.frontend.transport import Call, TransportOf, Unary

_log = structlog.get_logger(__name__)

Serve = Callable[[Call], Awaitable[bytes]]


class InternalPort:
    """Listens early, because the node's claims name its address; serves once it is open."""

    def __init__(self, transport: TransportOf) -> None:
        paths = [WORKFLOW_SERVICE_PATH + name for name in ROUTES] + list(roles.PATHS)
        self._transport = transport({path: Unary(self._served(path)) for path in paths})
        self._serves: Mapping[str, Serve] = {}

    @property
    def address(self) -> str:
        """`host:port` it listens on, once started."""
        return self._transport.address

    async def start(self) -> None:
        """Listen; raises AddressUnusable."""
        await self._transport.start()

    def open(self, serves: Mapping[str, Serve]) -> None:
        """Serve."""
        self._serves = serves

    async def stop(self) -> None:
        """Serve no longer; what is open is cancelled."""
        self._serves = {}
        await self._transport.stop(grace_s=0)

    def _served(self, path: str) -> Serve:
        async def serve(call: Call) -> bytes:
            serve = self._serves.get(path)
            if serve is None:
                raise NotTheOwner("expected a node that serves, found one that starts or stops")
            try:
                return await serve(call)
            except ServiceError:
                raise
            except Exception as error:  # noqa: BLE001, RUF100  owns an RPC; a bug costs its call only
                _log.exception("forwarded_call_failed", path=path)
                raise Internal(f"{path} failed: {type(error).__name__}") from error

        return serve


def served_to_nodes(
    functions: Mapping[str, Function],
    services: Services,
    role_calls: Mapping[str, roles.Serve],
) -> dict[str, Serve]:
    """Return what an open node answers, by method; `functions` are the local ones."""
    rpcs = {
        WORKFLOW_SERVICE_PATH + name: _as_own(functions[name], services)
        for name in ROUTES
        if name in functions
    }
    return rpcs | {path: _of_role(serve) for path, serve in role_calls.items()}


def _as_own(function: Function, services: Services) -> Serve:
    async def serve(call: Call) -> bytes:
        asked = asked_of(call.metadata)
        if asked.namespaces_position > services.namespaces.position:
            await services.namespaces.read_to_end()  # bounded by the topic's end (N1)
        return await with_position(function, services.under(asked), call)

    return serve


def _of_role(serve: roles.Serve) -> Serve:
    async def answer(call: Call) -> bytes:
        return await serve(call.request)

    return answer
