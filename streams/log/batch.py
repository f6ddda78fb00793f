"""A batch: what is decided together, appended together, and then true together.

Everything that may leave once the batch is accepted stands in it (L9): answers of every kind,
effects, the runs that were touched.
"""

import asyncio
from typing import NamedTuple

from streams.log.clients import Asked, Outgoing
from streams.log.position import Source
from topology.decision import ReplyBody
from topology.effects import Effect

Caller = bytes | asyncio.Future[bytes] | Asked
"""Who waits: whoever parked under a command id, the owner's own work, or a Kafka client."""


class Decided(NamedTuple):
    """What the fold must know of a transition beside its rows."""

    seq: int
    decided_at: int
    command_ids: tuple[bytes, ...]
    effects: list[Effect]


class Batch:
    """Decided, not yet accepted."""

    __slots__ = (
        "answers",
        "outgoing",
        "performed",
        "recorded_at",
        "records",
        "runs",
        "size_bytes",
        "sources",
        "transitions",
    )

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes | None]] = []
        self.transitions: list[Decided] = []
        self.answers: list[tuple[bytes | asyncio.Future[bytes], ReplyBody]] = []
        self.outgoing: list[Outgoing] = []
        self.runs: list[str] = []
        self.sources: dict[str, Source] = {}
        self.performed = 0
        self.recorded_at = 0
        self.size_bytes = 0

    def is_empty(self) -> bool:
        """Whether there is nothing to append."""
        return not self.records
