"""Tables of the APIs that write, read, find and delete records."""

from infra.broker.schema import Api

# Advertised from 0 because librdkafka derives features from it (KAFKA-18659); accepted from 3.
# Capped at 10: later versions change transactions (KIP-890).
PRODUCE = Api(
    key=0,
    name="Produce",
    versions=(3, 10),
    flexible_from=9,
    advertised_from=0,
    request="""
        transactional_id string null
        acks int16
        timeout_ms int32
        topic_data []
            name string
            partition_data []
                index int32
                records records null
    """,
    response="""
        responses []
            name string
            partition_responses []
                index int32
                error_code int16
                base_offset int64
                log_append_time_ms int64 2+ =-1
                log_start_offset int64 5+ =-1
                record_errors [] 8+ =empty
                    batch_index int32
                    batch_index_error_message string null
                error_message string 8+ null =null
        throttle_time_ms int32 1+ =0
    """,
)

# Capped at 12: from 13 on topics go by id.
FETCH = Api(
    key=1,
    name="Fetch",
    versions=(4, 12),
    flexible_from=12,
    request="""
        replica_id int32
        max_wait_ms int32
        min_bytes int32
        max_bytes int32
        isolation_level int8
        session_id int32 7+
        session_epoch int32 7+ =-1
        topics []
            topic string
            partitions []
                partition int32
                current_leader_epoch int32 9+ =-1
                fetch_offset int64
                last_fetched_epoch int32 12+ =-1
                log_start_offset int64 5+ =-1
                partition_max_bytes int32
        forgotten_topics [] 7+
            topic string
            partitions []int32
        rack_id string 11+
    """,
    response="""
        throttle_time_ms int32 =0
        error_code int16 7+ =0
        session_id int32 7+ =0
        responses []
            topic string
            partitions []
                partition_index int32
                error_code int16
                high_watermark int64
                last_stable_offset int64
                log_start_offset int64 5+
                aborted_transactions [] null
                    producer_id int64
                    first_offset int64
                preferred_read_replica int32 11+ =-1
                records records null
    """,
)

LIST_OFFSETS = Api(
    key=2,
    name="ListOffsets",
    versions=(1, 8),
    flexible_from=6,
    request="""
        replica_id int32
        isolation_level int8 2+
        topics []
            name string
            partitions []
                partition_index int32
                current_leader_epoch int32 4+ =-1
                timestamp int64
    """,
    response="""
        throttle_time_ms int32 2+ =0
        topics []
            name string
            partitions []
                partition_index int32
                error_code int16
                timestamp int64
                offset int64
                leader_epoch int32 4+ =-1
    """,
)

OFFSET_FOR_LEADER_EPOCH = Api(
    key=23,
    name="OffsetForLeaderEpoch",
    versions=(2, 4),
    flexible_from=4,
    request="""
        replica_id int32 3+ =-2
        topics []
            topic string
            partitions []
                partition int32
                current_leader_epoch int32 =-1
                leader_epoch int32
    """,
    response="""
        throttle_time_ms int32 =0
        topics []
            topic string
            partitions []
                error_code int16
                partition int32
                leader_epoch int32
                end_offset int64
    """,
)

DELETE_RECORDS = Api(
    key=21,
    name="DeleteRecords",
    versions=(0, 2),
    flexible_from=2,
    request="""
        topics []
            name string
            partitions []
                partition_index int32
                offset int64
        timeout_ms int32
    """,
    response="""
        throttle_time_ms int32 =0
        topics []
            name string
            partitions []
                partition_index int32
                low_watermark int64
                error_code int16
    """,
)
