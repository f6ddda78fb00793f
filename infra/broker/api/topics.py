"""CreateTopics 0-7, DeleteTopics 0-6, CreatePartitions 0-3."""

from infra.broker.api.call import Answer, Call
from infra.broker.broker import Broker
from infra.broker.configs import TOPIC_KEYS, checked
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.schema import Message
from infra.broker.topics import Topic

_NO_ID = bytes(16)
_TOPIC_CONFIG, _DEFAULT_CONFIG = 1, 5


def create_topics(broker: Broker, request: Message, _call: Call) -> Message:
    """Create topics; each is on the disk before the answer."""
    names = [topic["name"] for topic in request["topics"]]
    return {
        "topics": [
            _created(
                broker,
                topic,
                is_dry=request["validate_only"],
                is_repeated=names.count(topic["name"]) > 1,
            )
            for topic in request["topics"]
        ]
    }


def _created(broker: Broker, asked: Message, *, is_dry: bool, is_repeated: bool) -> Message:
    name = asked["name"]
    config = {one["name"]: one["value"] for one in asked["configs"]}
    try:
        count = _partition_count(broker, asked, is_repeated=is_repeated)
        broker.topics.check_new(name, count, config)
        topic_id = _NO_ID if is_dry else broker.topics.create(name, count, config).id
    except KafkaError as error:
        return {
            "name": name,
            "topic_id": _NO_ID,
            "error_code": error.code,
            "error_message": error.message,
            "num_partitions": -1,
            "replication_factor": -1,
            "configs": [],
        }
    return {
        "name": name,
        "topic_id": topic_id,
        "error_code": 0,
        "error_message": None,
        "num_partitions": count,
        "replication_factor": 1,
        "configs": _shown(broker, checked(config)),
    }


def _partition_count(broker: Broker, asked: Message, *, is_repeated: bool) -> int:
    """Return the number of partitions asked for, by number or by assignment."""
    if is_repeated:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "expected each topic once")
    if asked["assignments"]:
        return len(asked["assignments"])
    if asked["replication_factor"] not in (-1, 1):
        raise KafkaError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"expected replication factor 1, found {asked['replication_factor']}: "
            "there is one broker",
        )
    count: int = asked["num_partitions"]
    return broker.settings.num_partitions if count == -1 else count


def _shown(broker: Broker, config: dict[str, str]) -> list[Message]:
    defaults = broker.settings.topic_defaults()
    return [
        {
            "name": name,
            "value": config.get(name) or defaults.get(name) or key.default,
            "read_only": False,
            "config_source": _TOPIC_CONFIG if name in config else _DEFAULT_CONFIG,
            "is_sensitive": False,
        }
        for name, key in TOPIC_KEYS.items()
    ]


def delete_topics(broker: Broker, request: Message, _call: Call) -> Answer:
    """Delete topics by name or id; their files go before the answer, off the loop."""
    asked = [(topic["name"], topic["topic_id"]) for topic in request["topics"]]
    asked += [(name, _NO_ID) for name in request["topic_names"]]
    deleted: list[Topic] = []
    responses = [_deleted(broker, name, topic_id, deleted) for name, topic_id in asked]
    return _after_removal(broker, deleted, {"responses": responses})


def _deleted(broker: Broker, name: str | None, topic_id: bytes, deleted: list[Topic]) -> Message:
    if name is None:
        topic, missing = broker.topics.by_id.get(topic_id), ErrorCode.UNKNOWN_TOPIC_ID
    else:
        topic, missing = broker.topics.by_name.get(name), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    code = ErrorCode.NONE if topic else missing
    if topic is not None:
        try:
            broker.topics.delete(topic)
            broker.offsets.delete_topic(topic.name)
            deleted.append(topic)
        except KafkaError as error:
            code = error.code
    return {
        "name": topic.name if topic else name,
        "topic_id": topic.id if topic else topic_id,
        "error_code": code,
        "error_message": None,
    }


async def _after_removal(broker: Broker, deleted: list[Topic], response: Message) -> Message:
    for topic in deleted:
        await broker.upkeep.remove_topic(topic)
    return response


def create_partitions(broker: Broker, request: Message, _call: Call) -> Message:
    """Add partitions to topics."""
    is_dry = request["validate_only"]
    return {"results": [_grown(broker, topic, is_dry=is_dry) for topic in request["topics"]]}


def _grown(broker: Broker, asked: Message, *, is_dry: bool) -> Message:
    code, message = ErrorCode.NONE, None
    try:
        topic = _growing(broker, asked)
        if not is_dry:
            broker.topics.grow(topic, asked["count"])
    except KafkaError as error:
        code, message = error.code, error.message
    return {"name": asked["name"], "error_code": code, "error_message": message}


def _growing(broker: Broker, asked: Message) -> Topic:
    """Return the topic, if it may grow as asked."""
    topic = broker.topics.by_name.get(asked["name"])
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if asked["count"] <= len(topic.logs):
        raise KafkaError(
            ErrorCode.INVALID_PARTITIONS,
            f"expected more than {len(topic.logs)} partitions, found {asked['count']}",
        )
    return topic
