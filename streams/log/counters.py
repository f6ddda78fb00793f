"""Counters of forwards as they are decided (L16): dense for each sender and receiver.

The folded ones stand in the position; these run ahead of them until what was decided is accepted,
and are forgotten with it. As a source, a sender is named `forwards/<generation>/<partition>`.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from schemas.ids import workflow_partition
from streams.log.position import Position
from topology.effects import Effect, Forward

TOPIC: Final = "forwards"
_PREFIX: Final = f"{TOPIC}/"


def source_of(sender: str) -> str:
    """Return the name of a sender among the sources."""
    return _PREFIX + sender


def sender_of(source: str) -> str:
    """Return the sender that a source names; empty: it is a command topic."""
    return source.removeprefix(_PREFIX) if source.startswith(_PREFIX) else ""


class Counters:
    """The counters of one partition, what is decided included."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._sent: dict[str, int] = {}
        self._received: dict[str, int] = {}

    def begin(self, position: Position) -> None:
        """Begin anew, on what is accepted."""
        self._sent = dict(position.sent)
        self._received = dict(position.received)

    def numbered(self, effects: Sequence[Effect]) -> tuple[list[Effect], dict[str, int]]:
        """Return effects with receivers and counters filled in, and the counters then."""
        sent: dict[str, int] = {}
        numbered = [
            self._numbered(each, sent) if isinstance(each, Forward) else each for each in effects
        ]
        return numbered, sent

    def _numbered(self, forward: Forward, sent: dict[str, int]) -> Forward:
        receiver = workflow_partition(forward.namespace, forward.workflow_id, self._partitions)
        name = str(receiver)
        sent[name] = sent.get(name, self._sent.get(name, 0)) + 1
        return replace(forward, receiver=receiver, counter=sent[name])

    def sent(self, sent: dict[str, int]) -> None:
        """The effects that were numbered stand in a decided transition."""
        self._sent.update(sent)

    def last(self, sender: str) -> int:
        """Return the counter of the last forward taken from a sender."""
        return self._received.get(sender, 0)

    def take(self, sender: str, counter: int) -> None:
        """A forward is decided, or (one back) is not after all."""
        self._received[sender] = counter
