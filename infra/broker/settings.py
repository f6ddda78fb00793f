"""Settings of the broker: one frozen value, given by flags."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; names that end in `_ms` or `_bytes` carry their unit."""

    data_dir: Path
    """Folder of segments and the metadata file; one process at a time."""
    port: int = 0
    """Port on 127.0.0.1; 0 picks a free one."""
    log_level: str = "warning"
    """debug, info, warning, error; the log goes to stderr."""
    durability: str = "os"
    """`os`: acknowledged after write(), flushed soon. `fsync`: acknowledged after the flush."""
    num_partitions: int = 1
    """Partitions of a topic that is created without a number."""
    auto_create_topics: bool = True
    """Whether asking for the metadata of an unknown topic may create it."""
    segment_bytes: int = 16 << 20
    """Size at which a segment is closed, where the topic has no segment.bytes."""
    max_message_bytes: int = 1_048_588
    """Largest batch, where the topic has no max.message.bytes."""
    retention_ms: int = 7 * 86_400_000
    """How long records are kept where the topic has no retention.ms, as in Kafka; -1: for ever."""
    max_request_bytes: int = 100 << 20
    """Largest request; a longer one closes its connection."""
    tail_cache_bytes: int = 16 << 20
    """Memory for the newest batches of all partitions together."""
    flush_interval_ms: int = 200
    """Longest time between a write and its flush under durability `os`."""
    upkeep_interval_ms: int = 15_000
    """Time between two looks for segments to delete or to compact."""
    checkpoint_interval_ms: int = 5_000
    """Time between checkpoints of partitions that were written to."""
    checkpoint_batch_count: int = 2_000
    """Batches since the last checkpoint that make another one worthwhile."""
    offsets_retention_ms: int = 7 * 86_400_000
    """How long the offsets of a group without members are kept."""
    producer_expiration_ms: int = 86_400_000
    """How long a silent producer's sequences are remembered."""
    transactional_id_expiration_ms: int = 7 * 86_400_000
    """How long an unused transactional id is remembered."""
    min_session_timeout_ms: int = 6_000
    """Shortest session timeout of a group member."""
    max_session_timeout_ms: int = 1_800_000
    """Longest session timeout of a group member."""
    max_transaction_timeout_ms: int = 900_000
    """Longest timeout of a transaction."""
    is_detached: bool = False
    """Whether to outlive the parent process."""

    def topic_defaults(self) -> dict[str, str]:
        """Return the broker's own defaults for topic settings."""
        return {
            "segment.bytes": str(self.segment_bytes),
            "max.message.bytes": str(self.max_message_bytes),
            "retention.ms": str(self.retention_ms),
        }

    def broker_configs(self) -> dict[str, str]:
        """Return what DescribeConfigs shows for the broker, under Kafka's names."""
        is_flushed = self.durability == "fsync"
        return {
            "auto.create.topics.enable": str(self.auto_create_topics).lower(),
            "broker.id": "0",
            "default.replication.factor": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.max.session.timeout.ms": str(self.max_session_timeout_ms),
            "group.min.session.timeout.ms": str(self.min_session_timeout_ms),
            "log.cleaner.backoff.ms": str(self.upkeep_interval_ms),
            "log.cleanup.policy": "delete",
            "log.dirs": str(self.data_dir),
            "log.flush.interval.messages": "1" if is_flushed else "9223372036854775807",
            "log.flush.interval.ms": str(self.flush_interval_ms),
            "log.message.timestamp.type": "CreateTime",
            "log.retention.bytes": "-1",
            "log.retention.ms": str(self.retention_ms),
            "log.segment.bytes": str(self.segment_bytes),
            "message.max.bytes": str(self.max_message_bytes),
            "min.insync.replicas": "1",
            "num.partitions": str(self.num_partitions),
            "offsets.retention.minutes": str(self.offsets_retention_ms // 60_000),
            "producer.id.expiration.ms": str(self.producer_expiration_ms),
            "socket.request.max.bytes": str(self.max_request_bytes),
            "transaction.max.timeout.ms": str(self.max_transaction_timeout_ms),
        }
