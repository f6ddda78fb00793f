"""Rows of RocksDB: frozen msgspec structs as MessagePack arrays behind a version byte.

Rows can always be rebuilt from the log, so an unknown version means: discard the store and fold.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

ROW_VERSION = 2

_version = bytes([ROW_VERSION])
_encode = msgspec.msgpack.Encoder().encode

R = TypeVar("R", bound=msgspec.Struct)


class UnknownRowVersion(Exception):
    """A row was written by another version of this code."""


def pack(row: msgspec.Struct) -> bytes:
    """Return the bytes of a row."""
    return _version + _encode(row)


def unpacker(kind: type[R]) -> Callable[[bytes], R]:
    """Return the function that reads rows of one type; it raises UnknownRowVersion."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def unpack(packed: bytes) -> R:
        if packed[0] != ROW_VERSION:
            raise UnknownRowVersion(f"expected row version {ROW_VERSION}, found {packed[0]}")
        return decode(memoryview(packed)[1:])

    return unpack
