"""The list of everything that may be asked: API key -> table and function."""

from infra.broker.api import cluster, fetch, metadata, offsets, produce, producers, topics
from infra.broker.api.call import Route
from infra.broker.messages import cluster as cluster_messages
from infra.broker.messages import records, transactions

_ROUTES = (
    Route(records.PRODUCE, produce.produce),
    Route(records.FETCH, fetch.fetch),
    Route(records.LIST_OFFSETS, offsets.list_offsets),
    Route(cluster_messages.METADATA, metadata.metadata),
    Route(cluster_messages.CREATE_TOPICS, topics.create_topics),
    Route(cluster_messages.DELETE_TOPICS, topics.delete_topics),
    Route(records.DELETE_RECORDS, offsets.delete_records),
    Route(transactions.INIT_PRODUCER_ID, producers.init_producer_id),
    Route(records.OFFSET_FOR_LEADER_EPOCH, offsets.offset_for_leader_epoch),
    Route(cluster_messages.CREATE_PARTITIONS, topics.create_partitions),
    Route(cluster_messages.DESCRIBE_CLUSTER, cluster.describe_cluster),
)
ROUTES = {route.api.key: route for route in _ROUTES}
