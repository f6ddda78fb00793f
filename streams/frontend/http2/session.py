"""The HTTP/2 state of one connection: `h2` for all that comes in, our own frames for what goes out.

`h2` keeps every check of the protocol. What is overridden here only saves work on the hot path, and
each override says which; their contract is tested against plain `h2`, which is pinned for it. This
file does no I/O and knows no gRPC.
"""

from collections.abc import Iterable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import Event
from h2.exceptions import ProtocolError, StreamClosedError, StreamIDTooLowError
from h2.settings import SettingCodes, Settings
from h2.stream import StreamClosedBy, StreamState
from h2.utilities import HeaderValidationFlags, validate_headers
from hpack import Decoder, HeaderTuple
from hpack.table import HeaderTable
from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame

from streams.frontend.http2 import wire

_CONNECTION_WINDOW_BYTES = 64 * 1024 * 1024
_DEFAULT_WINDOW_BYTES = 65_535
_SLACK_BYTES = 64 * 1024
_FRAME_BYTES = 256 * 1024
_HEADERS_BYTES = 16 * 1024
_UNSAID_HEADERS_BYTES = 1024 * 1024
_CACHED_BLOCKS = 256
_LAST_STREAM = 2**31 - 1
_REQUEST = HeaderValidationFlags(
    is_client=False, is_trailer=False, is_response_header=False, is_push_promise=False
)
_TRAILERS = _REQUEST._replace(is_trailer=True)


class _CountedTable(HeaderTable):
    """A dynamic table that counts its changes."""

    def __init__(self) -> None:
        self.changes = 0
        super().__init__()

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)

    def _shrink(self) -> None:
        self.changes += 1
        super()._shrink()


