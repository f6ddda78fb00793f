"""Metadata 0-12: brokers, topics, partitions; asking for an unknown topic may create it."""

from infra.broker.api.call import Call
from infra.broker.broker import HOST, LEADER_EPOCH, NODE_ID, Broker
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.schema import Message
from infra.broker.topics import Topic, check_name

_NO_ID = bytes(16)


def metadata(broker: Broker, request: Message, call: Call) -> Message:
    """Describe the topics asked for, or all."""
    asked = request["topics"]
    if asked is None or (call.version == 0 and not asked):
        topics = [_described(topic) for topic in broker.topics.by_name.values()]
    else:
        may_create = request["allow_auto_topic_creation"] and broker.settings.auto_create_topics
        topics = [_found(broker, one, may_create=may_create) for one in asked]
    return {
        "brokers": [{"node_id": NODE_ID, "host": HOST, "port": broker.port}],
        "cluster_id": broker.store.cluster_id,
        "controller_id": NODE_ID,
        "topics": topics,
    }


def _found(broker: Broker, asked: Message, *, may_create: bool) -> Message:
    """Describe one topic by name or id."""
    name = asked["name"]
    if name is None:
        topic = broker.topics.by_id.get(asked["topic_id"])
        if topic is None:
            return _unknown(ErrorCode.UNKNOWN_TOPIC_ID, None, asked["topic_id"])
        return _described(topic)
    topic = broker.topics.by_name.get(name)
    if topic is not None:
        return _described(topic)
    try:
        check_name(name)
        if may_create:
            return _described(broker.topics.create(name, broker.settings.num_partitions, {}))
    except KafkaError as error:
        return _unknown(error.code, name, _NO_ID)
    return _unknown(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, name, _NO_ID)


def _unknown(code: ErrorCode, name: str | None, topic_id: bytes) -> Message:
    return {"error_code": code, "name": name, "topic_id": topic_id, "partitions": []}


def _described(topic: Topic) -> Message:
    return {
        "error_code": 0,
        "name": topic.name,
        "topic_id": topic.id,
        "partitions": [_partition(number) for number in range(len(topic.logs))],
    }


def _partition(number: int) -> Message:
    return {
        "error_code": 0,
        "partition_index": number,
        "leader_id": NODE_ID,
        "leader_epoch": LEADER_EPOCH,
        "replica_nodes": [NODE_ID],
        "isr_nodes": [NODE_ID],
        "offline_replicas": [],
    }
