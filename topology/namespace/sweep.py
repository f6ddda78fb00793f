"""A partition removes what it has of a deleted namespace, some runs at a time, by its owner's work.

Runs are found by looking through those of all namespaces, stored ones only: the owner goes through
them again until it has found none, and then says so for good. From then on nothing of that
namespace is decided here any more, so a node that does not know of the deletion yet cannot begin a
run that would stay.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from topology import forwards
from topology.decision import Change, Decision, Reply, Rows, StateFact
from topology.own_work import EndSweep, SweepNamespace
from topology.workflow import keys
from topology.workflow.rows import unpack_execution
from topology.workflow.state import Execution

SWEPT: Final = b"s"
_LOOKED_AT_MAX: Final = 2_000
_EFFECTS_MAX: Final = 500
_encode = msgspec.msgpack.Encoder().encode


class PartitionSwept(msgspec.Struct, frozen=True, array_like=True):
    """The fact that a partition has nothing left of a namespace."""

    namespace_id: str


class Swept(msgspec.Struct, frozen=True, array_like=True):
    """The answer to one step: where the next one begins (empty: this was the last), and finds."""

    next_key: bytes
    count: int


_decode = msgspec.msgpack.Decoder(PartitionSwept).decode
read_swept = msgspec.msgpack.Decoder(Swept).decode


def swept_key(namespace_id: str) -> bytes:
    """Return the key that says that nothing is left of a namespace."""
    return SWEPT + namespace_id.encode()


def step(ask: SweepNamespace, rows: Rows, remove: Callable[[Execution], Decision]) -> Decision:
    """Remove some runs of a namespace."""
    found = Decision([], [], [], {})
    count, next_key = 0, b""
    for key, row in _looked_at(rows, ask.after):
        is_full = count == ask.limit or len(found.effects) > _EFFECTS_MAX
        if row is None or is_full:
            next_key = key
            break
        if row.namespace_id == ask.namespace_id:
            removed = remove(row)
            found.changes += removed.changes
            found.effects += removed.effects
            found.rows.update(removed.rows)
            count += 1
    found.replies.append(Reply(b"", "swept", "", _encode(Swept(next_key, count))))
    return found


def _looked_at(rows: Rows, after: bytes) -> Iterator[tuple[bytes, Execution | None]]:
    """Yield the executions from a key on, and at last where to go on, if it ends early."""
    for looked_at, (key, value) in enumerate(rows.scan(keys.runs_prefix(), after)):
        if looked_at == _LOOKED_AT_MAX:
            yield key, None
            return
        if key == keys.execution_key(keys.run_id_of(key)):
            yield key, unpack_execution(value)


def end(ask: EndSweep) -> Decision:
    """Say that nothing is left, here and to the home of the namespace."""
    fact = StateFact(PartitionSwept.__name__, _encode(PartitionSwept(ask.namespace_id)))
    change = Change("partition", ask.namespace_id, "", "", [fact])
    told = forwards.NamespaceSwept(
        namespace_id=ask.namespace_id, partition=ask.partition, partitions=ask.partitions
    )
    return Decision(
        changes=[change],
        effects=[forwards.forward(told, namespace=ask.home, workflow_id=ask.home)],
        replies=[Reply(b"", "ended", "", b"")],
        rows=fold(change),
    )


def fold(change: Change) -> dict[bytes, bytes | None]:
    """Fold a partition's own facts."""
    written: dict[bytes, bytes | None] = {}
    for fact in change.facts:
        assert isinstance(fact, StateFact), f"expected PartitionSwept, found {fact}"
        written[swept_key(_decode(fact.body).namespace_id)] = b""
    return written


def swept_in(rows: Rows) -> set[str]:
    """Return the namespaces of which nothing is left, by id."""
    return {key[len(SWEPT) :].decode() for key, _ in rows.scan(SWEPT)}
