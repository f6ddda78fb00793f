"""Primitives of the Kafka protocol: lengths, strings, bytes, variable-length integers.

Readers take (buffer, position) and return (value, next position); writers return bytes. A reader
may be called on anything a stranger sends: it raises `MalformedError`, IndexError, struct.error or
UnicodeDecodeError (`MALFORMED` names them all), and never allocates more than the buffer holds.
"""

import struct
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")


class MalformedError(Exception):
    """The bytes are not what the protocol says they should be."""


MALFORMED = (MalformedError, IndexError, struct.error, UnicodeDecodeError)


def read_uvarint(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read an unsigned varint of at most 35 bits."""
    byte = buffer[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value, shift = byte & 0x7F, 7
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise MalformedError("expected a varint to end within ten bytes")


def read_varint(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read a zigzag varint."""
    value, position = read_uvarint(buffer, position)
    return (value >> 1) ^ -(value & 1), position


def uvarint(value: int) -> bytes:
    """Write an unsigned varint."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint(value: int) -> bytes:
    """Write a zigzag varint."""
    return uvarint((value << 1) ^ (value >> 63))


def _taken(buffer: Buffer, position: int, length: int) -> Buffer:
    end = position + length
    if end > len(buffer):
        raise MalformedError(f"expected {length} bytes, found {len(buffer) - position}")
    return buffer[position:end]


def read_string(buffer: Buffer, position: int) -> tuple[str | None, int]:
    """Read a string with a 16-bit length; -1 is None."""
    (length,) = _INT16.unpack_from(buffer, position)
    position += 2
    if length < 0:
        return None, position
    return str(_taken(buffer, position, length), "utf-8"), position + length


def read_compact_string(buffer: Buffer, position: int) -> tuple[str | None, int]:
    """Read a string with a varint length plus one; 0 is None."""
    length, position = read_uvarint(buffer, position)
    if length == 0:
        return None, position
    length -= 1
    return str(_taken(buffer, position, length), "utf-8"), position + length


def read_bytes(buffer: Buffer, position: int) -> tuple[bytes | None, int]:
    """Read bytes with a 32-bit length; -1 is None."""
    (length,) = _INT32.unpack_from(buffer, position)
    position += 4
    if length < 0:
        return None, position
    return bytes(_taken(buffer, position, length)), position + length


def read_compact_bytes(buffer: Buffer, position: int) -> tuple[bytes | None, int]:
    """Read bytes with a varint length plus one; 0 is None."""
    length, position = read_uvarint(buffer, position)
    if length == 0:
        return None, position
    length -= 1
    return bytes(_taken(buffer, position, length)), position + length


def read_records(buffer: Buffer, position: int) -> tuple[memoryview | None, int]:
    """Read bytes with a 32-bit length without copying them."""
    (length,) = _INT32.unpack_from(buffer, position)
    position += 4
    if length < 0:
        return None, position
    return memoryview(_taken(memoryview(buffer), position, length)), position + length


def read_compact_records(buffer: Buffer, position: int) -> tuple[memoryview | None, int]:
    """Read bytes with a varint length plus one without copying them."""
    length, position = read_uvarint(buffer, position)
    if length == 0:
        return None, position
    length -= 1
    return memoryview(_taken(memoryview(buffer), position, length)), position + length


def read_array_length(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read the 32-bit length of an array; -1 is a null array."""
    (length,) = _INT32.unpack_from(buffer, position)
    return length, position + 4


def read_compact_array_length(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read the varint length of an array; -1 is a null array."""
    length, position = read_uvarint(buffer, position)
    return length - 1, position


def skip_tags(buffer: Buffer, position: int) -> int:
    """Skip the tagged fields that end a flexible structure; none of them is used here."""
    count, position = read_uvarint(buffer, position)
    for _ in range(count):
        _, position = read_uvarint(buffer, position)
        size, position = read_uvarint(buffer, position)
        position += size
    return position


def string(value: str | None) -> bytes:
    """Write a string with a 16-bit length."""
    if value is None:
        return b"\xff\xff"
    raw = value.encode()
    return _INT16.pack(len(raw)) + raw


def compact_string(value: str | None) -> bytes:
    """Write a string with a varint length plus one."""
    if value is None:
        return b"\0"
    raw = value.encode()
    return uvarint(len(raw) + 1) + raw


def sized_bytes(value: Buffer | None) -> bytes:
    """Write bytes with a 32-bit length."""
    return b"\xff\xff\xff\xff" if value is None else _INT32.pack(len(value)) + value


def compact_bytes(value: Buffer | None) -> bytes:
    """Write bytes with a varint length plus one."""
    return b"\0" if value is None else uvarint(len(value) + 1) + value


def array_length(length: int) -> bytes:
    """Write the 32-bit length of an array; -1 is a null array."""
    return _INT32.pack(length)


def compact_array_length(length: int) -> bytes:
    """Write the varint length of an array; -1 is a null array."""
    return uvarint(length + 1)
