"""The namespaces a node registers at its start, through the path that everybody's requests take."""

from collections.abc import Iterable, Mapping, Sequence

from infra.failures import StartFailure
from schemas.errors import Code, ServiceError
from schemas.temporal import operator, service
from search.attributes import BY_LABEL
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
