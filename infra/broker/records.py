"""Single records inside a batch: needed for timestamps, keys of compacted topics, and compaction.

Records are sliced, never re-encoded: a kept record keeps its bytes, since offset and timestamp are
deltas to the batch header.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from infra.broker.batches import (
    APPEND_TIME,
    COMPRESSION_MASK,
    HEADER_BYTES,
    BatchHeader,
    header_at,
)
from infra.broker.wire import Buffer, MalformedError, read_varint

_XERIAL = b"\x82SNAPPY\x00"


class Record(NamedTuple):
    """One record: its place, and its key; `raw` includes the length in front."""

    offset: int
    timestamp: int
    key: bytes | None
    has_value: bool
    raw: bytes


def records_in(batch: Buffer) -> Iterator[Record]:
    """Yield the records of one whole batch, decompressed."""
    header = header_at(batch)
    body = decompressed(header.attributes & COMPRESSION_MASK, memoryview(batch)[HEADER_BYTES:])
    position = 0
    for _ in range(header.record_count):
        record, position = _record_at(header, body, position)
        yield record


def _record_at(header: BatchHeader, body: bytes, start: int) -> tuple[Record, int]:
    length, position = read_varint(body, start)
    end = position + length
    if length < 0 or end > len(body):
        raise MalformedError("expected a whole record")
    timestamp, position = read_varint(body, position + 1)
    offset, position = read_varint(body, position)
    key_length, position = read_varint(body, position)
    key = None
    if key_length >= 0:
        key = body[position : position + key_length]
        position += key_length
    value_length, _ = read_varint(body, position)
    if header.attributes & APPEND_TIME:
        at = header.max_timestamp
    else:
        at = header.base_timestamp + timestamp
    record = Record(header.base_offset + offset, at, key, value_length >= 0, body[start:end])
    return record, end


def have_keys(batch: Buffer) -> bool:
    """Say whether every record has a key, as compacted topics ask."""
    return all(record.key is not None for record in records_in(batch))


def decompressed(codec: int, body: memoryview) -> bytes:
    """Decompress the records of a batch; codec numbers are those of the batch attributes."""
    return bytes(body) if codec == 0 else _DECOMPRESS[codec](bytes(body))


def compressed(codec: int, body: bytes) -> bytes:
    """Compress records with the codec that their batch had."""
    return body if codec == 0 else _COMPRESS[codec](body)


def _gunzip(body: bytes) -> bytes:
    return zlib.decompress(body, wbits=31)


def _gzip(body: bytes) -> bytes:
    engine = zlib.compressobj(wbits=31)
    return engine.compress(body) + engine.flush()


def _unsnappy(body: bytes) -> bytes:
    from cramjam import snappy  # noqa: PLC0415 - most brokers never decompress; starting is faster

    if not body.startswith(_XERIAL):
        return bytes(snappy.decompress_raw(body))
    out, position = [], 16
    while position < len(body):
        size = int.from_bytes(body[position : position + 4], "big")
        out.append(bytes(snappy.decompress_raw(body[position + 4 : position + 4 + size])))
        position += 4 + size
    return b"".join(out)


def _snappy(body: bytes) -> bytes:
    from cramjam import snappy  # noqa: PLC0415 - as above

    return bytes(snappy.compress_raw(body))


def _unlz4(body: bytes) -> bytes:
    from cramjam import lz4  # noqa: PLC0415 - as above

    return bytes(lz4.decompress(body))


def _lz4(body: bytes) -> bytes:
    from cramjam import lz4  # noqa: PLC0415 - as above

    return bytes(lz4.compress(body))


def _unzstd(body: bytes) -> bytes:
    from cramjam import zstd  # noqa: PLC0415 - as above

    return bytes(zstd.decompress(body))


def _zstd(body: bytes) -> bytes:
    from cramjam import zstd  # noqa: PLC0415 - as above

    return bytes(zstd.compress(body))


_DECOMPRESS: dict[int, Callable[[bytes], bytes]] = {1: _gunzip, 2: _unsnappy, 3: _unlz4, 4: _unzstd}
_COMPRESS: dict[int, Callable[[bytes], bytes]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
