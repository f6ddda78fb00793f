"""InitProducerId 0-4."""

from infra.broker.api.call import Call
from infra.broker.broker import Broker
from infra.broker.schema import Message


def init_producer_id(broker: Broker, _request: Message, _call: Call) -> Message:
    """Give a producer its id and epoch."""
    return {"error_code": 0, "producer_id": broker.store.new_producer_id(), "producer_epoch": 0}
