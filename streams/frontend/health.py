"""grpc.health.v1.Health: whether calls are taken, by service name; Check and Watch."""

import asyncio
from collections.abc import AsyncIterator

from grpc_health.v1 import health_pb2 as health

from schemas.errors import NotFound
from streams.frontend.transport import Call, Stream, Table, Unary
from topology.validation import parse

_Status = health.HealthCheckResponse


class Health:
    """The health service; every name it knows has the same status."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(names) | {""}
        self._is_serving = False
        self._is_over = False
        self._changed: set[asyncio.Event] = set()

    def methods(self) -> Table:
        """Return what a transport serves of it."""
        return {
            "/grpc.health.v1.Health/Check": Unary(self._check),
            "/grpc.health.v1.Health/Watch": Stream(self._watch),
        }

    def set_serving(self, *, is_serving: bool) -> None:
        """Tell everybody who asks or watches."""
        self._is_serving = is_serving
        for changed in self._changed:
            changed.set()

    def end(self) -> None:
        """Serve no longer: who watches hears it as the last thing."""
        self._is_over = True
        self.set_serving(is_serving=False)

    async def _check(self, call: Call) -> bytes:
        name = parse(health.HealthCheckRequest, call.request).service
        if name not in self._names:
            raise NotFound(f"unknown service {name}")
        return self._answer(name)

    async def _watch(
        self,
        call: Call,  # noqa: ARG002  a stream's shape
        requests: AsyncIterator[bytes],
    ) -> AsyncIterator[bytes]:
        name = parse(health.HealthCheckRequest, await anext(requests)).service
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            while True:
                changed.clear()
                yield self._answer(name)
                if self._is_over:
                    return
                await changed.wait()
        finally:
            self._changed.discard(changed)

    def _answer(self, name: str) -> bytes:
        if name not in self._names:
            status = _Status.SERVICE_UNKNOWN
        elif self._is_serving:
            status = _Status.SERVING
        else:
            status = _Status.NOT_SERVING
        return bytes(_Status(status=status).SerializeToString())
