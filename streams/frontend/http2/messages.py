"""gRPC's framing inside HTTP/2: length-prefixed messages, compression, deadlines.

Source: `PROTOCOL-HTTP2.md` of the gRPC project. This file does no I/O and knows no RPC.
"""

import zlib

from schemas.errors import Code, Internal, ServiceError, Unimplemented
from streams.frontend.errors import too_large, too_large_decompressed

_PREFIX_BYTES = 5
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_LONGEST_TIMEOUT_DIGITS = 8
_WINDOW_BITS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
ENCODINGS = b"identity,gzip,deflate"


class MessageReader:
    """Cuts the data of one stream into messages."""

    __slots__ = ("_buffer", "_encoding", "_limit_bytes")

    def __init__(self, encoding: bytes, limit_bytes: int) -> None:
        self._buffer: bytes | bytearray = b""
        self._encoding = encoding
        self._limit_bytes = limit_bytes

    def feed(self, chunk: bytes) -> None:
        """Take data; raises MessageTooLarge as soon as a message says that it is."""
        if not self._buffer:
            self._buffer = chunk
        elif isinstance(self._buffer, bytearray):
            self._buffer += chunk
        else:
            self._buffer = bytearray(self._buffer) + chunk
        if len(self._buffer) >= _PREFIX_BYTES and self._size() > self._limit_bytes:
            raise too_large(self._size(), self._limit_bytes)

    @property
    def is_empty(self) -> bool:
        """Whether every byte was taken."""
        return not self._buffer

    def take(self) -> bytes | None:
        """Return the next whole message, decompressed; None: there is none yet."""
        held = len(self._buffer) - _PREFIX_BYTES
        if held < 0 or held < (size := self._size()):
            return None
        flag = self._buffer[0]
        body = bytes(self._buffer[_PREFIX_BYTES : _PREFIX_BYTES + size])
        self._buffer = b"" if held == size else bytes(self._buffer[_PREFIX_BYTES + size :])
        return body if flag == 0 else decompressed(body, self._encoding, self._limit_bytes)

    def _size(self) -> int:
        return int.from_bytes(self._buffer[1:_PREFIX_BYTES], "big")


def decompressed(body: bytes, encoding: bytes, limit_bytes: int) -> bytes:
    """Return a message as it was before compression; never makes more than the limit of it."""
    if encoding not in _WINDOW_BITS:
        shown = encoding.decode("latin-1") or "identity"
        raise Unimplemented(
            f'grpc: Decompressor is not installed for grpc-encoding "{shown}"'
            if encoding
            else f"grpc: compressed flag set with {shown} or empty encoding"
        )
    inflate = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        plain = inflate.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise Internal(f"grpc: failed to decompress the received message: {error}") from error
    if len(plain) > limit_bytes:
        raise too_large_decompressed(limit_bytes)
    if not inflate.eof:
        raise Internal("grpc: failed to decompress the received message: unexpected EOF")
    return plain


def timeout_s(text: bytes) -> float:
    """Return the seconds that `grpc-timeout` says; raises what a bad one is answered with."""
    digits, unit = text[:-1], _UNITS_S.get(text[-1:])
    if unit is None or not digits.isdigit() or len(digits) > _LONGEST_TIMEOUT_DIGITS:
        raise Internal(f"malformed grpc-timeout: {text.decode('latin-1')!r}")
    return int(digits) * unit


class DeadlineOver(ServiceError):
    """The client's deadline passed before the answer."""

    code = Code.DEADLINE_EXCEEDED
