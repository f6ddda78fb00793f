"""The HTTP/2 frames and header blocks that a gRPC server writes.

Header blocks are literals that are never indexed, so the same bytes are right on every connection.
This file knows no state; which frame may be written when is for its callers.
"""

import struct
from collections.abc import Iterable
from urllib.parse import quote_from_bytes

DATA_FRAME, HEADERS, RST_STREAM, CONTINUATION = 0x0, 0x1, 0x3, 0x9
END_STREAM, END_HEADERS = 0x1, 0x4

_HEAD = struct.Struct(">HBBBI")  # length (24 bits), type, flags, stream id
_STATUS_200 = b"\x88"  # index 8 of the static table
_SEVEN_BITS = 0x7F
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

SHRUNK_TABLE = b"\x20"
"""Begins a connection's first block: our dynamic table is empty and stays so (RFC 7541, 6.3)."""


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Return a frame."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def header_frames(stream_id: int, block: bytes, *, is_last: bool, frame_bytes: int) -> bytes:
    """Return a block as HEADERS, and CONTINUATION where it is longer than a frame may be."""
    pieces = [block[at : at + frame_bytes] for at in range(0, len(block), frame_bytes)]
    frames = []
    for number, piece in enumerate(pieces, 1):
        flags = END_HEADERS if number == len(pieces) else 0
        if number == 1 and is_last:
            flags |= END_STREAM
        kind = HEADERS if number == 1 else CONTINUATION
        frames.append(frame(kind, flags, stream_id, piece))
    return b"".join(frames)


def block(headers: Iterable[tuple[bytes, bytes]], *, with_status: bool = False) -> bytes:
    """Return a header block of literals; `with_status` begins it with `:status: 200`."""
    literals = (b"\x00" + _string(name) + _string(value) for name, value in headers)
    return (_STATUS_200 if with_status else b"") + b"".join(literals)


def _string(text: bytes) -> bytes:
    """Return a string literal without Huffman coding (RFC 7541, 5.1 and 5.2)."""
    size = len(text)
    if size < _SEVEN_BITS:
        return bytes((size,)) + text
    prefix = bytearray((_SEVEN_BITS,))
    size -= _SEVEN_BITS
    while size >= 1 << 7:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + text


def percent_encoded(message: str) -> bytes:
    """Return a text as `grpc-message` carries it."""
    return quote_from_bytes(message.encode("utf-8", "replace"), safe=_PLAIN).encode("ascii")


CONTENT_TYPE = (b"content-type", b"application/grpc")
ANSWER_BLOCK = block([CONTENT_TYPE], with_status=True)
OK_BLOCK = block([(b"grpc-status", b"0")])
_ANSWER_HEAD = _HEAD.pack(0, len(ANSWER_BLOCK), HEADERS, END_HEADERS, 0)[:5]


def message(body: bytes) -> bytes:
    """Return a gRPC message, uncompressed."""
    return b"\x00" + len(body).to_bytes(4, "big") + body


def whole_answer(stream_id: int, body: bytes, trailers: bytes = OK_BLOCK) -> bytes:
    """Return headers, one message and the trailers of a call that went well, at once."""
    stream = stream_id.to_bytes(4, "big")
    size = len(body) + 5
    return b"".join(
        (
            _ANSWER_HEAD,
            stream,
            ANSWER_BLOCK,
            _HEAD.pack(size >> 8, size & 0xFF, DATA_FRAME, 0, stream_id),
            b"\x00",
            len(body).to_bytes(4, "big"),
            body,
            frame(HEADERS, END_HEADERS | END_STREAM, stream_id, trailers),
        )
    )
