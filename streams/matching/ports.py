"""What matching needs from outside. Protocols, and their bundle."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streams.log.ports import Admin, Clock, Producer, Store
from topology.decision import Ask


class Starter(Protocol):
    """History, which decides about every task (M1)."""

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide; raises Rejected (Stale), NotTheOwner, OutcomeUnknown, Unavailable."""
        ...


class Claimed(Protocol):
    """A claim of a partition."""

    @property
    def partition(self) -> int:
        """The partition."""
        ...

    @property
    def role(self) -> str:
        """The role."""
        ...

    @property
    def epoch(self) -> int:
        """Its epoch; the highest one counts."""
        ...

    @property
    def incarnation(self) -> bytes:
        """Its random id."""
        ...


class Claims(Protocol):
    """Who owns what (C1); `streams/calls/owners.py` is the one implementation."""

    async def claim(self, role: str, partition: int) -> Claimed:
        """Claim a partition; raises NotTheOwner when another was faster, Unavailable."""
        ...

    def listen(self, listener: Callable[[Claimed], None]) -> None:
        """Call a listener whenever another claim counts for a partition."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchingPorts:
    """Everything around a matching node."""

    starter: Starter
    tasks: Producer
    admin: Admin
    stores: Callable[[int], Store]
    claims: Claims
    clock: Clock
    is_deleted: Callable[[str], bool] = lambda _namespace_id: False
    """Whether a namespace is deleted, by id: its tasks go, for nobody can poll them any more."""
