"""Topic settings: names, defaults, what is accepted, and the form the log needs them in.

Kafka's names and meanings. Names that Kafka knows and this broker has no use for are accepted,
kept and shown; unknown names and unreadable values are refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.broker.errors import ErrorCode, KafkaError

_BOOLEAN, _STRING, _INT, _LONG, _DOUBLE, _LIST = 1, 2, 3, 5, 6, 7
_INT_MAX, _LONG_MAX = 2**31 - 1, 2**63 - 1


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One setting: type as in DescribeConfigs, default, and the check of a value."""

    type: int
    default: str
    accepts: Callable[[str], bool]


def _whole(kind: int, default: int, lowest: int, highest: int) -> ConfigKey:
    def accepts(text: str) -> bool:
        return text.lstrip("-").isdigit() and lowest <= int(text) <= highest

    return ConfigKey(kind, str(default), accepts)


def _choice(default: str, *values: str) -> ConfigKey:
    return ConfigKey(_STRING, default, values.__contains__)


def _flag(default: str) -> ConfigKey:
    return ConfigKey(_BOOLEAN, default, ("true", "false").__contains__)


def _ratio(default: str) -> ConfigKey:
    def accepts(text: str) -> bool:
        return text.replace(".", "", 1).isdigit() and 0 <= float(text) <= 1

    return ConfigKey(_DOUBLE, default, accepts)


def _is_cleanup_policy(text: str) -> bool:
    return {part.strip() for part in text.split(",")} <= {"delete", "compact"}


def _anything(_text: str) -> bool:
    return True


_DAY_MS = 86_400_000
TOPIC_KEYS: Mapping[str, ConfigKey] = {
    "cleanup.policy": ConfigKey(_LIST, "delete", _is_cleanup_policy),
    "compression.type": _choice(
        "producer", "producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"
    ),
    "delete.retention.ms": _whole(_LONG, _DAY_MS, 0, _LONG_MAX),
    "file.delete.delay.ms": _whole(_LONG, 60_000, 0, _LONG_MAX),
    "flush.messages": _whole(_LONG, _LONG_MAX, 1, _LONG_MAX),
    "flush.ms": _whole(_LONG, _LONG_MAX, 0, _LONG_MAX),
    "follower.replication.throttled.replicas": ConfigKey(_LIST, "", _anything),
    "index.interval.bytes": _whole(_INT, 4096, 0, _INT_MAX),
    "leader.replication.throttled.replicas": ConfigKey(_LIST, "", _anything),
    "max.compaction.lag.ms": _whole(_LONG, _LONG_MAX, 1, _LONG_MAX),
    "max.message.bytes": _whole(_INT, 1_048_588, 0, _INT_MAX),
    "message.downconversion.enable": _flag("true"),
    "message.format.version": ConfigKey(_STRING, "3.0-IV1", _anything),
    "message.timestamp.after.max.ms": _whole(_LONG, _LONG_MAX, 0, _LONG_MAX),
    "message.timestamp.before.max.ms": _whole(_LONG, _LONG_MAX, 0, _LONG_MAX),
    "message.timestamp.difference.max.ms": _whole(_LONG, _LONG_MAX, 0, _LONG_MAX),
    "message.timestamp.type": _choice("CreateTime", "CreateTime", "LogAppendTime"),
    "min.cleanable.dirty.ratio": _ratio("0.5"),
    "min.compaction.lag.ms": _whole(_LONG, 0, 0, _LONG_MAX),
    "min.insync.replicas": _whole(_INT, 1, 1, _INT_MAX),
    "preallocate": _flag("false"),
    "retention.bytes": _whole(_LONG, -1, -(2**63), _LONG_MAX),
    "retention.ms": _whole(_LONG, 7 * _DAY_MS, -1, _LONG_MAX),
    "segment.bytes": _whole(_INT, 1 << 30, 14, _INT_MAX),
    "segment.index.bytes": _whole(_INT, 10 << 20, 4, _INT_MAX),
    "segment.jitter.ms": _whole(_LONG, 0, 0, _LONG_MAX),
    "segment.ms": _whole(_LONG, 7 * _DAY_MS, 1, _LONG_MAX),
    "unclean.leader.election.enable": _flag("false"),
}


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What a partition log obeys."""

    segment_bytes: int
    segment_ms: int
    max_message_bytes: int
    is_append_time: bool
    is_compacted: bool
    is_deleted: bool
    retention_ms: int
    retention_bytes: int
    delete_retention_ms: int
    min_compaction_lag_ms: int
    min_dirty_ratio: float


def checked(config: Mapping[str, str | None]) -> dict[str, str]:
    """Check the settings of a topic; null values fall back to the default. Raise INVALID_CONFIG."""
    accepted = {}
    for name, value in config.items():
        key = TOPIC_KEYS.get(name)
        if key is None:
            raise KafkaError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {name}")
        if value is None:
            continue
        if not key.accepts(value):
            raise KafkaError(
                ErrorCode.INVALID_CONFIG, f"Invalid value {value} for configuration {name}"
            )
        accepted[name] = value
    return accepted


def log_config(config: Mapping[str, str], defaults: Mapping[str, str]) -> LogConfig:
    """Return what a log obeys: the topic's settings over the broker's over Kafka's."""

    def value(name: str) -> str:
        return config.get(name) or defaults.get(name) or TOPIC_KEYS[name].default

    policies = value("cleanup.policy")
    return LogConfig(
        segment_bytes=int(value("segment.bytes")),
        segment_ms=int(value("segment.ms")),
        max_message_bytes=int(value("max.message.bytes")),
        is_append_time=value("message.timestamp.type") == "LogAppendTime",
        is_compacted="compact" in policies,
        is_deleted="delete" in policies,
        retention_ms=int(value("retention.ms")),
        retention_bytes=int(value("retention.bytes")),
        delete_retention_ms=int(value("delete.retention.ms")),
        min_compaction_lag_ms=int(value("min.compaction.lag.ms")),
        min_dirty_ratio=float(value("min.cleanable.dirty.ratio")),
    )
