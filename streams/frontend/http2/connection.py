"""One client's connection: calls of one socket read begin together, answers of one turn leave so.

So calls that came together travel together through the log, without anybody waiting for a batch. A
call that the client resets, whose deadline passes or whose connection breaks has its task
cancelled. This file knows no RPC.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from schemas.errors import Internal, ServiceError, Unavailable, Unimplemented
from streams.frontend.http2 import wire
from streams.frontend.http2.answers import refusal
from streams.frontend.http2.calls import Http2Call, Http2Stream
from streams.frontend.http2.floods import Floods
from streams.frontend.http2.messages import DeadlineOver, MessageReader, timeout_s
from streams.frontend.http2.outgoing import MOST_BYTES, Outgoing
from streams.frontend.http2.session import Session
from streams.frontend.settings import FrontendSettings
from streams.frontend.transport import Stream, Table

_log = structlog.get_logger(__name__)

_UNHEARD_TIMEOUT_S = 20.0
_LONGEST_DEADLINE_S = 1e6
_GOODBYE = b"goodbye!"
SHUTTING_DOWN = "the server is shutting down"


class Owner(Protocol):
    """Who keeps the connections."""

    def on_made(self, connection: "Connection") -> None:
        """Take note of one."""

    def on_lost(self, connection: "Connection") -> None:
        """Forget one."""


class Connection(asyncio.Protocol):
    """A connection, from accepted to lost."""

    def __init__(self, table: Table, settings: FrontendSettings, owner: Owner) -> None:
        self._table = table
        self._settings = settings
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._session = Session(
            max_streams=settings.max_concurrent_streams,
            max_message_bytes=settings.max_message_bytes,
        )
        self._floods = Floods(settings.max_concurrent_streams)
        self._calls: dict[int, Http2Call] = {}
        self._waiting: dict[int, Outgoing] = {}
        self._is_write_due = False
        self._is_full = False
        self._is_leaving = False
        self._has_left = False
        self._heard_at = 0.0
        self._reactions: dict[type[events.Event], Callable[[Any], None]] = {
            events.RequestReceived: self._on_request,
            events.DataReceived: self._on_piece,
            events.TrailersReceived: self._on_trailers,
            events.StreamReset: self._on_reset,
            events.WindowUpdated: self._on_room,
            events.RemoteSettingsChanged: self._on_room,
            events.PriorityUpdated: self._on_other,
            events.UnknownFrameReceived: self._on_other,
            events.PingReceived: self._on_ping,
            events.PingAckReceived: self._on_pong,
            events.ConnectionTerminated: self._on_goodbye,
        }

    # The socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer = _shown(transport.get_extra_info("peername"))
        self._heard_at = self._loop.time()
        self._keepalive = self._loop.call_later(self._settings.keepalive_interval_s, self._ping)
        self._session.begin()
        self._write()
        self._owner.on_made(self)

    def connection_lost(self, reason: Exception | None) -> None:
        """Nobody waits for the calls any more."""
        _log.debug("client_left", peer=self._peer, reason=str(reason or ""))
        self._keepalive.cancel()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.stop()
        self._waiting.clear()
        self._reactions.clear()
        self._session.end()
        self._owner.on_lost(self)

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self._is_full = True

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_full = False
        self._pump()
        self._wake()

    def data_received(self, chunk: bytes) -> None:
        """Take what the client said, all of it, and begin the calls that are whole."""
        self._heard_at = self._loop.time()
        try:
            for event in self._session.receive_data(chunk):
                reaction = self._reactions.get(event.__class__)
                if reaction is not None:
                    reaction(event)
        except ProtocolError as error:
            _log.debug("connection_broken_off", peer=self._peer, reason=str(error))
            self._session.break_off(error)
            self._write()
            self._transport.close()
            return
        self._wake()

    def _wake(self) -> None:
        """Write at the end of this turn of the loop."""
        if not self._is_write_due:
            self._is_write_due = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._is_write_due = False
        queued = self._session.taken()
        if queued:
            self._transport.write(queued)
        if self._has_left and not self._calls and not self._waiting:
            self._transport.close()

    # What a client says.

    def _on_request(self, event: events.RequestReceived) -> None:
        self._floods.on_request()
        stream_id, headers = event.stream_id, event.headers
        assert stream_id is not None
        if self._has_left or len(self._calls) >= self._settings.max_concurrent_streams:
            self._session.reset(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        fields = dict(headers)
        is_grpc = fields.get(b"content-type", b"").startswith(b"application/grpc")
        if fields.get(b":method") != b"POST" or not is_grpc:
            self._session.say_headers(stream_id, _NOT_GRPC, is_last=True)
            return
        path = fields.get(b":path", b"").decode("ascii", "replace")
        method = self._table.get(path)
        reader = MessageReader(fields.get(b"grpc-encoding", b""), self._settings.max_message_bytes)
        kind = Http2Stream if isinstance(method, Stream) else Http2Call
        call = kind(stream_id, headers, path=path, peer=self._peer, reader=reader)
        self._calls[stream_id] = call
        if method is None:
            self._refuse(call, Unimplemented(f"unknown method {path}"))
            return
        self._limit(call, fields.get(b"grpc-timeout"))
        if isinstance(call, Http2Stream) and stream_id in self._calls:
            call.on_taken(self._session.renew)
            self._start(call)
        if event.stream_ended is not None:
            self._end(stream_id)

    def _on_piece(self, event: events.DataReceived) -> None:
        stream_id = event.stream_id
        assert stream_id is not None
        self._session.on_taken(event.flow_controlled_length or 0)
        call = self._calls.get(stream_id)
        if call is not None and event.data:
            try:
                call.feed(event.data)
            except ServiceError as error:
                self._refuse(call, error)
                return
        if event.stream_ended is not None:
            self._end(stream_id)
        elif not event.data:
            self._floods.empties.take(self._heard_at)

    def _on_trailers(self, event: events.TrailersReceived) -> None:
        assert event.stream_id is not None
        self._end(event.stream_id)

    def _on_reset(self, event: events.StreamReset) -> None:
        assert event.stream_id is not None
        self._floods.resets.take(self._heard_at)
        self._session.forget(event.stream_id)
        self._waiting.pop(event.stream_id, None)
        call = self._calls.pop(event.stream_id, None)
        if call is not None:
            call.stop()

    def _on_room(self, event: events.Event) -> None:  # noqa: ARG002  a reaction's shape
        self._floods.controls.take(self._heard_at)
        self._pump()

    def _on_other(self, event: events.Event) -> None:  # noqa: ARG002  a reaction's shape
        self._floods.controls.take(self._heard_at)

    def _on_ping(self, event: events.PingReceived) -> None:  # noqa: ARG002  a reaction's shape
        self._floods.pings.take(self._heard_at)

    def _on_pong(self, event: events.PingAckReceived) -> None:
        if event.ping_data == _GOODBYE and self._is_leaving:
            self._session.go_away(is_final=True)
            self._has_left = True

    def _on_goodbye(self, event: events.ConnectionTerminated) -> None:  # noqa: ARG002  its shape
        self._is_leaving = self._has_left = True

    # Calls.

    def _limit(self, call: Http2Call, timeout: bytes | None) -> None:
        """Note a call's deadline."""
        if timeout is None:
            return
        try:
            span_s = min(timeout_s(timeout), _LONGEST_DEADLINE_S)
        except ServiceError as error:
            self._refuse(call, error)
            return
        call.deadline = self._heard_at + span_s
        call.timer = self._loop.call_at(call.deadline, self._expire, call)

    def _expire(self, call: Http2Call) -> None:
        self._refuse(call, DeadlineOver("context deadline exceeded"))
        call.stop()

    def _end(self, stream_id: int) -> None:
        """The client has said all of a call."""
        call = self._calls.get(stream_id)
        if call is None:
            return
        try:
            call.end()
        except ServiceError as error:
            self._refuse(call, error)
            return
        if not isinstance(call, Http2Stream):
            self._start(call)

    def _start(self, call: Http2Call) -> None:
        call.task = self._loop.create_task(self._serve(call))

    async def _serve(self, call: Http2Call) -> None:
        method = self._table[call.path]
        try:
            if isinstance(method, Stream):
                assert isinstance(call, Http2Stream)
                async for response in method.handler(call, call.requests()):
                    await self._say(call, response)
                self._finish(call)
            else:
                self._answer(call, await method.handler(call))
        except ServiceError as error:
            self._refuse(call, error)
        except Exception as error:  # noqa: BLE001  owns an RPC; a bug costs its call only
            _log.exception("call_failed", path=call.path)
            self._refuse(call, Internal(f"{call.path} failed: {type(error).__name__}"))

    # Answers.

    def _answer(self, call: Http2Call, body: bytes) -> None:
        stream_id = call.stream_id
        if self._calls.pop(stream_id, None) is None:
            return
        if call.timer is not None:
            call.timer.cancel()
        if self._is_full or not self._session.answer(stream_id, body, call.trailers):
            self._session.say_headers(stream_id, wire.ANSWER_BLOCK)
            outgoing = self._waiting[stream_id] = Outgoing()
            outgoing.add(wire.message(body))
            outgoing.trailers = call.trailers
            self._pump()
        self._wake()

    async def _say(self, call: Http2Stream, response: bytes) -> None:
        """Say one response of a stream; returns when it has left."""
        stream_id = call.stream_id
        outgoing = self._waiting.get(stream_id)
        if outgoing is None:
            outgoing = self._waiting[stream_id] = Outgoing()
            self._session.say_headers(stream_id, wire.ANSWER_BLOCK)
        outgoing.add(wire.message(response))
        self._pump()
        self._wake()
        await outgoing.drained()

    def _finish(self, call: Http2Stream) -> None:
        """A stream's handler has said all."""
        if self._calls.pop(call.stream_id, None) is None:
            return
        if call.timer is not None:
            call.timer.cancel()
        outgoing = self._waiting.pop(call.stream_id, None)
        block = refusal(None, limit_bytes=0) if outgoing is None else wire.OK_BLOCK
        self._session.say_headers(call.stream_id, block, is_last=True)
        self._wake()

    def _refuse(self, call: Http2Call, error: ServiceError) -> None:
        """Answer with an error."""
        if self._calls.pop(call.stream_id, None) is None:
            return
        if call.timer is not None:
            call.timer.cancel()
        has_begun = self._waiting.pop(call.stream_id, None) is not None
        block = refusal(error, limit_bytes=self._session.headers_limit_bytes, has_begun=has_begun)
        self._session.say_headers(call.stream_id, block, is_last=True)
        self._wake()

    def _pump(self) -> None:
        """Say what has waited, as far as there is room."""
        if not self._waiting:
            return
        for stream_id, outgoing in list(self._waiting.items()):
            if self._is_full:
                break
            if outgoing.pump(self._session, stream_id):
                del self._waiting[stream_id]
            self._write()
        if sum(len(outgoing.left) for outgoing in self._waiting.values()) > MOST_BYTES:
            _log.warning("client_cut_off", peer=self._peer, unread_bytes_over=MOST_BYTES)
            self._transport.abort()

    # Life and end.

    def _ping(self) -> None:
        """Ask a client that has long said nothing whether it is there."""
        quiet_s = self._loop.time() - self._heard_at
        interval_s = self._settings.keepalive_interval_s
        if quiet_s >= interval_s + _UNHEARD_TIMEOUT_S:
            self._transport.abort()
            return
        delay_s = interval_s - quiet_s
        if delay_s <= 0:
            self._session.ping(b"millrace")
            self._wake()
            delay_s = _UNHEARD_TIMEOUT_S
        self._keepalive = self._loop.call_later(delay_s, self._ping)

    def leave(self) -> None:
        """Tell the client to go elsewhere; what it asks until it knows is served."""
        if not self._is_leaving:
            self._is_leaving = True
            self._session.go_away(is_final=False)
            self._session.ping(_GOODBYE)
            self._wake()

    def cut(self) -> None:
        """End what is open, with an answer that says to ask elsewhere."""
        self._has_left = True
        for call in list(self._calls.values()):
            self._refuse(call, Unavailable(SHUTTING_DOWN))
            call.stop()
        self._waiting.clear()
        self._write()


_NOT_GRPC = wire.block([(b":status", b"415"), (b"content-length", b"0")])


def _shown(address: object) -> str:
    """Return a peer's address as gRPC shows it."""
    match address:
        case (str() as host, int() as port):
            return f"ipv4:{host}:{port}"
        case (str() as host, int() as port, *_):
            return f"ipv6:[{host}]:{port}"
        case _:
            return "unknown"
