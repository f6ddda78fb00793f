"""Record batches (magic 2): headers, checks of what a producer sent, stamping, markers.

A batch stays the opaque bytes that the producer made; only header fields are patched. Base offset
and leader epoch lie outside the CRC, so assigning offsets is free; LogAppendTime needs a new CRC.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from crc32c import crc32c

from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.wire import Buffer, varint

HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_BYTES = HEADER.size
PREFIX_BYTES = 12  # base offset and length, which the length field does not count
_CRC_FROM = 21
_OFFSET_AND_LENGTH = struct.Struct(">qi")
_INT64 = struct.Struct(">q")
_UINT32 = struct.Struct(">I")
_SEQUENCES = 1 << 31

COMPRESSION_MASK = 0x07
APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20
NO_TIMESTAMP = -1
NO_SEQUENCE = -1


class BatchHeader(NamedTuple):
    """The 61 bytes in front of the records."""

    base_offset: int
    batch_length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return PREFIX_BYTES + self.batch_length

    @property
    def next_offset(self) -> int:
        """Offset behind the last record, removed ones included."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record; sequences wrap at 2**31."""
        return (self.base_sequence + self.last_offset_delta) % _SEQUENCES

    @property
    def is_control(self) -> bool:
        """Say whether the batch is a transaction marker."""
        return bool(self.attributes & CONTROL)

    @property
    def is_transactional(self) -> bool:
        """Say whether the batch belongs to a transaction."""
        return bool(self.attributes & TRANSACTIONAL)


def header_at(buffer: Buffer, position: int = 0) -> BatchHeader:
    """Unpack the header at a position that is known to hold one."""
    return BatchHeader._make(HEADER.unpack_from(buffer, position))


def following_sequence(sequence: int) -> int:
    """Return the sequence after this one."""
    return (sequence + 1) % _SEQUENCES


def verified(buffer: memoryview, max_bytes: int) -> BatchHeader:
    """Check one batch from a producer; raise KafkaError with what is wrong with it."""
    if len(buffer) < HEADER_BYTES:
        if len(buffer) > 16 and buffer[16] < 2:
            raise KafkaError(ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT, "expected magic 2")
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "expected a whole record batch")
    header = header_at(buffer)
    if header.magic != 2:
        raise KafkaError(
            ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT, f"expected magic 2, found {header.magic}"
        )
    if header.size > max_bytes:
        raise KafkaError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"expected at most {max_bytes} bytes, found a batch of {header.size}",
        )
    if header.size > len(buffer) or header.batch_length < HEADER_BYTES - PREFIX_BYTES:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "expected a whole record batch")
    if header.size < len(buffer):
        raise KafkaError(ErrorCode.INVALID_RECORD, "expected exactly one record batch")
    if crc32c(buffer[_CRC_FROM:]) != header.crc:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "the CRC of the batch does not match")
    _check_fields(header)
    return header


def _check_fields(header: BatchHeader) -> None:
    if header.is_control:
        raise KafkaError(ErrorCode.INVALID_RECORD, "expected no control batch from a client")
    if header.record_count <= 0 or header.record_count != header.last_offset_delta + 1:
        raise KafkaError(
            ErrorCode.INVALID_RECORD,
            f"expected offsets for {header.record_count} records, "
            f"found a last offset delta of {header.last_offset_delta}",
        )
    if header.producer_id >= 0 and (header.producer_epoch < 0 or header.base_sequence < 0):
        raise KafkaError(ErrorCode.INVALID_RECORD, "expected an epoch and a sequence")
    if header.is_transactional and header.producer_id < 0:
        raise KafkaError(ErrorCode.INVALID_RECORD, "expected a producer id in a transaction")
    if header.attributes & COMPRESSION_MASK > 4:
        raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE)


def assign_offset(batch: bytearray, base_offset: int) -> None:
    """Patch base offset and leader epoch 0; both lie outside the CRC."""
    _INT64.pack_into(batch, 0, base_offset)
    batch[12:16] = b"\0\0\0\0"


def stamp_append_time(batch: bytearray, now_ms: int) -> None:
    """Make the append time the timestamp of all records, as LogAppendTime asks."""
    batch[22] |= APPEND_TIME
    _INT64.pack_into(batch, 35, now_ms)
    seal(batch)


def seal(batch: bytearray) -> None:
    """Write the CRC of a batch whose other bytes are final."""
    _UINT32.pack_into(batch, 17, crc32c(memoryview(batch)[_CRC_FROM:]))


def is_sound(buffer: Buffer, position: int, end: int) -> bool:
    """Say whether a whole batch with a matching CRC stands at position."""
    if end - position < HEADER_BYTES:
        return False
    header = header_at(buffer, position)
    if header.magic != 2 or header.batch_length < HEADER_BYTES - PREFIX_BYTES:
        return False
    if position + header.size > end:
        return False
    body = memoryview(buffer)[position + _CRC_FROM : position + header.size]
    return bool(crc32c(body) == header.crc)


def batches_in(buffer: Buffer) -> Iterator[tuple[int, BatchHeader]]:
    """Yield (position, header) of each whole batch."""
    position, end = 0, len(buffer)
    while end - position >= HEADER_BYTES:
        header = header_at(buffer, position)
        if position + header.size > end:
            return
        yield position, header
        position += header.size


def cut_at(buffer: Buffer, offset: int) -> int:
    """Return the position of the first batch that starts at or behind offset."""
    position, end = 0, len(buffer)
    while end - position >= PREFIX_BYTES:
        base, length = _OFFSET_AND_LENGTH.unpack_from(buffer, position)
        if base >= offset:
            return position
        position += PREFIX_BYTES + length
    return end


def marker(producer_id: int, epoch: int, now_ms: int, *, is_commit: bool) -> bytearray:
    """Build the control batch that ends a transaction in one partition."""
    key = struct.pack(">hh", 0, 1 if is_commit else 0)
    value = struct.pack(">hi", 0, 0)
    body = b"\0\0\0" + varint(len(key)) + key + varint(len(value)) + value + varint(0)
    records = varint(len(body)) + body
    length = HEADER_BYTES - PREFIX_BYTES + len(records)
    attributes = TRANSACTIONAL | CONTROL
    batch = bytearray(
        HEADER.pack(
            *(0, length, 0, 2, 0, attributes, 0, now_ms, now_ms),
            *(producer_id, epoch, NO_SEQUENCE, 1),
        )
    )
    batch += records
    seal(batch)
    return batch


def is_commit_marker(buffer: Buffer, position: int) -> bool:
    """Say whether the control batch at position commits; its key is (version, type)."""
    return buffer[position + HEADER_BYTES + 8] == 1
