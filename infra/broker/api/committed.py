"""OffsetCommit 2-9, OffsetFetch 1-9, OffsetDelete 0: positions of groups."""

from collections.abc import Iterator

from infra.broker.api.call import Call
from infra.broker.broker import Broker, now_ms
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.schema import Message
from infra.broker.store import StoredOffset

_MAX_METADATA_BYTES = 4096
_NONE = -1


def offset_commit(broker: Broker, request: Message, _call: Call) -> Message:
    """Keep offsets of a group, if the member may commit."""
    group = request["group_id"]
    code = broker.groups.check_commit(
        group, request["member_id"], request["group_instance_id"], request["generation_id"]
    )
    accepted: list[StoredOffset] = []
    topics = [
        {"name": topic["name"], "partitions": checked(broker, group, topic, (code, accepted))}
        for topic in request["topics"]
    ]
    try:
        with broker.store.transaction():
            broker.offsets.commit(accepted)
    except KafkaError as error:
        _refuse_all(topics, error.code)
    return {"topics": topics}


def _refuse_all(topics: list[Message], code: ErrorCode) -> None:
    for topic in topics:
        for partition in topic["partitions"]:
            partition["error_code"] = partition["error_code"] or code


def checked(
    broker: Broker, group: str, topic: Message, verdict: tuple[ErrorCode, list[StoredOffset]]
) -> list[Message]:
    """Return the answer for each partition of a topic, and gather those that may be kept."""
    code, accepted = verdict
    answers = []
    for partition in topic["partitions"]:
        error = code or _offset_error(broker, topic["name"], partition)
        if not error:
            accepted.append(_stored(group, topic["name"], partition))
        answers.append({"partition_index": partition["partition_index"], "error_code": error})
    return answers


def _offset_error(broker: Broker, topic: str, partition: Message) -> ErrorCode:
    known = broker.topics.by_name.get(topic)
    if known is None or not 0 <= partition["partition_index"] < len(known.logs):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if len(partition["committed_metadata"] or "") > _MAX_METADATA_BYTES:
        return ErrorCode.OFFSET_METADATA_TOO_LARGE
    return ErrorCode.NONE


def _stored(group: str, topic: str, partition: Message) -> StoredOffset:
    return StoredOffset(
        group,
        topic,
        partition["partition_index"],
        partition["committed_offset"],
        partition["committed_leader_epoch"],
        partition["committed_metadata"] or "",
        now_ms(),
    )


def offset_fetch(broker: Broker, request: Message, call: Call) -> Message:
    """Answer with the offsets of one group, or of several from version 8 on."""
    is_stable = request["require_stable"]
    if call.version < 8:
        topics = _fetched(broker, request["group_id"], request["topics"], is_stable=is_stable)
        return {"error_code": 0, "topics": topics}
    return {
        "groups": [
            {
                "group_id": group["group_id"],
                "topics": _fetched(broker, group["group_id"], group["topics"], is_stable=is_stable),
                "error_code": 0,
            }
            for group in request["groups"]
        ]
    }


def _fetched(
    broker: Broker, group: str, asked: list[Message] | None, *, is_stable: bool
) -> list[Message]:
    known = broker.offsets.of(group)
    unstable = broker.transactions.unstable_offsets(group) if is_stable else set()
    return [
        {
            "name": topic,
            "partitions": [
                _answer(
                    partition,
                    known.get((topic, partition)),
                    is_unstable=(topic, partition) in unstable,
                )
                for partition in partitions
            ],
        }
        for topic, partitions in _wanted(known, asked)
    ]


def _wanted(
    known: dict[tuple[str, int], StoredOffset], asked: list[Message] | None
) -> Iterator[tuple[str, list[int]]]:
    """Yield (topic, partitions): what was asked for, or everything known."""
    if asked is not None:
        for topic in asked:
            yield topic["name"], topic["partition_indexes"]
        return
    for name in dict.fromkeys(topic for topic, _ in known):
        yield name, [partition for topic, partition in known if topic == name]


def _answer(partition: int, offset: StoredOffset | None, *, is_unstable: bool) -> Message:
    is_known = offset is not None and not is_unstable
    return {
        "partition_index": partition,
        "committed_offset": offset.offset if offset and is_known else _NONE,
        "committed_leader_epoch": offset.leader_epoch if offset and is_known else _NONE,
        "metadata": offset.metadata if offset and is_known else "",
        "error_code": ErrorCode.UNSTABLE_OFFSET_COMMIT if is_unstable else ErrorCode.NONE,
    }


def offset_delete(broker: Broker, request: Message, _call: Call) -> Message:
    """Forget offsets; of a group with members only where it cannot be subscribed."""
    name = request["group_id"]
    group = broker.groups.find(name)
    if group is None and not broker.offsets.of(name):
        return {"error_code": ErrorCode.GROUP_ID_NOT_FOUND, "topics": []}
    code = ErrorCode.NONE
    if group is not None and group.members:
        code = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
    else:
        broker.offsets.delete(
            name,
            [
                (topic["name"], partition["partition_index"])
                for topic in request["topics"]
                for partition in topic["partitions"]
            ],
        )
    topics = [
        {
            "name": topic["name"],
            "partitions": [
                {"partition_index": partition["partition_index"], "error_code": code}
                for partition in topic["partitions"]
            ],
        }
        for topic in request["topics"]
    ]
    return {"error_code": 0, "topics": topics}
