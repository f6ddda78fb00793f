"""Namespace: none --register--> registered; search attributes are added to it and removed.

A namespace is decided by the partition of the key of the name it was registered under, like a
workflow of that name in itself. Its record travels as a whole; the highest version wins.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping

import msgspec

from schemas.errors import (
    AlreadyExists,
    InvalidArgument,
    NamespaceAlreadyExists,
    NamespaceNotFound,
    NotFound,
)
from schemas.instants import HOUR, span_of
from schemas.rows import pack, unpacker
from schemas.temporal import enums, operator, service
from topology.decision import Ask, Change, Decision, Reply, Rows, StateFact
from topology.effects import ProjectNamespace
from topology.namespace import archival
from topology.namespace.archival import Archivals

RETENTION_MIN = HOUR

Written = dict[bytes, bytes | None]


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


_unpack = unpacker(NamespaceChanged)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(NamespaceChanged).decode


class Moment(msgspec.Struct, frozen=True):
    """What a namespace command is decided with, besides the rows."""

    now: int
    seed: bytes
    archivals: Archivals


def decide(ask: Ask, rows: Rows, moment: Moment) -> Decision:
    """Decide a namespace command; raises Rejected."""
    return COMMANDS[ask.method](ask, rows, moment)


def register(ask: Ask, rows: Rows, moment: Moment) -> Decision:
    """RegisterNamespace: the name must be free."""
    request: service.RegisterNamespaceRequest = ask.request
    retention = span_of(request.workflow_execution_retention_period)
    if retention < RETENTION_MIN:
        raise InvalidArgument("A valid retention period is not set on request.")
    if rows.get(_key(request.namespace)) is not None:
        raise NamespaceAlreadyExists
    archived = moment.archivals
    histories = archival.registered(
        request.history_archival_state, request.history_archival_uri, archived.history
    )
    records = archival.registered(
        request.visibility_archival_state, request.visibility_archival_uri, archived.visibility
    )
    digest = hashlib.blake2b(moment.seed, digest_size=16).digest()
    changed = NamespaceChanged(
        id=str(uuid.UUID(bytes=digest, version=4)),
        name=request.namespace,
        version=1,
        state=enums.NamespaceState.NAMESPACE_STATE_REGISTERED,
        retention=retention,
        description=request.description,
        owner_email=request.owner_email,
        custom_data=dict(request.data),
        registered_at=moment.now,
        home=request.namespace,
        history_archival_state=histories.state,
        history_archival_uri=histories.uri,
        visibility_archival_state=records.state,
        visibility_archival_uri=records.uri,
    )
    fact = StateFact("NamespaceChanged", _encode(changed))
    change = Change("namespace", changed.id, changed.name, "", [fact])
    body = service.RegisterNamespaceResponse().SerializeToString()
    return Decision(
        changes=[change],
        effects=[ProjectNamespace(msgspec.structs.asdict(changed))],
        replies=[Reply(ask.command_id, "done", "", body)],
        rows={_key(changed.name): pack(changed)},
    )


def add_search_attributes(ask: Ask, rows: Rows, _moment: Moment) -> Decision:
    """AddSearchAttributes; the names are checked already, what is there alike is there."""
    request: operator.AddSearchAttributesRequest = ask.request
    known = _known(ask, rows)
    held = known.search_attributes
    for name, value_type in request.search_attributes.items():
        if held.get(name, value_type) != value_type:
            raise AlreadyExists(f"Search attribute {name} already exists.")
    added = dict(request.search_attributes)
    return _changed(ask, known, search_attributes={**held, **added})


def remove_search_attributes(ask: Ask, rows: Rows, _moment: Moment) -> Decision:
    """RemoveSearchAttributes; what runs already have of them stays with them."""
    request: operator.RemoveSearchAttributesRequest = ask.request
    known = _known(ask, rows)
    held = dict(known.search_attributes)
    for name in request.search_attributes:
        if held.pop(name, None) is None:
            raise NotFound(f"Search attribute {name} doesn't exist.")
    return _changed(ask, known, search_attributes=held)


def _known(ask: Ask, rows: Rows) -> NamespaceChanged:
    row = rows.get(_key(ask.workflow_id))
    if row is None:
        raise NamespaceNotFound(ask.workflow_id)
    return _unpack(row)


def _changed(ask: Ask, known: NamespaceChanged, **fields: object) -> Decision:
    changed = msgspec.structs.replace(known, version=known.version + 1, **fields)
    change = Change(
        "namespace", changed.id, changed.name, "", [StateFact("NamespaceChanged", _encode(changed))]
    )
    return Decision(
        changes=[change],
        effects=[ProjectNamespace(msgspec.structs.asdict(changed))],
        replies=[Reply(ask.command_id, "done", "", b"")],
        rows={_key(changed.home): pack(changed)},
    )


def fold(change: Change, _rows: Rows) -> Written:
    """Fold the facts of a namespace: its row is its newest record."""
    written: Written = {}
    for fact in change.facts:
        assert isinstance(fact, StateFact), f"expected NamespaceChanged, found {fact}"
        changed = _decode(fact.body)
        written[_key(changed.home)] = pack(changed)
    return written


def _key(name: str) -> bytes:
    return b"n" + name.encode()


Command = Callable[[Ask, Rows, Moment], Decision]

COMMANDS: Mapping[str, Command] = {
    "RegisterNamespace": register,
    "AddSearchAttributes": add_search_attributes,
    "RemoveSearchAttributes": remove_search_attributes,
}
