"""The namespaces a node registers at its start, through the path that everybody's requests take."""

from collections.abc import Iterable, Mapping, Sequence

from infra.failures import StartFailure
from schemas.errors import Code, ServiceError
from schemas.temporal import operator, service
from search.attributes import BY_LABEL
from streams.frontend.rpcs import Function
from streams.frontend.services import Services
from topology.namespace.decide import SYSTEM

_TIMEOUT_S = 30.0
_DAY_S = 86_400
_SYSTEM_DAYS = 7


async def register_missing(
    functions: Mapping[str, Function],
    services: Services,
    names: Iterable[str],
    *,
    retention_days: int,
) -> None:
    """Register those that are not there yet, at the owners of their names."""
    for name in names:
        request = service.RegisterNamespaceRequest(namespace=name)
        await _register(functions["RegisterNamespace"], services, request, retention_days)


async def register_system(functions: Mapping[str, Function], services: Services) -> None:
    """Register the namespace of the system's own workflows, as clients know it."""
    request = service.RegisterNamespaceRequest(
        namespace=SYSTEM,
        description="Temporal internal system namespace",
        owner_email="temporal-core@temporal.io",
    )
    await _register(functions["RegisterNamespace"], services, request, _SYSTEM_DAYS)


async def _register(
    register: Function,
    services: Services,
    request: service.RegisterNamespaceRequest,
    retention_days: int,
) -> None:
    if services.namespaces.by_name(request.namespace) is not None:
        return
    request.workflow_execution_retention_period.seconds = retention_days * _DAY_S
    deadline = services.clock.monotonic() + _TIMEOUT_S
    try:
        await register(services, InsideCall(request.SerializeToString(), deadline))
    except ServiceError as error:
        if error.code is not Code.ALREADY_EXISTS:  # then another node was first
            raise


async def add_missing_attributes(
    functions: Mapping[str, Function],
    services: Services,
    names: Iterable[str],
    wanted: Sequence[str],
) -> None:
    """Add search attributes given as NAME=TYPE to namespaces; raises StartFailure."""
    attributes = dict(_attribute(each) for each in wanted)
    for name in names if attributes else ():
        request = operator.AddSearchAttributesRequest(namespace=name)
        for attribute, value_type in attributes.items():
            request.search_attributes[attribute] = value_type  # type: ignore[assignment]  # an int
        deadline = services.clock.monotonic() + _TIMEOUT_S
        call = InsideCall(request.SerializeToString(), deadline)
        await functions["AddSearchAttributes"](services, call)


def _attribute(text: str) -> tuple[str, int]:
    name, _, label = text.partition("=")
    if not name or label not in BY_LABEL:
        known = ", ".join(BY_LABEL)
        raise StartFailure(
            f"A search attribute is NAME=TYPE with a type of {known}; found {text!r}."
        )
    return name, int(BY_LABEL[label])


class InsideCall:
    """A call that no client made; implements `streams.frontend.transport.Call`."""

    def __init__(self, request: bytes, deadline: float) -> None:
        self.request = request
        self.deadline: float | None = deadline
        self.metadata: Sequence[tuple[str, str | bytes]] = ()
        self.peer = "this node"

    def tell(self, name: str, value: str) -> None:
        """Nobody listens."""
