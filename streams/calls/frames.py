"""What nodes say to each other on a connection: frames of length, kind, call and payload.

    node:  ASK (path, seconds left, metadata, body)   CANCEL   PING
    owner: TOLD (metadata)   ANSWER (body)   ERROR (code, text, outcome, status)   PONG

A connection carries any number of calls at once, each under a number its asker gave it. Beginnings
differ by version, so releases that do not understand one another say so. Nothing waits here.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

from streams.calls.asked import Metadata

BEGINNING: Final = b"millrace 1\n"
"""What the asking side says first."""
FRAME_LIMIT_BYTES: Final = 64 << 20
_HEAD: Final = struct.Struct(">IBI")  # bytes behind the length, kind, call
_REST: Final = _HEAD.size - 4


class Kind(IntEnum):
    """What a frame says."""

    ASK = 1
    CANCEL = 2
    PING = 3
    ANSWER = 4
    ERROR = 5
    PONG = 6
    TOLD = 7
    """Goes along with the ANSWER that follows."""


class Frame(NamedTuple):
    """One thing said."""

    kind: int
    call: int
    payload: bytes


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """A request, as it is and with what is left of its time."""

    path: str
    timeout_s: float
    metadata: list[tuple[str, Any]]  # text, or bytes under names that end in -bin
    body: bytes


class Error(msgspec.Struct, frozen=True, array_like=True):
    """How a call failed, as the owner says."""

    code: int
    message: str
    outcome: str
    status: bytes


class Broken(Exception):
    """The other side does not speak as agreed; the connection is of no use any more."""


_pack = msgspec.msgpack.Encoder().encode
_ask_of = msgspec.msgpack.Decoder(Ask).decode
_told_of = msgspec.msgpack.Decoder(list[tuple[str, str]]).decode
_error_of = msgspec.msgpack.Decoder(Error).decode


def frame(kind: Kind, call: int, payload: bytes = b"") -> bytes:
    """Return a frame's bytes."""
    return _HEAD.pack(len(payload) + _REST, kind, call) + payload


def ask(call: int, path: str, body: bytes, *, metadata: Metadata, timeout_s: float) -> bytes:
    """Return the frame of a request."""
    return frame(Kind.ASK, call, _pack(Ask(path, timeout_s, list(metadata), body)))


def told(call: int, metadata: Metadata) -> bytes:
    """Return the frame of what goes along with an answer."""
    return frame(Kind.TOLD, call, _pack(list(metadata)))


def error(call: int, said: Error) -> bytes:
    """Return the frame of a failure."""
    return frame(Kind.ERROR, call, _pack(said))


def read_ask(payload: bytes) -> Ask:
    """Read a request; raises Broken."""
    try:
        return _ask_of(payload)
    except msgspec.MsgspecError as found:
        raise Broken(f"expected a request, found {found}") from found


def read_told(payload: bytes) -> Metadata:
    """Read what goes along with an answer; raises Broken."""
    try:
        return _told_of(payload)
    except msgspec.MsgspecError as found:
        raise Broken(f"expected metadata, found {found}") from found


def read_error(payload: bytes) -> Error:
    """Read a failure; raises Broken."""
    try:
        return _error_of(payload)
    except msgspec.MsgspecError as found:
        raise Broken(f"expected a failure, found {found}") from found


class Frames:
    """Cuts what arrives into frames."""

    def __init__(self, beginning: bytes = b"") -> None:
        """`beginning` is what must come first."""
        self._beginning = beginning
        self._pieces = bytearray()

    def take(self, piece: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole; raises Broken."""
        self._pieces += piece
        if self._beginning and not self._has_begun():
            return
        at, end = 0, len(self._pieces)
        while end - at >= _HEAD.size:
            length, kind, call = _HEAD.unpack_from(self._pieces, at)
            if not _REST <= length <= FRAME_LIMIT_BYTES:
                raise Broken(f"expected a frame, found {length} bytes")
            if end - at < length + 4:
                break
            yield Frame(kind, call, bytes(self._pieces[at + _HEAD.size : at + 4 + length]))
            at += 4 + length
        del self._pieces[:at]

    def _has_begun(self) -> bool:
        count = len(self._beginning)
        if not self._beginning.startswith(bytes(self._pieces[:count])):
            raise Broken("expected a node of this version, found something else")
        if len(self._pieces) < count:
            return False
        del self._pieces[:count]
        self._beginning = b""
        return True
