"""InitProducerId 0-4, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit and EndTxn 0-3."""

from infra.broker.api.call import Call
from infra.broker.api.committed import checked
from infra.broker.broker import Broker, now_ms
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.schema import Message
from infra.broker.store import StoredOffset


def _fence(code: ErrorCode, *, is_known: bool) -> ErrorCode:
    """Return the code that a version knows for a fenced producer."""
    if code == ErrorCode.PRODUCER_FENCED and not is_known:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    if code == ErrorCode.KAFKA_STORAGE_ERROR:
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    return code


def _producer(request: Message) -> tuple[str, int, int]:
    return request["transactional_id"], request["producer_id"], request["producer_epoch"]


def init_producer_id(broker: Broker, request: Message, call: Call) -> Message:
    """Give a producer its id and epoch; a transactional one fences those before it."""
    try:
        if request["transactional_id"] is None:
            producer_id, epoch = broker.store.new_producer_id(), 0
        else:
            producer_id, epoch = _initialized(broker, request)
    except KafkaError as error:
        code = _fence(error.code, is_known=call.version >= 4)
        return {"error_code": code, "producer_id": -1, "producer_epoch": -1}
    return {"error_code": 0, "producer_id": producer_id, "producer_epoch": epoch}


def _initialized(broker: Broker, request: Message) -> tuple[int, int]:
    """Return (producer id, epoch) for a transactional id."""
    transactional_id, timeout = request["transactional_id"], request["transaction_timeout_ms"]
    if not transactional_id:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "expected a transactional id")
    if not 0 < timeout <= broker.settings.max_transaction_timeout_ms:
        raise KafkaError(ErrorCode.INVALID_TRANSACTION_TIMEOUT)
    known = (request["producer_id"], request["producer_epoch"])
    return broker.transactions.init(transactional_id, timeout, known, now_ms())


def add_partitions_to_txn(broker: Broker, request: Message, call: Call) -> Message:
    """Take partitions into a transaction: all, or none if one does not exist."""
    wanted = {(topic["name"], at) for topic in request["topics"] for at in topic["partitions"]}
    unknown = {place for place in wanted if not _exists(broker, *place)}
    code = ErrorCode.NONE
    if not unknown:
        try:
            broker.transactions.add_partitions(_producer(request), wanted, now_ms())
        except KafkaError as error:
            code = _fence(error.code, is_known=call.version >= 2)
    return {
        "results": [
            {
                "name": topic["name"],
                "results": [
                    {
                        "partition_index": at,
                        "partition_error_code": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                        if (topic["name"], at) in unknown
                        else code,
                    }
                    for at in topic["partitions"]
                ],
            }
            for topic in request["topics"]
        ]
    }


def _exists(broker: Broker, topic: str, partition: int) -> bool:
    known = broker.topics.by_name.get(topic)
    return known is not None and 0 <= partition < len(known.logs)


def add_offsets_to_txn(broker: Broker, request: Message, call: Call) -> Message:
    """Announce that offsets of a group will be part of a transaction."""
    code = ErrorCode.NONE
    try:
        broker.transactions.add_offsets(_producer(request), now_ms())
    except KafkaError as error:
        code = _fence(error.code, is_known=call.version >= 2)
    return {"error_code": code}


def txn_offset_commit(broker: Broker, request: Message, _call: Call) -> Message:
    """Hold offsets of a group until the transaction commits."""
    group = request["group_id"]
    code = broker.groups.check_txn_commit(
        group, request["member_id"], request["group_instance_id"], request["generation_id"]
    )
    accepted: list[StoredOffset] = []
    topics = [
        {"name": topic["name"], "partitions": checked(broker, group, topic, (code, accepted))}
        for topic in request["topics"]
    ]
    try:
        broker.transactions.commit_offsets(_producer(request), accepted, now_ms())
    except KafkaError as error:
        for topic in topics:
            for partition in topic["partitions"]:
                partition["error_code"] = _fence(error.code, is_known=False)
    return {"topics": topics}


def end_txn(broker: Broker, request: Message, call: Call) -> Message:
    """Commit or abort a transaction."""
    code = ErrorCode.NONE
    try:
        broker.transactions.end(_producer(request), now_ms(), is_commit=request["committed"])
    except KafkaError as error:
        code = _fence(error.code, is_known=call.version >= 2)
    return {"error_code": code}
