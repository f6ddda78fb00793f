"""ApiVersions 0-4, DescribeCluster 0-1: what this broker is."""

from infra.broker.api.call import Call
from infra.broker.broker import HOST, NODE_ID, Broker
from infra.broker.schema import Message


def describe_cluster(broker: Broker, _request: Message, _call: Call) -> Message:
    """Describe a cluster of one node."""
    return {
        "error_code": 0,
        "cluster_id": broker.store.cluster_id,
        "controller_id": NODE_ID,
        "brokers": [{"broker_id": NODE_ID, "host": HOST, "port": broker.port}],
    }
