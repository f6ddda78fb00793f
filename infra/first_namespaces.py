"""The namespaces a node registers at its start, through the path that everybody's requests take."""

from collections.abc import Iterable, Mapping, Sequence

from schemas.errors import NamespaceAlreadyExists
from schemas.temporal import service
from streams.frontend.rpcs import Function
from streams.frontend.services import Services

_TIMEOUT_S = 30.0
_DAY_S = 86_400


async def register_missing(
    functions: Mapping[str, Function],
    services: Services,
    names: Iterable[str],
    *,
    retention_days: int,
) -> None:
    """Register those that are not there yet, at the owners of their names."""
    for name in names:
        if services.namespaces.by_name(name) is None:
            await _register(functions["RegisterNamespace"], services, name, retention_days)


async def _register(register: Function, services: Services, name: str, retention_days: int) -> None:
    request = service.RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.seconds = retention_days * _DAY_S
    deadline = services.clock.monotonic() + _TIMEOUT_S
    try:
        await register(services, InsideCall(request.SerializeToString(), deadline))
    except NamespaceAlreadyExists:
        return  # another node was first


class InsideCall:
    """A call that no client made; implements `streams.frontend.transport.Call`."""

    def __init__(self, request: bytes, deadline: float) -> None:
        self.request = request
        self.deadline: float | None = deadline
        self.metadata: Sequence[tuple[str, str | bytes]] = ()
        self.peer = "this node"
