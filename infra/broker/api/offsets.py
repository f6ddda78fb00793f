"""ListOffsets 1-8, OffsetForLeaderEpoch 2-4, DeleteRecords 0-2: where logs begin and end."""

from infra.broker.api.call import Answer, Call
from infra.broker.api.fetch import check_leader_epoch
from infra.broker.broker import LEADER_EPOCH, Broker
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.log import PartitionLog
from infra.broker.schema import Message
from infra.broker.segment import Segment

_LATEST, _EARLIEST, _MAX_TIMESTAMP, _EARLIEST_LOCAL = -1, -2, -3, -4
_HIGH_WATERMARK = -1


def list_offsets(broker: Broker, request: Message, _call: Call) -> Message:
    """Answer each partition with the offset of a timestamp, or of the log's beginning or end."""
    is_committed = request["isolation_level"] == 1
    return {
        "topics": [
            {
                "name": topic["name"],
                "partitions": [
                    _listed(broker, topic["name"], partition, is_committed=is_committed)
                    for partition in topic["partitions"]
                ],
            }
            for topic in request["topics"]
        ]
    }


def _listed(broker: Broker, topic: str, partition: Message, *, is_committed: bool) -> Message:
    index = partition["partition_index"]
    code, offset, timestamp = ErrorCode.NONE, -1, -1
    try:
        log = broker.topics.log(topic, index)
        check_leader_epoch(partition["current_leader_epoch"])
        offset, timestamp = _offset_of(log, partition["timestamp"], is_committed=is_committed)
    except KafkaError as error:
        code = error.code
    return {
        "partition_index": index,
        "error_code": code,
        "timestamp": timestamp,
        "offset": offset,
        "leader_epoch": LEADER_EPOCH if offset >= 0 else -1,
    }


def _offset_of(log: PartitionLog, asked: int, *, is_committed: bool) -> tuple[int, int]:
    """Return (offset, timestamp) of what is asked; -1 where there is none."""
    end = log.stable_offset if is_committed else log.high_watermark
    if asked == _LATEST:
        return end, -1
    if asked in (_EARLIEST, _EARLIEST_LOCAL):
        return log.start_offset, -1
    if asked < 0 and asked != _MAX_TIMESTAMP:
        return -1, -1
    found = log.newest_timestamp() if asked == _MAX_TIMESTAMP else log.first_since(asked)
    return found if found[0] < end else (-1, -1)


def offset_for_leader_epoch(broker: Broker, request: Message, _call: Call) -> Message:
    """Answer where an epoch ended; there is only epoch 0, which never does."""
    return {
        "topics": [
            {
                "topic": topic["topic"],
                "partitions": [
                    _epoch_end(broker, topic["topic"], partition)
                    for partition in topic["partitions"]
                ],
            }
            for topic in request["topics"]
        ]
    }


def _epoch_end(broker: Broker, topic: str, partition: Message) -> Message:
    code, epoch, end = ErrorCode.NONE, -1, -1
    try:
        log = broker.topics.log(topic, partition["partition"])
        check_leader_epoch(partition["current_leader_epoch"])
        if partition["leader_epoch"] == LEADER_EPOCH:
            epoch, end = LEADER_EPOCH, log.high_watermark
    except KafkaError as error:
        code = error.code
    return {
        "error_code": code,
        "partition": partition["partition"],
        "leader_epoch": epoch,
        "end_offset": end,
    }


def delete_records(broker: Broker, request: Message, _call: Call) -> Answer:
    """Move the start of logs forward; it is durable before it is answered."""
    dropped: list[Segment] = []
    topics = [
        {
            "name": topic["name"],
            "partitions": [
                _cut(broker, topic["name"], partition, dropped) for partition in topic["partitions"]
            ],
        }
        for topic in request["topics"]
    ]
    return _after_removal(broker, dropped, {"topics": topics}) if dropped else {"topics": topics}


async def _after_removal(broker: Broker, dropped: list[Segment], response: Message) -> Message:
    await broker.upkeep.remove_segments(dropped)
    return response


def _new_start(log: PartitionLog, asked: int) -> int:
    """Return where a log shall begin; refuse what does not exist or may not be deleted."""
    if not log.config.is_deleted:
        raise KafkaError(ErrorCode.POLICY_VIOLATION, "expected a cleanup.policy with delete")
    offset = log.high_watermark if asked == _HIGH_WATERMARK else asked
    if not 0 <= offset <= log.high_watermark:
        raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE)
    return offset


def _cut(broker: Broker, topic: str, partition: Message, dropped: list[Segment]) -> Message:
    index, offset = partition["partition_index"], partition["offset"]
    code, low_watermark = ErrorCode.NONE, -1
    try:
        log = broker.topics.log(topic, index)
        offset = _new_start(log, offset)
        if offset > log.start_offset:
            broker.store.save_log_start(broker.topics.by_name[topic].id, index, offset)
            dropped += log.forget_before(offset)
        low_watermark = log.start_offset
    except KafkaError as error:
        code = error.code
    return {"partition_index": index, "low_watermark": low_watermark, "error_code": code}