class CachingDecoder(Decoder):
    """Decodes a block once: the same bytes mean the same while the dynamic table is the same.

    Validates what it decodes, on that one occasion; raises `h2`'s ProtocolError for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.header_table = self._table = _CountedTable()
        self.max_header_list_size = _HEADERS_BYTES
        self._known: dict[bytes, list[HeaderTuple]] = {}

    def decode(self, block: bytes, raw: bool = False) -> Iterable[HeaderTuple]:  # noqa: FBT001, FBT002  hpack's signature
        """Return the headers of a block."""
        found = self._known.get(block)
        if found is not None:
            return found
        before = (self._table.changes, self._table.maxsize)
        headers = list(super().decode(block, raw=raw))
        is_request = bool(headers) and headers[0][0].startswith(b":")
        for _ in validate_headers(headers, _REQUEST if is_request else _TRAILERS):
            pass  # it raises
        if before != (self._table.changes, self._table.maxsize):
            self._known.clear()
        elif len(self._known) < _CACHED_BLOCKS:
            self._known[bytes(block)] = headers
        return headers


class Session(H2Connection):
    """The server's side of an HTTP/2 connection."""

    def __init__(self, *, max_streams: int, max_message_bytes: int) -> None:
        super().__init__(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,  # the decoder does it
                normalize_inbound_headers=False,
            )
        )
        self.decoder = CachingDecoder()
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: max_message_bytes + _SLACK_BYTES,
                SettingCodes.MAX_FRAME_SIZE: _FRAME_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: _HEADERS_BYTES,
            },
        )
        self.max_inbound_frame_size = _FRAME_BYTES
        self._is_table_shrunk = False
        self._owed_bytes = 0

    def begin(self) -> None:
        """Queue our settings, and open the connection's window wide."""
        self.initiate_connection()
        self.increment_flow_control_window(_CONNECTION_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)

    def end(self) -> None:
        """Let go of what refers back to this: the collector of cycles comes seldom (infra)."""
        self.streams.clear()
        self._frame_dispatch_table.clear()

    def taken(self) -> bytearray:
        """Return what is to be written, and forget it."""
        queued, self._data_to_send = self._data_to_send, bytearray()
        return queued

    # What comes in: less work than plain h2 for the same outcome.

    def _open_streams(self, remainder: int) -> int:  # noqa: ARG002  h2's signature
        """Count nothing: h2 walks all streams at each request; the connection counts its calls."""
        return 0

    def _receive_frame(self, frame: Frame) -> list[Event]:
        """Dispatch a frame as h2 does, without describing it for a log that is off."""
        try:
            frames, events = self._frame_dispatch_table[frame.__class__](frame)
        except (StreamClosedError, StreamIDTooLowError) as error:
            if not self._stream_is_closed_by_reset(error.stream_id):
                raise
            reset = RstStreamFrame(error.stream_id)
            reset.error_code = ErrorCodes.STREAM_CLOSED
            self._prepare_for_sending([reset])
            return list(getattr(error, "_events", ()))
        self._prepare_for_sending(frames)
        return list(events)

    def on_taken(self, flow_bytes: int) -> None:
        """Give the connection's window back in large pieces; a stream's holds a message."""
        self._owed_bytes += flow_bytes
        if self._owed_bytes > _CONNECTION_WINDOW_BYTES // 4:
            self.increment_flow_control_window(self._owed_bytes)
            self._owed_bytes = 0

    def renew(self, stream_id: int, taken_bytes: int) -> None:
        """Give a long stream's window back; nothing happens to one that has ended."""
        if stream_id in self.streams and taken_bytes:
            self.increment_flow_control_window(taken_bytes, stream_id)

    # What goes out.

    @property
    def headers_limit_bytes(self) -> int:
        """How large a header list the client surely takes, as HTTP/2 counts it.

        C-core refuses some calls from half of what it announces on.
        """
        announced = self.remote_settings.max_header_list_size
        return announced // 2 if announced else _UNSAID_HEADERS_BYTES

    def room_bytes(self, stream_id: int) -> int:
        """Return how large a DATA frame of a stream may be now."""
        stream = self.streams.get(stream_id)
        if stream is None:
            return 0
        return min(
            self.max_outbound_frame_size,
            self.outbound_flow_control_window,
            stream.outbound_flow_control_window,
        )

    def answer(self, stream_id: int, body: bytes, trailers: bytes = wire.OK_BLOCK) -> bool:
        """Queue a whole answer; False: there is no room for it at once."""
        size = len(body) + 5
        if size > self.room_bytes(stream_id) or not self._is_table_shrunk:
            return False
        self.outbound_flow_control_window -= size
        self._data_to_send += wire.whole_answer(stream_id, body, trailers)
        self._ended(stream_id)
        return True

    def say_headers(self, stream_id: int, block: bytes, *, is_last: bool = False) -> None:
        """Queue headers or trailers."""
        if not self._is_table_shrunk:
            self._is_table_shrunk = True
            block = wire.SHRUNK_TABLE + block
        self._data_to_send += wire.header_frames(
            stream_id, block, is_last=is_last, frame_bytes=self.max_outbound_frame_size
        )
        if is_last:
            self._ended(stream_id)

    def say_piece(self, stream_id: int, piece: bytes) -> None:
        """Queue data for which there is room."""
        self.outbound_flow_control_window -= len(piece)
        self.streams[stream_id].outbound_flow_control_window -= len(piece)
        self._data_to_send += wire.frame(wire.DATA_FRAME, 0, stream_id, piece)

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """End a stream at once; nothing happens to one that has ended."""
        if stream_id in self.streams:
            self.reset_stream(stream_id, code)
            self.forget(stream_id)

    def forget(self, stream_id: int) -> None:
        """Drop a stream that was reset."""
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            self._closed_streams[stream_id] = stream.closed_by

    def _ended(self, stream_id: int) -> None:
        """Our side of a stream has ended: drop it, and stop a client that still sends."""
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        if stream.state_machine.state is StreamState.HALF_CLOSED_REMOTE:
            del self.streams[stream_id]
            self._closed_streams[stream_id] = StreamClosedBy.SEND_END_STREAM
        else:
            self.reset(stream_id, ErrorCodes.NO_ERROR)

    def go_away(self, *, is_final: bool) -> None:
        """Queue GOAWAY without ending what is open, which h2's own would do (RFC 9113, 6.8)."""
        goodbye = GoAwayFrame(0)
        goodbye.last_stream_id = self.highest_inbound_stream_id if is_final else _LAST_STREAM
        goodbye.error_code = ErrorCodes.NO_ERROR
        self._prepare_for_sending([goodbye])

    def break_off(self, error: ProtocolError) -> None:
        """Queue GOAWAY with the reason of an error that is not h2's own."""
        self.close_connection(error.error_code)
