"""The namespaces a node registers at its start, through the path that everybody's requests take."""

import asyncio
from collections.abc import Iterable, Sequence

from schemas.errors import NamespaceAlreadyExists, Unavailable
from schemas.temporal import service
from streams.frontend import namespaces
from streams.frontend.services import Services

_TIMEOUT_S = 30.0
_DELAY_S = 0.05
_DAY_S = 86_400


async def register_missing(
    services: Services, names: Iterable[str], *, retention_days: int
) -> None:
    """Register those that are not there yet."""
    for name in names:
        if services.namespaces.by_name(name) is None:
            await _register(services, name, retention_days)


async def _register(services: Services, name: str, retention_days: int) -> None:
    request = service.RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.seconds = retention_days * _DAY_S
    call = InsideCall(request.SerializeToString(), services.clock.monotonic() + _TIMEOUT_S)
    while True:
        try:
            await namespaces.register(services, call)
        except NamespaceAlreadyExists:
            return  # another node was first, or we were, unheard
        except Unavailable:  # its partition is still being folded, here or elsewhere
            if services.time_left(call) < 0:
                raise
            await asyncio.sleep(_DELAY_S)
        else:
            return


class InsideCall:
    """A call that no client made; implements `streams.frontend.transport.Call`."""

    def __init__(self, request: bytes, deadline: float) -> None:
        self.request = request
        self.deadline: float | None = deadline
        self.metadata: Sequence[tuple[str, str | bytes]] = ()
        self.peer = "this node"
