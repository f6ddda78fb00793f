"""Connections: frames in, responses out, in order, one request at a time as in Kafka.

What a stranger sends can close its own connection and nothing else. Memory is bounded: a request
has a largest size, reading stops while requests wait, and none is begun while responses pile up.
"""

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Awaitable

from infra.broker.api.call import Call, Route
from infra.broker.api.routes import ROUTES
from infra.broker.broker import Broker
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.messages.cluster import API_VERSIONS
from infra.broker.schema import Message, request_decoder, response_encoder
from infra.broker.wire import MALFORMED, Buffer, MalformedError, skip_tags

_log = logging.getLogger(__name__)
_LENGTH = struct.Struct(">i")
_REQUEST_HEAD = struct.Struct(">hhih")
_MAX_WAITING_BYTES = 4 << 20
_MAX_UNSENT_BYTES = 8 << 20


def _api_versions(code: ErrorCode) -> Message:
    """List what is served."""
    apis = [API_VERSIONS, *(route.api for route in ROUTES.values())]
    keys = [
        {
            "api_key": api.key,
            "min_version": api.versions[0] if api.advertised_from is None else api.advertised_from,
            "max_version": api.versions[1],
        }
        for api in sorted(apis, key=lambda api: api.key)
    ]
    return {"error_code": code, "api_keys": keys}


class _Request:
    """Head and body of one frame."""

    __slots__ = ("body_at", "client_id", "correlation_id", "frame", "key", "version")

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        head = _REQUEST_HEAD.unpack_from(frame)
        self.key, self.version, self.correlation_id, length = head
        self.body_at = _REQUEST_HEAD.size + max(length, 0)
        if self.body_at > len(frame):
            raise MalformedError("expected a client id")
        self.client_id = str(frame[_REQUEST_HEAD.size : self.body_at], "utf-8")


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, broker: Broker, connections: set["Connection"]) -> None:
        self._broker = broker
        self._connections = connections
        self._max_request_bytes = broker.settings.max_request_bytes
        self._transport: asyncio.Transport | None = None
        self._unparsed = bytearray()
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_reading = True
        self._is_writable = True
        self._waiting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection (asyncio)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)
        transport.set_write_buffer_limits(_MAX_UNSENT_BYTES)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the client; who waits for it waits no more (asyncio)."""
        self._transport = None
        self._connections.discard(self)
        self._frames.clear()
        self._unparsed.clear()
        if self._waiting is not None:
            self._waiting.cancel()

    def pause_writing(self) -> None:
        """Stop serving a client that does not read (asyncio)."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """Go on (asyncio)."""
        self._is_writable = True
        self._serve()

    def data_received(self, chunk: bytes) -> None:
        """Cut the stream into frames (asyncio)."""
        if self._unparsed:
            self._unparsed += chunk
            taken = self._cut_frames(self._unparsed)
            del self._unparsed[:taken]
        else:
            taken = self._cut_frames(chunk)
            if taken < len(chunk):
                self._unparsed += memoryview(chunk)[taken:]
        self._serve()

    def _cut_frames(self, stream: bytes | bytearray) -> int:
        """Queue all whole frames and return how many bytes they took."""
        position, end = 0, len(stream)
        while end - position >= 4:
            (length,) = _LENGTH.unpack_from(stream, position)
            if not _REQUEST_HEAD.size <= length <= self._max_request_bytes:
                self.close(f"expected a request of at most {self._max_request_bytes} bytes")
                return end
            if end - position - 4 < length:
                break
            self._frames.append(bytes(memoryview(stream)[position + 4 : position + 4 + length]))
            self._waiting_bytes += length
            position += 4 + length
        return position

    def _serve(self) -> None:
        """Serve queued requests until one has to wait."""
        while self._frames and self._is_writable and self._waiting is None and self._transport:
            frame = self._frames.popleft()
            self._waiting_bytes -= len(frame)
            try:
                self._begin(_Request(frame))
            except MALFORMED as error:
                self.close(f"malformed request: {error!r}")
            except KafkaError as error:
                self.close(f"refused: {error.message}")
            except Exception:  # noqa: BLE001 - this loop owns the connection
                _log.exception("request_failed")
                self.close("a bug")
        self._throttle()

    def _throttle(self) -> None:
        """Read on only while few requests wait."""
        if self._transport is None or self._transport.is_closing():
            return
        may_read = self._waiting_bytes < _MAX_WAITING_BYTES
        if may_read and not self._is_reading:
            self._transport.resume_reading()
        elif not may_read and self._is_reading:
            self._transport.pause_reading()
        self._is_reading = may_read

    def _begin(self, request: _Request) -> None:
        """Serve one request, or begin to."""
        if request.key == API_VERSIONS.key:
            self._answer_versions(request)
            return
        route = ROUTES.get(request.key)
        if route is None or not route.api.versions[0] <= request.version <= route.api.versions[1]:
            self.close(f"API {request.key} version {request.version} is not served")
            return
        position = request.body_at
        if route.api.is_flexible(request.version):
            position = skip_tags(request.frame, position)
        body, end = request_decoder(route.api, request.version)(request.frame, position)
        if end > len(request.frame):
            raise MalformedError("expected a whole request")
        answer = route.function(self._broker, body, Call(request.version, request.client_id))
        if isinstance(answer, Awaitable):
            self._waiting = asyncio.create_task(self._finish(route, request, answer))
        elif answer is not None:
            self._send(route, request, answer)

    async def _finish(self, route: Route, request: _Request, answer: Awaitable[Message]) -> None:
        """Send an answer that has to be waited for, then serve on."""
        try:
            self._send(route, request, await answer)
        except KafkaError as error:
            self.close(f"refused: {error.message}")
        except Exception:  # noqa: BLE001 - this loop owns the connection
            _log.exception("request_failed")
            self.close("a bug")
        finally:
            self._waiting = None
        self._serve()

    def _answer_versions(self, request: _Request) -> None:
        """Answer ApiVersions; a version not known is told what is, in version 0."""
        first, last = API_VERSIONS.versions
        is_known = first <= request.version <= last
        version = request.version if is_known else 0
        code = ErrorCode.NONE if is_known else ErrorCode.UNSUPPORTED_VERSION
        self._write(request, version, _api_versions(code))

    def _write(self, request: _Request, version: int, message: Message) -> None:
        parts: list[Buffer] = [b"", _LENGTH.pack(request.correlation_id)]
        response_encoder(API_VERSIONS, version)(message, parts.append)
        self._send_parts(parts)

    def _send(self, route: Route, request: _Request, message: Message) -> None:
        parts: list[Buffer] = [b"", _LENGTH.pack(request.correlation_id)]
        if route.api.is_flexible(request.version):
            parts.append(b"\0")
        response_encoder(route.api, request.version)(message, parts.append)
        self._send_parts(parts)

    def _send_parts(self, parts: list[Buffer]) -> None:
        parts[0] = _LENGTH.pack(sum(map(len, parts)))
        if self._transport is not None:
            self._transport.write(b"".join(parts))

    def close(self, reason: str) -> None:
        """Close the connection."""
        _log.debug("connection_closed: %s", reason)
        if self._transport is not None:
            self._transport.close()
            self._frames.clear()
            self._unparsed.clear()
