"""The record of a namespace: one fact, one row at the partition of its name, one Avro record.

Its row has the key of the name it was registered under, its home. A deleted namespace leaves that
key to the next of its name; until all of it is erased, its record has a row under its id.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from schemas.errors import NamespaceNotFound
from schemas.rows import pack, unpacker
from schemas.temporal import enums
from topology.decision import Ask, Change, Decision, Fact, Reply, ReplyBody, Rows, StateFact
from topology.effects import ProjectNamespace
from topology.namespace.archival import Archival

Written = dict[bytes, bytes | None]

_DELETED: Final = int(enums.NamespaceState.NAMESPACE_STATE_DELETED)
_ID_BYTES: Final = 36


class NamespaceChanged(msgspec.Struct, frozen=True, array_like=True):
    """The one fact of a namespace: its whole record at a new version. Also its row."""

    id: str
    name: str
    version: int
    state: int
    retention: int
    description: str
    owner_email: str
    custom_data: dict[str, str]
    registered_at: int
    home: str
    search_attributes: dict[str, int] = {}  # name to IndexedValueType
    history_archival_state: int = 0
    history_archival_uri: str = ""
    visibility_archival_state: int = 0
    visibility_archival_uri: str = ""
    bad_binaries: dict[str, bytes] = {}  # checksum to serialized BadBinaryInfo
    search_attribute_aliases: dict[str, str] = {}
    is_erased: bool = False  # it was deleted, and nothing of it is left

    def erased(self) -> "NamespaceChanged":
        """Return its last record."""
        return replace(self, version=self.version + 1, is_erased=True)

    @property
    def history_archival(self) -> Archival:
        """How histories are archived."""
        return Archival(self.history_archival_state or Archival().state, self.history_archival_uri)

    @property
    def visibility_archival(self) -> Archival:
        """How visibility records are archived."""
        state = self.visibility_archival_state or Archival().state
        return Archival(state, self.visibility_archival_uri)


class PartSwept(msgspec.Struct, frozen=True, array_like=True):
    """A deleted namespace has nothing left in one of so many partitions."""

    namespace_id: str
    partition: int
    partitions: int


class Deleting(msgspec.Struct, frozen=True, array_like=True):
    """The row of a deleted namespace: its record, and which partitions have nothing left of it."""

    record: NamespaceChanged
    swept: tuple[int, ...] = ()


unpack = unpacker(NamespaceChanged)
unpack_deleting = unpacker(Deleting)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(NamespaceChanged).decode
_decode_swept = msgspec.msgpack.Decoder(PartSwept).decode


def key_of(name: str) -> bytes:
    """Return the key of the namespace that was registered under a name."""
    return b"n" + name.encode()


def deleting_key(namespace_id: str) -> bytes:
    """Return the key of a deleted namespace."""
    return b"o" + namespace_id.encode()


def known(ask: Ask, rows: Rows) -> NamespaceChanged:
    """Return the namespace that was registered under the name asked; raises NamespaceNotFound."""
    row = rows.get(key_of(ask.workflow_id))
    if row is None:
        raise NamespaceNotFound(ask.workflow_id)
    return unpack(row)


def record_fact(record: NamespaceChanged) -> Fact:
    """Return the fact that a namespace has a record."""
    return StateFact(NamespaceChanged.__name__, _encode(record))


def swept_fact(swept: PartSwept) -> Fact:
    """Return the fact that a partition has nothing left of a namespace."""
    return StateFact(PartSwept.__name__, _encode(swept))


def published(
    ask: Ask, rows: Rows, record: NamespaceChanged, *, body: ReplyBody, before: Iterable[Fact] = ()
) -> Decision:
    """Return the decision that gives a namespace a new record, behind further facts of it."""
    facts = [*before, record_fact(record)]
    change = Change("namespace", record.id, record.name, "", facts)
    return Decision(
        changes=[change],
        effects=[ProjectNamespace(msgspec.structs.asdict(record))],
        replies=[Reply(ask.command_id, "done", "", body)],
        rows=fold(change, rows),
    )


def replaced(ask: Ask, rows: Rows, held: NamespaceChanged, **fields: object) -> Decision:
    """Return the decision that changes fields of a namespace; it answers with the new version."""
    record = replace(held, version=held.version + 1, **fields)
    return published(ask, rows, record, body=record.version.to_bytes(8))


def version_of(body: bytes) -> int:
    """Return the version that a change was answered with; 0: it is a repeat's answer."""
    return int.from_bytes(body)


def fold(change: Change, rows: Rows) -> Written:
    """Fold the facts of a namespace into its row."""
    written: Written = {}
    for fact in change.facts:
        assert isinstance(fact, StateFact), f"expected a fact of a namespace, found {fact}"
        if fact.name == PartSwept.__name__:
            _fold_swept(_decode_swept(fact.body), rows, written)
        else:
            _fold_record(_decode(fact.body), rows, written)
    return written


def _fold_record(record: NamespaceChanged, rows: Rows, written: Written) -> None:
    if record.state != _DELETED:
        written[key_of(record.home)] = pack(record)
    elif record.is_erased:
        written[deleting_key(record.id)] = None
    else:
        written[deleting_key(record.id)] = pack(Deleting(record))
        home = rows.get(key_of(record.home))
        if home is not None and unpack(home).id == record.id:
            written[key_of(record.home)] = None


def _fold_swept(swept: PartSwept, rows: Rows, written: Written) -> None:
    key = deleting_key(swept.namespace_id)
    row = rows.get(key)
    assert row is not None, f"expected a deleted namespace, found {swept}"
    deleting = unpack_deleting(row)
    parts: Iterable[int] = {*deleting.swept, swept.partition}
    written[key] = pack(replace(deleting, swept=tuple(sorted(parts))))
