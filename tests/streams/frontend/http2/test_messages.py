"""gRPC's framing: messages from pieces, compression, limits, deadlines."""

import gzip
import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Internal, ServiceError, Unimplemented
from streams.frontend.errors import MessageTooLarge
from streams.frontend.http2.messages import MessageReader, decompressed, timeout_s
from streams.frontend.http2.wire import message, percent_encoded

_LIMIT = 1_000


@given(bodies=st.lists(st.binary(max_size=50), max_size=5), cuts=st.lists(st.integers(0, 300)))
def test_messages_come_whole_however_they_are_cut(bodies: list[bytes], cuts: list[int]) -> None:
    """Where the network cuts does not matter."""
    data = b"".join(message(body) for body in bodies)
    reader = MessageReader(b"", _LIMIT)
    found = []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in itertools.pairwise(edges):
        reader.feed(data[start:end])
        while (body := reader.take()) is not None:
            found.append(body)
    assert found == bodies
    assert reader.is_empty


def test_part_of_a_message_is_none() -> None:
    """A message that is not whole is not there."""
    reader = MessageReader(b"", _LIMIT)
    reader.feed(message(b"12345")[:-1])
    assert reader.take() is None
    assert not reader.is_empty


def test_too_large_is_known_from_the_prefix() -> None:
    """Five bytes are enough to refuse what they announce."""
    reader = MessageReader(b"", _LIMIT)
    with pytest.raises(MessageTooLarge, match=r"larger than max \(1001 vs. 1000\)"):
        reader.feed(message(b"x" * (_LIMIT + 1))[:5])


@pytest.mark.parametrize(
    ("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)]
)
def test_compressed_message_is_read(encoding: bytes, pack: object) -> None:
    """The encodings that gRPC names are understood."""
    assert callable(pack)
    packed = pack(b"x" * 500)
    reader = MessageReader(encoding, _LIMIT)
    reader.feed(b"\x01" + len(packed).to_bytes(4, "big") + packed)
    assert reader.take() == b"x" * 500


def test_compressed_bomb_is_refused() -> None:
    """What would be too large decompressed is not decompressed to its end."""
    with pytest.raises(MessageTooLarge, match="after decompression larger than max 1000"):
        decompressed(gzip.compress(b"x" * 10_000_000), b"gzip", _LIMIT)


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        (b"not gzip", b"gzip", Internal),
        (gzip.compress(b"x" * 100)[:-9], b"gzip", Internal),
        (b"x", b"snappy", Unimplemented),
        (b"x", b"", Unimplemented),
    ],
)
def test_bad_compression_is_refused(
    body: bytes, encoding: bytes, error: type[ServiceError]
) -> None:
    """Damage is INTERNAL, an unknown encoding UNIMPLEMENTED, as gRPC says."""
    with pytest.raises(error):
        decompressed(body, encoding, _LIMIT)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"400m", 0.4), (b"5u", 5e-6), (b"7n", 7e-9)],
)
def test_timeouts_have_units(text: bytes, seconds: float) -> None:
    """Every unit of the protocol is known."""
    assert timeout_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [b"", b"S", b"1", b"-1S", b"1.5S", b"1x", b"123456789S"])
def test_bad_timeouts_are_refused(text: bytes) -> None:
    """Anything else is an error of the client."""
    with pytest.raises(Internal, match="malformed grpc-timeout"):
        timeout_s(text)


def test_status_messages_are_percent_encoded() -> None:
    """Everything but printable ASCII is escaped; a percent sign too."""
    assert percent_encoded("50% of ü\n") == b"50%25 of %C3%BC%0A"
