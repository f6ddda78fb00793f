"""The transports there are, by the name they are chosen with."""

from collections.abc import Callable
from typing import Final

from streams.frontend.grpcio_transport import GrpcioTransport
from streams.frontend.http2_transport import Http2Transport
from streams.frontend.transport import Transport

TRANSPORTS: Final[dict[str, Callable[..., Transport]]] = {
    "http2": Http2Transport,
    "grpcio": GrpcioTransport,
}
