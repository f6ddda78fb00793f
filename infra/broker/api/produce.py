"""Produce 3-10: append batches."""

from infra.broker.api.call import Answer, Call
from infra.broker.batches import HEADER_BYTES, TRANSACTIONAL, header_at
from infra.broker.broker import Broker, now_ms
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.log import PartitionLog
from infra.broker.schema import Message

_ATTRIBUTES_AT = 22  # the low byte


def produce(broker: Broker, request: Message, _call: Call) -> Answer:
    """Append each partition's batch; under durability `fsync` the answer waits for the flush."""
    now = now_ms()
    logs: list[PartitionLog] = []
    responses = []
    for topic in request["topic_data"]:
        partitions = [
            _appended(broker, topic["name"], partition, (request, logs, now))
            for partition in topic["partition_data"]
        ]
        responses.append({"name": topic["name"], "partition_responses": partitions})
    response = {"responses": responses}
    if logs and not logs[0].serves_unflushed and request["acks"] != 0:
        return _after_flush(broker, logs, response)
    for log in logs:
        log.wake()
    return response if request["acks"] != 0 else None


def _appended(
    broker: Broker, topic: str, partition: Message, context: tuple[Message, list[PartitionLog], int]
) -> Message:
    """Append one batch and return its part of the response."""
    request, logs, now = context
    index, records = partition["index"], partition["records"]
    try:
        _check_request(request, records)
        log = broker.topics.log(topic, index)
        _check_transaction(broker, records, topic, index)
        base_offset, append_time = log.append(records, now)
    except KafkaError as error:
        return {
            "index": index,
            "error_code": error.code,
            "base_offset": -1,
            "error_message": error.message,
        }
    logs.append(log)
    broker.upkeep.note_append(log)
    return {
        "index": index,
        "error_code": 0,
        "base_offset": base_offset,
        "log_append_time_ms": append_time,
        "log_start_offset": log.start_offset,
    }


def _check_request(request: Message, records: memoryview | None) -> None:
    if request["acks"] not in (-1, 0, 1):
        raise KafkaError(ErrorCode.INVALID_REQUIRED_ACKS)
    if not records:
        raise KafkaError(ErrorCode.INVALID_RECORD, "expected exactly one record batch")


def _check_transaction(broker: Broker, batch: memoryview, topic: str, partition: int) -> None:
    """Refuse a transactional batch whose transaction does not include the partition."""
    if len(batch) >= HEADER_BYTES and batch[_ATTRIBUTES_AT] & TRANSACTIONAL:
        broker.transactions.check_batch(header_at(batch), topic, partition)


async def _after_flush(broker: Broker, logs: list[PartitionLog], response: Message) -> Message:
    """Answer when everything appended is on the disk."""
    ends: list[tuple[PartitionLog, int]] = [(log, log.next_offset) for log in logs]
    try:
        for log, end in ends:
            await broker.upkeep.flushed(log, end)
    except KafkaError as error:
        for topic in response["responses"]:
            for partition in topic["partition_responses"]:
                partition["error_code"] = partition["error_code"] or error.code
    return response
