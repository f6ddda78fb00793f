"""The transport on grpcio's asyncio server (C-core), bytes in and out.

It tolerates keepalive pings as SDKs send them, takes larger messages than are allowed in order to
refuse them with the text SDKs know, and never shares its port. It knows no RPC.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import grpc

from schemas.errors import ServiceError
from streams.frontend.errors import too_large, too_large_decompressed
from streams.frontend.listening import check_free, shown
from streams.frontend.settings import FrontendSettings
from streams.frontend.transport import AddressUnusable, Call, Stream, Table

_RECEIVE_LIMIT_BYTES = 128 * 1024 * 1024
_DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}

Serve = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]
ServeStream = Callable[[AsyncIterator[bytes], grpc.aio.ServicerContext], AsyncIterator[bytes]]


class _GrpcioCall:
    """A call as grpcio gives it; what is seldom asked is read only when asked."""

    __slots__ = ("_context", "_deadline", "_told", "request")

    def __init__(self, request: bytes, context: grpc.aio.ServicerContext) -> None:
        self.request = request
        self._told: list[tuple[str, str]] = []
        self._context = context
        self._deadline: float | None = -1.0

    @property
    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return self._context.invocation_metadata() or ()

    @property
    def deadline(self) -> float | None:
        if self._deadline == -1.0:
            left = self._context.time_remaining()
            self._deadline = None if left is None else time.monotonic() + left
        return self._deadline

    @property
    def peer(self) -> str:
        return str(self._context.peer())

    def tell(self, name: str, value: str) -> None:
        self._told.append((name, value))

    def answered(self, answer: bytes) -> bytes:
        """Send what goes along with an answer, and return it."""
        if self._told:
            self._context.set_trailing_metadata(tuple(self._told))
        return answer


class GrpcioTransport:
    """A grpcio server for a table of methods."""

    def __init__(self, table: Table, *, host: str, port: int, settings: FrontendSettings) -> None:
        self._table = table
        self._host = host
        self._port = port
        self._settings = settings
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """`host:port` it listens on; before `start`, the one it will ask for."""
        return f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Begin to listen; raises AddressUnusable."""
        check_free(self._host, self._port)
        server = grpc.aio.server(options=_options(self._settings))
        server.add_generic_rpc_handlers((_Methods(self._table, self._settings.max_message_bytes),))
        try:
            self._port = server.add_insecure_port(shown(self._host, self._port))
        except RuntimeError as error:
            raise AddressUnusable(f"expected to listen on {self.address}, found {error}") from error
        await server.start()
        self._server = server

    async def stop(self, *, grace_s: float) -> None:
        """Take no further calls; what is still open after the grace is cancelled."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio is untyped
    """Finds the method of a call; one object a method, made once."""

    def __init__(self, table: Table, max_bytes: int) -> None:
        self._methods = {
            path: grpc.stream_stream_rpc_method_handler(_stream(method.handler))
            if isinstance(method, Stream)
            else grpc.unary_unary_rpc_method_handler(_unary(method.handler, max_bytes))
            for path, method in table.items()
        }

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return the handler of a path; None is answered UNIMPLEMENTED."""
        return self._methods.get(details.method)


def _unary(handler: Callable[[Call], Awaitable[bytes]], max_bytes: int) -> Serve:
    async def serve(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        try:
            if len(request) > max_bytes:
                raise _refusal(len(request), max_bytes, context)
            call = _GrpcioCall(request, context)
            return call.answered(await handler(call))
        except ServiceError as error:
            return await _abort(context, error)

    return serve


def _stream(
    handler: Callable[[Call, AsyncIterator[bytes]], AsyncIterator[bytes]],
) -> ServeStream:
    async def serve(
        requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        try:
            async for response in handler(_GrpcioCall(b"", context), requests):
                yield response
        except ServiceError as error:
            await _abort(context, error)

    return serve


async def _abort(context: grpc.aio.ServicerContext, error: ServiceError) -> bytes:
    trailers = () if error.detail is None else ((_DETAILS, error.status()),)
    await context.abort(_CODES[int(error.code)], error.message, trailers)
    raise AssertionError("expected abort to raise")


def _refusal(size_bytes: int, limit_bytes: int, context: grpc.aio.ServicerContext) -> ServiceError:
    """Refuse an oversized message in the words that fit its client.

    C-core hides whether a message was compressed. The SDKs' core (tonic) compresses, others as a
    rule do not; both texts mean the same to all of them.
    """
    agent = dict(context.invocation_metadata() or ()).get("user-agent", "")
    if str(agent).startswith("tonic"):
        return too_large_decompressed(limit_bytes)
    return too_large(size_bytes, limit_bytes)


def _options(settings: FrontendSettings) -> list[tuple[str, int]]:
    """Return the channel arguments; temporal-core section 0 has the reasons."""
    ping_ms = int(settings.min_ping_interval_s * 1000)
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", _RECEIVE_LIMIT_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", ping_ms),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", int(settings.keepalive_interval_s * 1000)),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
