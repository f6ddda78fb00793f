"""The list of everything that may be asked: API key -> table and function."""

from infra.broker.api import (
    cluster,
    committed,
    configs,
    fetch,
    group_admin,
    groups,
    metadata,
    offsets,
    produce,
    producers,
    topics,
)
from infra.broker.api.call import Route
from infra.broker.messages import cluster as of_cluster
from infra.broker.messages import groups as of_groups
from infra.broker.messages import records as of_records
from infra.broker.messages import transactions as of_transactions

_ROUTES = (
    Route(of_records.PRODUCE, produce.produce),
    Route(of_records.FETCH, fetch.fetch),
    Route(of_records.LIST_OFFSETS, offsets.list_offsets),
    Route(of_records.OFFSET_FOR_LEADER_EPOCH, offsets.offset_for_leader_epoch),
    Route(of_records.DELETE_RECORDS, offsets.delete_records),
    Route(of_cluster.METADATA, metadata.metadata),
    Route(of_cluster.DESCRIBE_CLUSTER, cluster.describe_cluster),
    Route(of_cluster.CREATE_TOPICS, topics.create_topics),
    Route(of_cluster.DELETE_TOPICS, topics.delete_topics),
    Route(of_cluster.CREATE_PARTITIONS, topics.create_partitions),
    Route(of_cluster.DESCRIBE_CONFIGS, configs.describe_configs),
    Route(of_cluster.ALTER_CONFIGS, configs.alter_configs),
    Route(of_cluster.INCREMENTAL_ALTER_CONFIGS, configs.incremental_alter_configs),
    Route(of_groups.FIND_COORDINATOR, groups.find_coordinator),
    Route(of_groups.JOIN_GROUP, groups.join_group),
    Route(of_groups.SYNC_GROUP, groups.sync_group),
    Route(of_groups.HEARTBEAT, groups.heartbeat),
    Route(of_groups.LEAVE_GROUP, groups.leave_group),
    Route(of_groups.DESCRIBE_GROUPS, group_admin.describe_groups),
    Route(of_groups.LIST_GROUPS, group_admin.list_groups),
    Route(of_groups.DELETE_GROUPS, group_admin.delete_groups),
    Route(of_groups.OFFSET_COMMIT, committed.offset_commit),
    Route(of_groups.OFFSET_FETCH, committed.offset_fetch),
    Route(of_groups.OFFSET_DELETE, committed.offset_delete),
    Route(of_transactions.INIT_PRODUCER_ID, producers.init_producer_id),
    Route(of_transactions.ADD_PARTITIONS_TO_TXN, producers.add_partitions_to_txn),
    Route(of_transactions.ADD_OFFSETS_TO_TXN, producers.add_offsets_to_txn),
    Route(of_transactions.TXN_OFFSET_COMMIT, producers.txn_offset_commit),
    Route(of_transactions.END_TXN, producers.end_txn),
)
ROUTES = {route.api.key: route for route in _ROUTES}
