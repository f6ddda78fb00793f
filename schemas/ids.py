"""Who is who: the ids of the domain, and which partition a key belongs to.

The partition of a key is computed here and nowhere else (architecture §6): murmur2 as in Kafka's
Java client, passed explicitly whenever a record is produced.
"""

from functools import lru_cache
from typing import NewType

NamespaceName = NewType("NamespaceName", str)
NamespaceId = NewType("NamespaceId", str)
WorkflowId = NewType("WorkflowId", str)
RunId = NewType("RunId", str)
TaskQueueName = NewType("TaskQueueName", str)
CommandId = NewType("CommandId", bytes)
Partition = NewType("Partition", int)

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Hash a key as Kafka's Java client does: an unsigned 32-bit number."""
    length = len(key)
    state = (_SEED ^ length) & _MASK
    whole = length & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> 24) * _MULTIPLIER & _MASK
        state = state * _MULTIPLIER & _MASK ^ word
    if rest := key[whole:]:
        state = (state ^ int.from_bytes(rest, "little")) * _MULTIPLIER & _MASK
    state = (state ^ state >> 13) * _MULTIPLIER & _MASK
    return state ^ state >> 15


def partition_of(key: bytes, partitions: int) -> Partition:
    """Return the partition of a record key among so many partitions."""
    return Partition((murmur2(key) & 0x7FFFFFFF) % partitions)


def workflow_key(namespace: str, workflow_id: str) -> bytes:
    """Return the record key of a workflow on `commands`, `commands-internal` and `events`."""
    return f"{namespace}/{workflow_id}".encode()


@lru_cache(maxsize=65_536)
def workflow_partition(namespace: str, workflow_id: str, partitions: int) -> Partition:
    """Return the history partition of a workflow id."""
    return partition_of(workflow_key(namespace, workflow_id), partitions)


@lru_cache(maxsize=4_096)
def queue_partition(namespace_id: str, queue: str, partitions: int) -> Partition:
    """Return the matching partition of a task queue."""
    return partition_of(f"{namespace_id}/{queue}".encode(), partitions)
