"""Raw Kafka requests on a socket of our own, for what no client library would send.

Requests and responses are aiokafka's protocol classes; batches are built by its record builder.
"""

import socket
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.fetch import FetchRequest_v11
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.offset import OffsetRequest_v3
from aiokafka.protocol.produce import ProduceRequest_v7
from aiokafka.protocol.transaction import InitProducerIdRequest_v0
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

TIMEOUT = 40.0
READ_UNCOMMITTED = 0
READ_COMMITTED = 1
# An instant of today for records: with an old one, retention would delete them at once.
T0 = int(time.time() * 1000) - 3_600_000


class Errors:
    """Kafka's error codes that the tests expect."""

    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    MESSAGE_TOO_LARGE = 10
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    UNSUPPORTED_VERSION = 35
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    OFFSET_METADATA_TOO_LARGE = 12
    KAFKA_STORAGE_ERROR = 56
    GROUP_ID_NOT_FOUND = 69
    MEMBER_ID_REQUIRED = 79
    FENCED_INSTANCE_ID = 82
    INVALID_RECORD = 87
    PRODUCER_FENCED = 90


class Closed(ConnectionError):
    """The broker closed the connection instead of answering."""


class Wire:
    """One connection; requests may be pipelined, answers come in the order of the requests."""

    def __init__(self, address: str, client_id: str = "conformance") -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client_id = client_id
        self._sent: list[tuple[int, RequestStruct]] = []
        self._correlation_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def ask(self, request: RequestStruct) -> Any:
        """Send one request and return its answer."""
        self.send(request)
        return self.receive()

    def send(self, request: RequestStruct) -> None:
        """Send one request without waiting for its answer."""
        self._correlation_id += 1
        header = request.build_request_header(self._correlation_id, self._client_id)
        body = header.encode() + request.encode()
        self.socket.sendall(struct.pack(">i", len(body)) + body)
        self._sent.append((self._correlation_id, request))

    def receive(self) -> Any:
        """Return the answer to the oldest request that has none yet."""
        correlation_id, request = self._sent.pop(0)
        frame = self.receive_frame()
        assert correlation_id == struct.unpack(">i", frame[:4])[0]
        return request.RESPONSE_TYPE.decode(frame[4:])

    def send_raw(self, frame: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(frame)

    def receive_frame(self) -> bytes:
        """Return one frame without its size; raise Closed when the broker hung up."""
        size = struct.unpack(">i", self._receive_exactly(4))[0]
        return self._receive_exactly(size)

    def _receive_exactly(self, size: int) -> bytes:
        pieces: list[bytes] = []
        while size:
            try:
                piece = self.socket.recv(size)
            except ConnectionResetError as error:
                raise Closed(str(error)) from error
            if not piece:
                raise Closed("end of stream")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


@dataclass(frozen=True)
class ProducerState:
    """Who a batch says it is from."""

    producer_id: int = -1
    epoch: int = -1
    sequence: int = -1
    transactional: bool = False


Pair = tuple[bytes | None, bytes | None]
ANONYMOUS = ProducerState()


def batch_builder(
    sender: ProducerState = ANONYMOUS, *, compression: int = 0
) -> DefaultRecordBatchBuilder:
    """Return an empty batch (magic 2)."""
    return DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=int(sender.transactional),
        producer_id=sender.producer_id,
        producer_epoch=sender.epoch,
        base_sequence=sender.sequence,
        batch_size=64 << 20,
    )


def batch(
    pairs: Sequence[Pair],
    sender: ProducerState = ANONYMOUS,
    *,
    timestamp: int = T0,
    compression: int = 0,
) -> bytes:
    """Return one record batch (magic 2) of (key, value) pairs."""
    builder = batch_builder(sender, compression=compression)
    for number, (key, value) in enumerate(pairs):
        builder.append(number, timestamp, key, value, [])
    return bytes(builder.build())


def values(*texts: str) -> list[Pair]:
    """Return keyless pairs of these values."""
    return [(None, text.encode()) for text in texts]


@dataclass(frozen=True)
class Produced:
    """The part of a produce answer that concerns one partition."""

    partition: int
    error_code: int
    base_offset: int
    timestamp: int
    log_start_offset: int


