"""The accept rule (L1): the same for owner, standby, restarted owner, indexer and auditor.

Pure. It looks at nothing but three numbers of the state and of the record.
"""

from typing import Protocol


class Accepted(Protocol):
    """What is known of the last accepted record."""

    @property
    def epoch(self) -> int:
        """Epoch of the last accepted claim."""
        ...

    @property
    def incarnation(self) -> bytes:
        """Incarnation of the last accepted claim (L2)."""
        ...

    @property
    def seq(self) -> int:
        """Seq of the last accepted record."""
        ...


def accepts_claim(last: Accepted, *, epoch: int, seq: int) -> bool:
    """Whether a claim takes the partition: next in sequence, under a higher epoch."""
    return seq == last.seq + 1 and epoch > last.epoch


def accepts_transition(last: Accepted, *, epoch: int, incarnation: bytes, seq: int) -> bool:
    """Whether a transition counts: next in sequence, under the last accepted claim."""
    return seq == last.seq + 1 and epoch == last.epoch and incarnation == last.incarnation
