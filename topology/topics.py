"""Every topic as data: what it carries, how it is partitioned, what Kafka must do with it.

The table of architecture §1 in full. This file creates and checks nothing; `streams/kafka/
creation.py` does, from here.
"""

from typing import Final, Literal

import msgspec

RECORD_BYTES_LIMIT: Final = 16 << 20
"""Topics, producers and consumers take records up to this size (L14)."""

Cleanup = Literal["delete", "compact"]
Spread = Literal["history", "matching", "one"]
FOREVER: Final = -1
_DAY_MS: Final = 24 * 3600 * 1000


class PartitionCounts(msgspec.Struct, frozen=True):
    """How many partitions the roles have; recorded in `owners` (L11)."""

    history: int
    matching: int

    def of(self, spread: Spread) -> int:
        """Return the count of one role, or 1 for a topic that has a single partition."""
        return {"history": self.history, "matching": self.matching, "one": 1}[spread]


class Topic(msgspec.Struct, frozen=True):
    """One topic."""

    name: str
    key: str  # what a record's key is
    value: str  # the Avro record(s), by the names of schemas/avro/*.avsc
    spread: Spread  # whose partition count it has
    cleanup: Cleanup = "delete"
    retention_ms: int = FOREVER
    is_log_append_time: bool = False  # else the producer's clock
    is_co_partitioned: bool = False  # with every other topic of its spread that says so
    can_lose: bool = False  # losing old records loses no fact

    def config(self) -> dict[str, str]:
        """Return the settings Kafka must have for it, by Kafka's names."""
        timestamps = "LogAppendTime" if self.is_log_append_time else "CreateTime"
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "retention.bytes": str(FOREVER),
            "message.timestamp.type": timestamps,
            "max.message.bytes": str(RECORD_BYTES_LIMIT),
            "unclean.leader.election.enable": "false",
        }


COMMANDS: Final = Topic(
    name="commands",
    key="<namespace>/<workflow id>",
    value="command",
    spread="history",
    is_co_partitioned=True,
)
COMMANDS_INTERNAL: Final = Topic(
    name="commands-internal",
    key="<namespace>/<workflow id>",
    value="command",
    spread="history",
    is_co_partitioned=True,
)
EVENTS: Final = Topic(
    name="events",
    key="<namespace>/<workflow id>",
    value="transition, claim",
    spread="history",
    is_log_append_time=True,
    is_co_partitioned=True,
)
TASKS: Final = Topic(
    name="tasks",
    key="the task's key",
    value="task",
    spread="matching",
    cleanup="compact",
)
OWNERS: Final = Topic(
    name="owners",
    key="<role>/<partition>",
    value="owner",
    spread="one",
    cleanup="compact",
    is_log_append_time=True,  # tells nodes whether their clocks are right
)
NAMESPACES: Final = Topic(
    name="namespaces",
    key="namespace id",
    value="namespace",
    spread="one",
)
REPLIES: Final = Topic(
    name="replies",
    key="<namespace>/<workflow id>",
    value="reply",
    spread="history",
    retention_ms=_DAY_MS,
    can_lose=True,
)
DEAD_LETTERS: Final = Topic(
    name="dead-letters",
    key="<namespace>/<workflow id>",
    value="dead_letter",
    spread="one",
    retention_ms=90 * _DAY_MS,
    can_lose=True,
)

TOPICS: Final = (
    COMMANDS,
    COMMANDS_INTERNAL,
    EVENTS,
    TASKS,
    OWNERS,
    NAMESPACES,
    REPLIES,
    DEAD_LETTERS,
)
