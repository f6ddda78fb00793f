"""What listening on an address needs, whichever transport does it."""

import asyncio
import socket
from collections.abc import Callable

from streams.frontend.transport import AddressUnusable


def shown(host: str, port: int) -> str:
    """Return `host:port`, with the brackets that IPv6 needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_free(host: str, port: int) -> None:
    """Raise AddressUnusable, with the system's own reason, where nobody can listen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AddressUnusable(
            error.errno, f"expected to listen on {shown(host, port)}, found: {reason}"
        ) from error


async def listen(
    protocol: Callable[[], asyncio.Protocol], host: str, port: int
) -> tuple[asyncio.Server, int]:
    """Begin to listen; return the server and its port. Raises AddressUnusable."""
    try:
        server = await asyncio.get_running_loop().create_server(protocol, host, port)
    except OSError as error:
        raise AddressUnusable(
            error.errno, f"expected to listen on {shown(host, port)}, found: {error.strerror}"
        ) from error
    return server, int(server.sockets[0].getsockname()[1])
