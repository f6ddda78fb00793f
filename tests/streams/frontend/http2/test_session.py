"""The HTTP/2 state against plain `h2` as the client: the contract of what is overridden."""

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from streams.frontend.http2 import wire
from streams.frontend.http2.session import CachingDecoder, Session

_HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/service/Method"),
    (":authority", "host"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


class Pair:
    """A client of plain h2 and our side, joined without a network."""

    def __init__(self, **settings: int) -> None:
        self.session = Session(max_streams=10, max_message_bytes=100_000)
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding="ascii"))
        self.client.local_settings = Settings(
            client=True,
            initial_values={SettingCodes[name]: value for name, value in settings.items()},
        )
        self.client.initiate_connection()
        self.session.begin()
        self.exchange()

    def exchange(self) -> tuple[list[events.Event], list[events.Event]]:
        """Carry what both have to say; return what we and the client heard."""
        ours, theirs = [], []
        while (up := self.client.data_to_send()) or self.session._data_to_send:
            if up:
                ours += self.session.receive_data(up)
            down = bytes(self.session.taken())
            if down:
                theirs += self.client.receive_data(down)
        return ours, theirs

    def ask(self, *, is_whole: bool = True) -> int:
        """Send a request."""
        stream_id = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, _HEADERS)
        self.client.send_data(stream_id, wire.message(b"ask"), end_stream=is_whole)
        self.exchange()
        return stream_id


def said(found: list[events.Event]) -> tuple[bytes, dict[str, str]]:
    """Return the data and the trailers of an answer."""
    data = b"".join(one.data for one in found if isinstance(one, events.DataReceived))
    ends = [one for one in found if isinstance(one, events.TrailersReceived)]
    return data, dict(ends[0].headers) if ends else {}


def test_whole_answer_is_read_by_plain_h2() -> None:
    """The second answer goes out as one group; both say the same."""
    pair = Pair()
    first = pair.ask()
    assert not pair.session.answer(first, b"one"), "expected the table to be shrunk first"
    pair.session.say_headers(first, wire.ANSWER_BLOCK)
    pair.session.say_piece(first, wire.message(b"one"))
    pair.session.say_headers(first, wire.OK_BLOCK, is_last=True)
    _, slow = pair.exchange()
    second = pair.ask()
    assert pair.session.answer(second, b"one")
    _, fast = pair.exchange()
    assert said(slow) == said(fast) == (wire.message(b"one"), {"grpc-status": "0"})
    assert pair.session.streams == {}


def test_client_without_a_header_table_is_content() -> None:
    """A peer that allows no dynamic table gets none, and is told so."""
    pair = Pair(HEADER_TABLE_SIZE=0)
    stream_id = pair.ask()
    pair.session.say_headers(stream_id, wire.ANSWER_BLOCK)
    pair.session.say_headers(stream_id, wire.OK_BLOCK, is_last=True)
    _, heard = pair.exchange()
    assert said(heard)[1] == {"grpc-status": "0"}


def test_long_header_values_are_read() -> None:
    """Lengths of more than one byte are coded as RFC 7541 says."""
    for size in (0, 126, 127, 128, 254, 255, 16_000):
        block = wire.block([(b"grpc-message", b"x" * size)], with_status=True)
        decoder = Decoder()
        decoder.max_header_list_size = 1 << 20
        assert decoder.decode(block)[1] == ("grpc-message", "x" * size)


def test_block_longer_than_a_frame_is_continued() -> None:
    """A long refusal goes out as HEADERS and CONTINUATION."""
    pair = Pair()
    stream_id = pair.ask()
    block = wire.block([(b"grpc-message", b"x" * 40_000)], with_status=True)
    pair.session.say_headers(stream_id, block, is_last=True)
    _, heard = pair.exchange()
    answers = [one for one in heard if isinstance(one, events.ResponseReceived)]
    assert dict(answers[0].headers)["grpc-message"] == "x" * 40_000


