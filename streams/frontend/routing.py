"""Every served RPC, at its owner: what comes in here and belongs elsewhere is forwarded (C2).

The handlers know nothing of it. This file gives each request its id, and nothing else of its own.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import Message

from streams import positions
from streams.calls.asked import ID_BYTES, Asked, Metadata, headers
from streams.calls.forward import Forward, Place
from streams.calls.roles import RoleCalls
from streams.frontend.routes import ROUTES, Route, Routes
from streams.frontend.rpcs import Function
from streams.frontend.services import Services, poll_id_of
from streams.frontend.transport import Call

WORKFLOW_SERVICE_PATH: Final = "/temporal.api.workflowservice.v1.WorkflowService/"


class Ways:
    """Where requests can go."""

    def __init__(self, routes: Routes, forward: Forward, roles: RoleCalls) -> None:
        self.routes = routes
        self.forward = forward
        self.roles = roles
        self._handing_back: set[asyncio.Task[None]] = set()

    def hand_back(self, services: Services, request: Any, asked: Asked, place: Place) -> None:
        """Have a task taken back whose poll left while it was forwarded (M2)."""
        namespace = services.namespaces.by_name(request.namespace)
        if namespace is None:
            return
        # the one call that outlives its request
        work = self.roles.hand_back(place, namespace, poll_id_of(asked))
        task = asyncio.get_running_loop().create_task(work)
        self._handing_back.add(task)
        task.add_done_callback(self._handing_back.discard)


class _Request:
    """A request of a client as an errand; implements `streams.calls.forward.Errand`."""

    __slots__ = ("_asked", "_call", "_function", "_message", "_route", "_services", "_ways", "path")

    def __init__(
        self, ways: Ways, route: Route, function: Function, *, services: Services, call: Call
    ) -> None:
        self._ways = ways
        self._route = route
        self._function = function
        self._services = services
        self._call = call
        self._message: Message | None = ways.routes.read(route, call.request)
        self._asked = Asked(services.random.bytes(ID_BYTES), services.namespaces.position)
        self.path = ""

    @property
    def body(self) -> bytes:
        return self._call.request

    @property
    def is_wait(self) -> bool:
        return self._message is not None and self._route.is_wait(self._message)

    def place(self) -> Place | None:
        if self._message is None:
            return None
        return self._route.place(self._ways.routes, self._message)

    async def here(self) -> bytes:
        return await with_position(self._function, self._services.under(self._asked), self._call)

    def heard(self, told: Metadata) -> None:
        for name, value in told:
            self._call.tell(name, str(value))

    def metadata(self) -> Metadata:
        return headers(self._asked, self._call.metadata)

    def ended(self) -> bytes | None:
        return self._route.ended(self._message)

    def left(self, place: Place) -> None:
        if self._route.is_poll:
            self._ways.hand_back(self._services, self._message, self._asked, place)


async def with_position(function: Function, services: Services, call: Call) -> bytes:
    """Serve a request; the answer to a write says where it stands in the log."""
    answer = await function(services, call)
    if services.gateway.written:
        call.tell(positions.NAME, services.gateway.written)
    return answer


def routed(functions: Mapping[str, Function], ways: Ways) -> dict[str, Function]:
    """Return the functions of all RPCs: at their owners, or anywhere."""
    return {
        name: _at_owner(name, function, ROUTES[name], ways) if name in ROUTES else function
        for name, function in functions.items()
    }


def _at_owner(name: str, function: Function, route: Route, ways: Ways) -> Function:
    path = WORKFLOW_SERVICE_PATH + name

    async def serve(services: Services, call: Call) -> bytes:
        request = _Request(ways, route, function, services=services, call=call)
        request.path = path
        return await ways.forward.serve(request, services.time_left(call))

    return serve
