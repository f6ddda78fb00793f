"""Calls to other nodes on grpcio's asyncio client: one connection a node, bytes in and out.

Connections with open calls are pinged every 2 s, since a stopped process keeps its connections
(C2). It knows no RPC and repeats nothing.
"""

import asyncio
from typing import Any, Final

import grpc

from schemas.errors import ServiceError
from streams.calls.asked import Metadata
from streams.calls.outcomes import TRAILER, error_of

_DETAILS: Final = "grpc-status-details-bin"
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
]


class GrpcioCall:
    """A call that is under way."""

    __slots__ = ("_call",)

    def __init__(self, call: Any) -> None:
        self._call = call

    async def answer(self) -> bytes:
        """Return the answer; raises ServiceError, and CancelledError once cancelled."""
        try:
            answer: bytes = await self._call
        except grpc.aio.AioRpcError as error:
            raise _error_of(error) from None
        return answer

    def cancel(self) -> None:
        """Cancel it, there too."""
        self._call.cancel()


class _Peer:
    """The connection to a node, and its methods."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._methods: dict[str, Any] = {}

    def method(self, path: str) -> Any:
        found = self._methods.get(path)
        if found is None:
            found = self._methods[path] = self.channel.unary_unary(path)
        return found


class GrpcioPeers:
    """All connections of this node to others."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def ask(
        self, address: str, path: str, body: bytes, *, metadata: Metadata, timeout_s: float
    ) -> GrpcioCall:
        """Begin a call."""
        peer = self._peers.get(address)
        if peer is None:
            peer = self._peers[address] = _Peer(address)
        return GrpcioCall(peer.method(path)(body, metadata=metadata, timeout=timeout_s))

    def forget(self, address: str) -> None:
        """Close the connection to a node that is gone."""
        peer = self._peers.pop(address, None)
        if peer is not None:
            task = asyncio.ensure_future(peer.channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def stop(self) -> None:
        """Close all; calls that are open are cancelled."""
        for address in list(self._peers):
            self.forget(address)
        if self._closing:
            await asyncio.wait(self._closing)


def _error_of(error: grpc.aio.AioRpcError) -> ServiceError:
    trailers = dict(error.trailing_metadata() or ())
    return error_of(
        error.code().value[0],
        error.details() or "",
        outcome=trailers.get(TRAILER),
        status=trailers.get(_DETAILS, b""),
    )
