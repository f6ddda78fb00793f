"""Metrics for Prometheus over HTTP: GET /metrics, and nothing else.

A few lines on asyncio instead of a thread with a server of its own; one answer a connection.
"""

import asyncio
import errno

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from infra.failures import StartFailure

_HEAD_BYTES = 8192
_READ_TIMEOUT_S = 5.0


class Exposition:
    """The endpoint; `port` is the one it got."""

    def __init__(self, ip: str, port: int, *collectors: Collector) -> None:
        self._ip = ip
        self.port = port
        self._registry = CollectorRegistry()
        for collector in collectors:
            self._registry.register(collector)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; raises StartFailure."""
        try:
            self._server = await asyncio.start_server(
                self._answer, self._ip, self.port, limit=_HEAD_BYTES
            )
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, str(error))
            raise StartFailure(
                f"Cannot serve metrics on {self._ip}:{self.port} ({reason}); "
                "choose another port with --metrics-port."
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _READ_TIMEOUT_S)
            writer.write(self._response(head.split(b"\r\n", 1)[0]))
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def _response(self, request_line: bytes) -> bytes:
        method, _, rest = request_line.partition(b" ")
        path = rest.split(b" ")[0].split(b"?")[0]
        if method not in (b"GET", b"HEAD") or path != b"/metrics":
            return _http("404 Not Found", "text/plain", b"Metrics are at /metrics.\n")
        body = generate_latest(self._registry)
        return _http("200 OK", CONTENT_TYPE_LATEST, body if method == b"GET" else b"")


def _http(status: str, kind: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