def produce_request(
    topic: str,
    records: bytes,
    *,
    partition: int = 0,
    acks: int = -1,
    transactional_id: str | None = None,
) -> RequestStruct:
    """Return a produce request of one batch."""
    topics = [(topic, [(partition, records)])]
    return ProduceRequest_v7(transactional_id, acks, 30_000, topics)


def produce(
    wire: Wire,
    topic: str,
    records: bytes,
    *,
    partition: int = 0,
    transactional_id: str | None = None,
) -> Produced:
    """Send one batch with acks=all and return what the broker says of it."""
    request = produce_request(
        topic, records, partition=partition, transactional_id=transactional_id
    )
    return produced(wire.ask(request))


def append(wire: Wire, topic: str, records: bytes, *, partition: int = 0) -> int:
    """Produce one batch, which must be accepted, and return its base offset."""
    answer = produce(wire, topic, records, partition=partition)
    assert answer.error_code == Errors.NONE
    return answer.base_offset


def produced(answer: Any) -> Produced:
    """Return the only partition of a produce answer."""
    ((_, (partition,)),) = answer.topics
    return Produced(*partition)


@dataclass(frozen=True)
class Fetched:
    """The part of a fetch answer that concerns one partition."""

    partition: int
    error_code: int
    high_watermark: int
    last_stable_offset: int
    log_start_offset: int
    aborted: list[tuple[int, int]] | None
    preferred_replica: int
    records: bytes

    @property
    def batches(self) -> list[DefaultRecordBatch]:
        """Return the whole batches of the answer; a cut-off last one is left out."""
        return split(self.records)


def split(records: bytes) -> list[DefaultRecordBatch]:
    """Return the whole batches that stand in `records`."""
    found, at = [], 0
    while len(records) - at >= 12:
        end = at + 12 + struct.unpack_from(">i", records, at + 8)[0]
        if end > len(records):
            break
        found.append(DefaultRecordBatch(bytearray(records[at:end])))
        at = end
    return found


def metadata_request(topics: list[str] | None, *, creates: bool = False) -> RequestStruct:
    """Return a metadata request of these topics, or of all."""
    return MetadataRequest_v5(topics, creates)


def fetch_request(
    wanted: Iterable[tuple[str, int, int]],
    *,
    max_wait: int = 0,
    min_bytes: int = 0,
    max_bytes: int = 50 << 20,
    partition_bytes: int = 10 << 20,
    isolation: int = READ_UNCOMMITTED,
) -> RequestStruct:
    """Return a sessionless fetch request of (topic, partition, offset)."""
    topics = [(topic, [(part, -1, at, -1, partition_bytes)]) for topic, part, at in wanted]
    return FetchRequest_v11(-1, max_wait, min_bytes, max_bytes, isolation, 0, -1, topics, [], "")


def fetch(
    wire: Wire, topic: str, offset: int = 0, *, partition: int = 0, isolation: int = 0
) -> Fetched:
    """Fetch one partition at once, without waiting for data."""
    answer = wire.ask(fetch_request([(topic, partition, offset)], isolation=isolation))
    assert answer.error_code == Errors.NONE
    return fetched(answer)[0]


def fetched(answer: Any) -> list[Fetched]:
    """Return the partitions of a fetch answer, in its order."""
    return [Fetched(*one) for _, parts in answer.topics for one in parts]


def list_offset(
    wire: Wire, topic: str, timestamp: int, *, partition: int = 0, isolation: int = 0
) -> tuple[int, int]:
    """Return (timestamp, offset) of ListOffsets for a time (-1 latest, -2 earliest)."""
    answer = wire.ask(OffsetRequest_v3(-1, isolation, [(topic, [(partition, timestamp)])]))
    ((_, ((_, error_code, found_timestamp, offset),)),) = answer.topics
    assert error_code == Errors.NONE
    return found_timestamp, offset


def init_producer(wire: Wire) -> ProducerState:
    """Return a fresh producer id without a transactional id."""
    answer = wire.ask(InitProducerIdRequest_v0(None, 60_000))
    assert answer.error_code == Errors.NONE
    return ProducerState(answer.producer_id, answer.producer_epoch, 0)
