"""A deleted namespace: its name is free at once, and every partition removes what it has of it.

    deleted --each partition is swept (`sweep.py`)--> erased: nobody sees it any more

Until then it is seen under another name.
"""

from typing import Final

from schemas.errors import Stale
from schemas.temporal import enums
from topology.decision import Ask, Change, Decision, Reply, Rows
from topology.forwards import NamespaceSwept
from topology.namespace.record import (
    PartSwept,
    deleting_key,
    fold,
    known,
    published,
    replaced,
    swept_fact,
    unpack_deleting,
)

_DELETED: Final = int(enums.NamespaceState.NAMESPACE_STATE_DELETED)
_SUFFIX_LENGTH: Final = 5


def delete(ask: Ask, rows: Rows, **fields: object) -> Decision:
    """Return the decision that deletes a namespace; the answer is its record's version."""
    held = known(ask, rows)
    name = f"{held.name}-deleted-{held.id[:_SUFFIX_LENGTH]}"
    return replaced(ask, rows, held, **{**fields, "state": _DELETED, "name": name})


def note_swept(ask: Ask, rows: Rows) -> Decision:
    """Return the decision that one more partition is swept; the last one erases the namespace."""
    request = ask.request
    assert isinstance(request, NamespaceSwept), f"expected a forward, found {request!r}"
    swept = PartSwept(request.namespace_id, request.partition, request.partitions)
    row = rows.get(deleting_key(swept.namespace_id))
    if row is None:
        raise Stale(f"expected namespace {swept.namespace_id} to be deleted, found it erased")
    deleting = unpack_deleting(row)
    record = deleting.record
    facts = [swept_fact(swept)]
    if len({*deleting.swept, swept.partition}) >= swept.partitions:
        erased = record.erased()
        return published(ask, rows, erased, body=b"", before=facts)
    change = Change("namespace", record.id, record.name, "", facts)
    return Decision([change], [], [Reply(ask.command_id, "done", "", b"")], fold(change, rows))