def test_answer_has_to_fit_the_windows() -> None:
    """A client's small window is kept: what does not fit is not written at once."""
    pair = Pair(INITIAL_WINDOW_SIZE=10)
    stream_id = pair.ask()
    pair.session.say_headers(stream_id, wire.ANSWER_BLOCK)
    assert not pair.session.answer(stream_id, b"x" * 6)
    assert pair.session.room_bytes(stream_id) == 10
    pair.session.say_piece(stream_id, b"x" * 10)
    assert pair.session.room_bytes(stream_id) == 0
    pair.exchange()
    pair.client.increment_flow_control_window(7, stream_id)
    pair.exchange()
    assert pair.session.room_bytes(stream_id) == 7


def test_early_answer_stops_the_client() -> None:
    """An answer before the end of the request resets it without an error."""
    pair = Pair()
    stream_id = pair.ask(is_whole=False)
    pair.session.say_headers(stream_id, wire.ANSWER_BLOCK, is_last=True)
    _, heard = pair.exchange()
    resets = [one for one in heard if isinstance(one, events.StreamReset)]
    assert [one.error_code for one in resets] == [ErrorCodes.NO_ERROR]
    assert pair.session.streams == {}


def test_data_after_a_reset_is_no_error_of_the_connection() -> None:
    """What was on its way when we reset a stream is dropped, as by plain h2."""
    pair = Pair()
    stream_id = pair.ask(is_whole=False)
    pair.client.send_data(stream_id, b"late")
    late = pair.client.data_to_send()
    pair.session.reset(stream_id, ErrorCodes.NO_ERROR)
    pair.session.receive_data(late)
    assert pair.ask() > stream_id


def test_data_after_the_end_is_answered_with_a_reset() -> None:
    """A client that goes on after its end is told that nobody listens, as by plain h2."""
    pair = Pair()
    stream_id = pair.ask()
    pair.session.say_headers(stream_id, wire.ANSWER_BLOCK, is_last=True)
    pair.exchange()
    pair.session.receive_data(wire.frame(wire.DATA_FRAME, 0, stream_id, b"late"))
    closed = int(ErrorCodes.STREAM_CLOSED).to_bytes(4, "big")
    assert wire.frame(wire.RST_STREAM, 0, stream_id, closed) in bytes(pair.session.taken())


def test_goodbye_leaves_open_streams_open() -> None:
    """After the first GOAWAY new streams are served, after the last the old ones still are."""
    pair = Pair()
    stream_id = pair.ask()
    pair.session.go_away(is_final=True)
    pair.session.say_headers(stream_id, wire.ANSWER_BLOCK)
    pair.session.say_headers(stream_id, wire.OK_BLOCK, is_last=True)
    written = bytes(pair.session.taken())
    assert written.index(b"\x07\x00\x00\x00\x00\x00") < written.index(b"grpc-status")


@given(
    lists=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["grpc-timeout", "authorization", "client-name", "x"]),
                st.text("abc", max_size=60),
                st.booleans(),
            ),
            max_size=6,
        ),
        max_size=12,
    ),
    table_size=st.sampled_from([0, 64, 4096]),
)
def test_caching_decoder_decodes_as_plain_hpack(
    lists: list[list[tuple[str, str, bool]]], table_size: int
) -> None:
    """Whatever is indexed, evicted or repeated: the same headers, from the same bytes."""
    encoder, plain, caching = Encoder(), Decoder(), CachingDecoder()
    encoder.header_table_size = table_size
    for headers in [one for one in lists for _ in range(2)]:
        block = encoder.encode(headers)
        expected = [(name.encode(), value.encode()) for name, value, _ in headers]
        assert list(plain.decode(block, raw=True)) == expected
        assert list(caching.decode(block, raw=True)) == expected


def test_bad_headers_are_refused() -> None:
    """Validation happens in the decoder: upper case, a second path, connection fields."""
    for bad in (
        [*_HEADERS, ("Upper", "x")],
        [*_HEADERS, (":path", "/x")],
        [*_HEADERS, ("connection", "x")],
    ):
        with pytest.raises(ProtocolError):
            CachingDecoder().decode(Encoder().encode(bad), raw=True)
