"""Tables of the APIs of consumer groups and their offsets."""

from infra.broker.schema import Api

FIND_COORDINATOR = Api(
    key=10,
    name="FindCoordinator",
    versions=(0, 4),
    flexible_from=3,
    request="""
        key string 0-3
        key_type int8 1+
        coordinator_keys []string 4+
    """,
    response="""
        throttle_time_ms int32 1+ =0
        error_code int16 0-3 =0
        error_message string 1-3 null =null
        node_id int32 0-3
        host string 0-3
        port int32 0-3
        coordinators [] 4+
            key string
            node_id int32
            host string
            port int32
            error_code int16 =0
            error_message string null =null
    """,
)

JOIN_GROUP = Api(
    key=11,
    name="JoinGroup",
    versions=(0, 9),
    flexible_from=6,
    request="""
        group_id string
        session_timeout_ms int32
        rebalance_timeout_ms int32 1+ =-1
        member_id string
        group_instance_id string 5+ null =null
        protocol_type string
        protocols []
            name string
            metadata bytes
        reason string 8+ null =null
    """,
    response="""
        throttle_time_ms int32 2+ =0
        error_code int16
        generation_id int32
        protocol_type string 7+ null
        protocol_name string null=7+
        leader string
        skip_assignment bool 9+ =false
        member_id string
        members []
            member_id string
            group_instance_id string 5+ null
            metadata bytes
    """,
)

SYNC_GROUP = Api(
    key=14,
    name="SyncGroup",
    versions=(0, 5),
    flexible_from=4,
    request="""
        group_id string
        generation_id int32
        member_id string
        group_instance_id string 3+ null =null
        protocol_type string 5+ null =null
        protocol_name string 5+ null =null
        assignments []
            member_id string
            assignment bytes
    """,
    response="""
        throttle_time_ms int32 1+ =0
        error_code int16
        protocol_type string 5+ null
        protocol_name string 5+ null
        assignment bytes
    """,
)

HEARTBEAT = Api(
    key=12,
    name="Heartbeat",
    versions=(0, 4),
    flexible_from=4,
    request="""
        group_id string
        generation_id int32
        member_id string
        group_instance_id string 3+ null =null
    """,
    response="""
        throttle_time_ms int32 1+ =0
        error_code int16
    """,
)

LEAVE_GROUP = Api(
    key=13,
    name="LeaveGroup",
    versions=(0, 5),
    flexible_from=4,
    request="""
        group_id string
        member_id string 0-2
        members [] 3+
            member_id string
            group_instance_id string null
            reason string 5+ null =null
    """,
    response="""
        throttle_time_ms int32 1+ =0
        error_code int16
        members [] 3+
            member_id string
            group_instance_id string null
            error_code int16
    """,
)

DESCRIBE_GROUPS = Api(
    key=15,
    name="DescribeGroups",
    versions=(0, 5),
    flexible_from=5,
    request="""
        groups []string
        include_authorized_operations bool 3+
    """,
    response="""
        throttle_time_ms int32 1+ =0
        groups []
            error_code int16
            group_id string
            group_state string
            protocol_type string
            protocol_data string
            members []
                member_id string
                group_instance_id string 4+ null
                client_id string
                client_host string
                member_metadata bytes
                member_assignment bytes
            authorized_operations int32 3+ =-2147483648
    """,
)

LIST_GROUPS = Api(
    key=16,
    name="ListGroups",
    versions=(0, 5),
    flexible_from=3,
    request="""
        states_filter []string 4+
        types_filter []string 5+
    """,
    response="""
        throttle_time_ms int32 1+ =0
        error_code int16 =0
        groups []
            group_id string
            protocol_type string
            group_state string 4+
            group_type string 5+
    """,
)

DELETE_GROUPS = Api(
    key=42,
    name="DeleteGroups",
    versions=(0, 2),
    flexible_from=2,
    request="""
        groups_names []string
    """,
    response="""
        throttle_time_ms int32 =0
        results []
            group_id string
            error_code int16
    """,
)

_COMMITTED = """
        throttle_time_ms int32 3+ =0
        topics []
            name string
            partitions []
                partition_index int32
                error_code int16
"""

OFFSET_COMMIT = Api(
    key=8,
    name="OffsetCommit",
    versions=(2, 9),
    flexible_from=8,
    request="""
        group_id string
        generation_id int32
        member_id string
        group_instance_id string 7+ null =null
        retention_time_ms int64 2-4 =-1
        topics []
            name string
            partitions []
                partition_index int32
                committed_offset int64
                committed_leader_epoch int32 6+ =-1
                committed_metadata string null
    """,
    response=_COMMITTED,
)

OFFSET_FETCH = Api(
    key=9,
    name="OffsetFetch",
    versions=(1, 9),
    flexible_from=6,
    request="""
        group_id string 0-7
        topics [] 0-7 null=2-7
            name string
            partition_indexes []int32
        groups [] 8+
            group_id string
            member_id string 9+ null =null
            member_epoch int32 9+ =-1
            topics [] null
                name string
                partition_indexes []int32
        require_stable bool 7+
    """,
    response="""
        throttle_time_ms int32 3+ =0
        topics [] 0-7
            name string
            partitions []
                partition_index int32
                committed_offset int64
                committed_leader_epoch int32 5+
                metadata string null
                error_code int16
        error_code int16 2-7
        groups [] 8+
            group_id string
            topics []
                name string
                partitions []
                    partition_index int32
                    committed_offset int64
                    committed_leader_epoch int32
                    metadata string null
                    error_code int16
            error_code int16
    """,
)

OFFSET_DELETE = Api(
    key=47,
    name="OffsetDelete",
    versions=(0, 0),
    flexible_from=32767,
    request="""
        group_id string
        topics []
            name string
            partitions []
                partition_index int32
    """,
    response="""
        error_code int16
        throttle_time_ms int32 =0
        topics []
            name string
            partitions []
                partition_index int32
                error_code int16
    """,
)
