"""Namespace: none --register--> registered.

A namespace is decided by the partition of the key of the name it was registered under, like a
workflow of that name in itself. Its record travels as a whole; the highest version wins.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping

import msgspec

from schemas.errors import InvalidArgument, NamespaceAlreadyExists
from schemas.instants import HOUR, span_of
from schemas.rows import pack
from schemas.temporal import enums, service
from topology.decision import Ask, Change, Decision, Reply, Rows, StateFact
from topology.effects import ProjectNamespace

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


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(NamespaceChanged).decode


def decide(ask: Ask, rows: Rows, *, now: int, seed: bytes) -> Decision:
    """Decide a namespace command; raises Rejected."""
    return COMMANDS[ask.method](ask, rows, now, seed)


def register(ask: Ask, rows: Rows, now: int, seed: bytes) -> Decision:
    """RegisterNamespace: the name must be free."""
    request: service.RegisterNamespaceRequest = ask.request
    retention = span_of(request.workflow_execution_retention_period)
    if retention < RETENTION_MIN:
        raise InvalidArgument("A valid retention period is not set on request.")
    if rows.get(_key(request.namespace)) is not None:
        raise NamespaceAlreadyExists
    digest = hashlib.blake2b(seed, digest_size=16).digest()
    changed = NamespaceChanged(
        id=str(uuid.UUID(bytes=digest, version=4)),
        name=request.namespace,
        version=1,
        state=enums.NamespaceState.NAMESPACE_STATE_REGISTERED,
        retention=retention,
        description=request.description,
        owner_email=request.owner_email,
        custom_data=dict(request.data),
        registered_at=now,
        home=request.namespace,
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


Command = Callable[[Ask, Rows, int, bytes], Decision]

COMMANDS: Mapping[str, Command] = {"RegisterNamespace": register}
