"""Record batches as a producer would make them."""

from infra.broker.batches import HEADER, HEADER_BYTES, PREFIX_BYTES, TRANSACTIONAL, seal
from infra.broker.records import compressed
from infra.broker.wire import varint

Pair = tuple[bytes | None, bytes | None]


def sized(value: bytes | None) -> bytes:
    """Return a field of a record."""
    return varint(-1) if value is None else varint(len(value)) + value


def batch(
    *pairs: Pair,
    timestamp: int = 1_000,
    producer: tuple[int, int, int] = (-1, -1, -1),
    is_transactional: bool = False,
    codec: int = 0,
) -> memoryview:
    """Return one batch; producer is (id, epoch, first sequence)."""
    records = []
    for delta, (key, value) in enumerate(pairs or ((b"k", b"v"),)):
        body = b"\0\0" + varint(delta) + sized(key) + sized(value) + varint(0)
        records.append(varint(len(body)) + body)
    body = compressed(codec, b"".join(records))
    attributes = codec | (TRANSACTIONAL if is_transactional else 0)
    head = HEADER.pack(
        *(0, HEADER_BYTES - PREFIX_BYTES + len(body), 0, 2, 0, attributes, len(records) - 1),
        *(timestamp, timestamp, *producer, len(records)),
    )
    whole = bytearray(head + body)
    seal(whole)
    return memoryview(bytes(whole))
