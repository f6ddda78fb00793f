"""COMMANDS: everything one may ask of a namespace, and the function that decides it.

    none --register--> registered --deprecate--> deprecated --delete--> deleted --> erased

A namespace is decided by the partition of the key of the name it was registered under, like a
workflow of that name in itself. Its record travels as a whole; the highest version wins.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from schemas.errors import AlreadyExists, InvalidArgument, NamespaceAlreadyExists, NotFound
from schemas.temporal import enums, operator, service
from topology.decision import Ask, Decision, Rows
from topology.namespace import archival, deletion, record, update
from topology.namespace.archival import Archivals
from topology.namespace.record import NamespaceChanged, known, published, replaced

SYSTEM: Final = "temporal-system"
_SYSTEM_ID: Final = "32049b68-7872-4094-8e63-d0dd59896a83"
_State = enums.NamespaceState

fold = record.fold


class Moment(msgspec.Struct, frozen=True):
    """What a namespace command is decided with, besides the rows."""

    now: int
    seed: bytes
    archivals: Archivals
    retention_min: int  # ns


def decide(ask: Ask, rows: Rows, moment: Moment) -> Decision:
    """Decide a namespace command; raises Rejected."""
    return COMMANDS[ask.method](ask, rows, moment)


def register(ask: Ask, rows: Rows, moment: Moment) -> Decision:
    """RegisterNamespace: the name must be free."""
    request: service.RegisterNamespaceRequest = ask.request
    retention = update.retention_of(
        request.workflow_execution_retention_period, moment.retention_min
    )
    if rows.get(record.key_of(request.namespace)) is not None:
        raise NamespaceAlreadyExists
    archived = moment.archivals
    histories = archival.registered(
        request.history_archival_state, request.history_archival_uri, archived.history
    )
    visibility = archival.registered(
        request.visibility_archival_state, request.visibility_archival_uri, archived.visibility
    )
    made = NamespaceChanged(
        id=_SYSTEM_ID if request.namespace == SYSTEM else _new_id(moment.seed),
        name=request.namespace,
        version=1,
        state=_State.NAMESPACE_STATE_REGISTERED,
        retention=retention,
        description=request.description,
        owner_email=request.owner_email,
        custom_data=dict(request.data),
        registered_at=moment.now,
        home=request.namespace,
        history_archival_state=histories.state,
        history_archival_uri=histories.uri,
        visibility_archival_state=visibility.state,
        visibility_archival_uri=visibility.uri,
    )
    body = service.RegisterNamespaceResponse().SerializeToString()
    return published(ask, rows, made, body=body)


def _new_id(seed: bytes) -> str:
    digest = hashlib.blake2b(seed, digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))


def change(ask: Ask, rows: Rows, moment: Moment) -> Decision:
    """UpdateNamespace."""
    held = known(ask, rows)
    changes = update.Changes(held, moment.now, moment.archivals, moment.retention_min)
    fields = changes.of(ask.request)
    if fields.get("state") == _State.NAMESPACE_STATE_DELETED:
        return deletion.delete(ask, rows, **fields)
    return replaced(ask, rows, held, **fields)


def deprecate(ask: Ask, rows: Rows, _moment: Moment) -> Decision:
    """DeprecateNamespace: it takes no new workflows."""
    return replaced(ask, rows, known(ask, rows), state=_State.NAMESPACE_STATE_DEPRECATED)


def delete(ask: Ask, rows: Rows, _moment: Moment) -> Decision:
    """DeleteNamespace: its name is free at once, what is in it goes in the background."""
    if ask.workflow_id == SYSTEM:
        raise InvalidArgument("Unable to delete system namespace.")
    return deletion.delete(ask, rows)


def note_swept(ask: Ask, rows: Rows, _moment: Moment) -> Decision:
    """NamespaceSwept: one more partition has nothing left of a deleted namespace."""
    return deletion.note_swept(ask, rows)


def add_search_attributes(ask: Ask, rows: Rows, _moment: Moment) -> Decision:
    """AddSearchAttributes; the names are checked already, what is there alike is there."""
    request: operator.AddSearchAttributesRequest = ask.request
    found = known(ask, rows)
    held = found.search_attributes
    for name, value_type in request.search_attributes.items():
        if held.get(name, value_type) != value_type:
            raise AlreadyExists(f"Search attribute {name} already exists.")
    added = dict(request.search_attributes)
    return replaced(ask, rows, found, search_attributes={**held, **added})


def remove_search_attributes(ask: Ask, rows: Rows, _moment: Moment) -> Decision:
    """RemoveSearchAttributes; what runs already have of them stays with them."""
    request: operator.RemoveSearchAttributesRequest = ask.request
    found = known(ask, rows)
    held = dict(found.search_attributes)
    for name in request.search_attributes:
        if held.pop(name, None) is None:
            raise NotFound(f"Search attribute {name} doesn't exist.")
    return replaced(ask, rows, found, search_attributes=held)


Command = Callable[[Ask, Rows, Moment], Decision]

COMMANDS: Mapping[str, Command] = {
    "RegisterNamespace": register,
    "UpdateNamespace": change,
    "DeprecateNamespace": deprecate,
    "DeleteNamespace": delete,
    "NamespaceSwept": note_swept,
    "AddSearchAttributes": add_search_attributes,
    "RemoveSearchAttributes": remove_search_attributes,
}
