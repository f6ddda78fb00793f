"""Retention: how far a log's beginning may be forgotten. Only where the topic says delete.

Decides only; `cleaner` makes the new start durable and removes the files.
"""

from infra.broker.log import PartitionLog


def expired_to(log: PartitionLog, now_ms: int) -> int:
    """Return the offset below which whole segments are too old or too much; the start if none."""
    if not log.config.is_deleted:
        return log.start_offset
    return max(_too_old_to(log, now_ms), _too_much_to(log), log.start_offset)


def _too_old_to(log: PartitionLog, now_ms: int) -> int:
    offset = log.start_offset
    if log.config.retention_ms < 0:
        return offset
    for segment in log.segments:
        is_dated = segment.size > 0 and segment.max_timestamp >= 0
        if not is_dated or now_ms - segment.max_timestamp <= log.config.retention_ms:
            break
        offset = segment.next_offset
    return min(offset, log.stable_offset)


def _too_much_to(log: PartitionLog) -> int:
    offset = log.start_offset
    if log.config.retention_bytes < 0:
        return offset
    left = log.size
    for segment in log.segments[:-1]:
        if left - segment.size < log.config.retention_bytes:
            break
        left -= segment.size
        offset = segment.next_offset
    return min(offset, log.stable_offset)
