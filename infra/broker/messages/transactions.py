"""Tables of the APIs of idempotent and transactional producers."""

from infra.broker.schema import Api

INIT_PRODUCER_ID = Api(
    key=22,
    name="InitProducerId",
    versions=(0, 4),
    flexible_from=2,
    request="""
        transactional_id string null
        transaction_timeout_ms int32
        producer_id int64 3+ =-1
        producer_epoch int16 3+ =-1
    """,
    response="""
        throttle_time_ms int32 =0
        error_code int16
        producer_id int64
        producer_epoch int16
    """,
)

ADD_PARTITIONS_TO_TXN = Api(
    key=24,
    name="AddPartitionsToTxn",
    versions=(0, 3),
    flexible_from=3,
    request="""
        transactional_id string
        producer_id int64
        producer_epoch int16
        topics []
            name string
            partitions []int32
    """,
    response="""
        throttle_time_ms int32 =0
        results []
            name string
            results []
                partition_index int32
                partition_error_code int16
    """,
)

ADD_OFFSETS_TO_TXN = Api(
    key=25,
    name="AddOffsetsToTxn",
    versions=(0, 3),
    flexible_from=3,
    request="""
        transactional_id string
        producer_id int64
        producer_epoch int16
        group_id string
    """,
    response="""
        throttle_time_ms int32 =0
        error_code int16
    """,
)

END_TXN = Api(
    key=26,
    name="EndTxn",
    versions=(0, 3),
    flexible_from=3,
    request="""
        transactional_id string
        producer_id int64
        producer_epoch int16
        committed bool
    """,
    response="""
        throttle_time_ms int32 =0
        error_code int16
    """,
)

TXN_OFFSET_COMMIT = Api(
    key=28,
    name="TxnOffsetCommit",
    versions=(0, 3),
    flexible_from=3,
    request="""
        transactional_id string
        group_id string
        producer_id int64
        producer_epoch int16
        generation_id int32 3+ =-1
        member_id string 3+
        group_instance_id string 3+ null =null
        topics []
            name string
            partitions []
                partition_index int32
                committed_offset int64
                committed_leader_epoch int32 2+ =-1
                committed_metadata string null
    """,
    response="""
        throttle_time_ms int32 =0
        topics []
            name string
            partitions []
                partition_index int32
                error_code int16
    """,
)
