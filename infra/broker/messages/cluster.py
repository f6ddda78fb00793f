"""Tables of the APIs about the cluster and its topics."""

from infra.broker.schema import Api

API_VERSIONS = Api(
    key=18,
    name="ApiVersions",
    versions=(0, 4),
    flexible_from=3,
    request="""
        client_software_name string 3+
        client_software_version string 3+
    """,
    response="""
        error_code int16
        api_keys []
            api_key int16
            min_version int16
            max_version int16
        throttle_time_ms int32 1+ =0
    """,
)

# Capped at 12; topic ids from 10 on.
METADATA = Api(
    key=3,
    name="Metadata",
    versions=(0, 12),
    flexible_from=9,
    request="""
        topics [] null=1+
            topic_id uuid 10+
            name string null=10+
        allow_auto_topic_creation bool 4+ =true
        include_cluster_authorized_operations bool 8-10
        include_topic_authorized_operations bool 8+
    """,
    response="""
        throttle_time_ms int32 3+ =0
        brokers []
            node_id int32
            host string
            port int32
            rack string 1+ null =null
        cluster_id string 2+ null
        controller_id int32 1+
        topics []
            error_code int16
            name string null=12+
            topic_id uuid 10+
            is_internal bool 1+ =false
            partitions []
                error_code int16
                partition_index int32
                leader_id int32
                leader_epoch int32 7+
                replica_nodes []int32
                isr_nodes []int32
                offline_replicas []int32 5+
            topic_authorized_operations int32 8+ =-2147483648
        cluster_authorized_operations int32 8-10 =-2147483648
    """,
)

DESCRIBE_CLUSTER = Api(
    key=60,
    name="DescribeCluster",
    versions=(0, 1),
    flexible_from=0,
    request="""
        include_cluster_authorized_operations bool
        endpoint_type int8 1+ =1
    """,
    response="""
        throttle_time_ms int32 =0
        error_code int16
        error_message string null =null
        endpoint_type int8 1+ =1
        cluster_id string
        controller_id int32
        brokers []
            broker_id int32
            host string
            port int32
            rack string null =null
        cluster_authorized_operations int32 =-2147483648
    """,
)

CREATE_TOPICS = Api(
    key=19,
    name="CreateTopics",
    versions=(0, 7),
    flexible_from=5,
    request="""
        topics []
            name string
            num_partitions int32
            replication_factor int16
            assignments []
                partition_index int32
                broker_ids []int32
            configs []
                name string
                value string null
        timeout_ms int32
        validate_only bool 1+
    """,
    response="""
        throttle_time_ms int32 2+ =0
        topics []
            name string
            topic_id uuid 7+
            error_code int16
            error_message string 1+ null
            num_partitions int32 5+
            replication_factor int16 5+
            configs [] 5+ null
                name string
                value string null
                read_only bool
                config_source int8
                is_sensitive bool
    """,
)

DELETE_TOPICS = Api(
    key=20,
    name="DeleteTopics",
    versions=(0, 6),
    flexible_from=4,
    request="""
        topics [] 6+
            name string null
            topic_id uuid
        topic_names []string 0-5
        timeout_ms int32
    """,
    response="""
        throttle_time_ms int32 1+ =0
        responses []
            name string null=6+
            topic_id uuid 6+
            error_code int16
            error_message string 5+ null
    """,
)

CREATE_PARTITIONS = Api(
    key=37,
    name="CreatePartitions",
    versions=(0, 3),
    flexible_from=2,
    request="""
        topics []
            name string
            count int32
            assignments [] null
                broker_ids []int32
        timeout_ms int32
        validate_only bool
    """,
    response="""
        throttle_time_ms int32 =0
        results []
            name string
            error_code int16
            error_message string null
    """,
)

DESCRIBE_CONFIGS = Api(
    key=32,
    name="DescribeConfigs",
    versions=(0, 4),
    flexible_from=4,
    request="""
        resources []
            resource_type int8
            resource_name string
            configuration_keys []string null
        include_synonyms bool 1+
        include_documentation bool 3+
    """,
    response="""
        throttle_time_ms int32 =0
        results []
            error_code int16
            error_message string null
            resource_type int8
            resource_name string
            configs []
                name string
                value string null
                read_only bool
                is_default bool 0
                config_source int8 1+
                is_sensitive bool
                synonyms [] 1+
                    name string
                    value string null
                    source int8
                config_type int8 3+
                documentation string 3+ null =null
    """,
)

_ALTERED = """
        throttle_time_ms int32 =0
        responses []
            error_code int16
            error_message string null
            resource_type int8
            resource_name string
"""

ALTER_CONFIGS = Api(
    key=33,
    name="AlterConfigs",
    versions=(0, 2),
    flexible_from=2,
    request="""
        resources []
            resource_type int8
            resource_name string
            configs []
                name string
                value string null
        validate_only bool
    """,
    response=_ALTERED,
)

INCREMENTAL_ALTER_CONFIGS = Api(
    key=44,
    name="IncrementalAlterConfigs",
    versions=(0, 1),
    flexible_from=1,
    request="""
        resources []
            resource_type int8
            resource_name string
            configs []
                name string
                config_operation int8
                value string null
        validate_only bool
    """,
    response=_ALTERED,
)
