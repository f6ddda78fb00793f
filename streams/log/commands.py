"""A record of a command topic becomes asks: decoding, whose it is, which namespace it names.

`commands-internal` is written by nodes only: what cannot be read there is a fault (L7). On
`commands` anybody may write: what cannot be read there is a dead letter (L13), and never stops the
partition. Nothing is decided here.
"""

import hashlib
from collections.abc import Awaitable
from typing import Any, NamedTuple, Protocol, cast

import msgspec

from schemas.codec import COMMAND, Undecodable
from schemas.errors import NamespaceNotFound, Unimplemented
from schemas.ids import workflow_partition
from streams.log.faults import LogFault
from streams.log.ports import Record
from streams.log.position import Position
from topology import topics
from topology.decision import Ask, Namespace
from topology.namespace.decide import COMMANDS as NAMESPACE_COMMANDS

INTERNAL = topics.COMMANDS_INTERNAL.name
OUTSIDE = topics.COMMANDS.name
TOPICS = (INTERNAL, OUTSIDE)
_GRPC = "millrace.GrpcRequest"
_HEARTBEATS = "millrace.Heartbeats"
_FORWARD = "millrace.Forward"


class Namespaces(Protocol):
    """What the engine asks of the projection of `namespaces` (N1)."""

    @property
    def position(self) -> int:
        """The offset up to which it is read."""
        ...

    def by_name(self, name: str) -> Namespace | None:
        """Return a namespace."""
        ...

    async def read_to_end(self) -> None:
        """Read what is there now."""
        ...

    async def wait_for(self, position: int) -> None:
        """Wait until it is read up to a position."""
        ...


class Parse(Protocol):
    """Reads the request of a command."""

    def __call__(self, method: str, request: bytes) -> object:
        """Return the request message; raises Unimplemented or InvalidArgument."""
        ...


class Poison(Exception):
    """A record of `commands` that is no command, or that is in the wrong place (L13)."""


class Wanted(NamedTuple):
    """One thing that a command asks for."""

    command_id: bytes
    namespace: str
    workflow_id: str
    method: str
    request: bytes
    is_typed: bool = False
    """A record for what is written by hand, not a request that is passed through."""


class Arrived(NamedTuple):
    """A forward of another partition, or of our own (L16)."""

    sender: str
    counter: int
    event: bytes


class Command(msgspec.Struct, frozen=True):
    """A record of a command topic, read."""

    topic: str
    record: Record
    wanted: tuple[Wanted, ...]
    principal: str = ""
    claim: tuple[int, bytes] | None = None
    """The claim under which a node appended it (L12)."""
    namespaces_position: int = 0
    is_gathered: bool = False
    """Heartbeats of several workflows, one transition (T3)."""
    forward: Arrived | None = None


def read(topic: str, record: Record, *, partition: int, partitions: int) -> Command:
    """Read a record; raises Poison for one of `commands`, LogFault for one of nodes."""
    try:
        fields = cast("dict[str, Any]", COMMAND.decode(record.value or b""))
    except Undecodable as error:
        raise _unreadable(topic, partition, record, str(error)) from error
    if topic == INTERNAL:
        return _internal(record, fields)
    return _outside(record, fields, partition, partitions)


def _internal(record: Record, fields: dict[str, Any]) -> Command:
    kind, body = fields["body"]
    origin = fields["origin"]
    claim, seen = None, 0
    if origin is not None:
        claim = (origin[1]["epoch"], origin[1]["incarnation"])
        seen = origin[1]["namespaces_position"]
    if kind == _HEARTBEATS:
        wanted = tuple(Wanted(*beat.values()) for beat in body["beats"])
    elif kind == _FORWARD:
        return _forwarded(record, fields, body)
    else:
        wanted = (_wanted(fields, fields["command_id"]),)
    return Command(
        INTERNAL, record, wanted, fields["principal"] or "", claim, seen, kind == _HEARTBEATS
    )


def _forwarded(record: Record, fields: dict[str, Any], body: dict[str, Any]) -> Command:
    names = (fields["namespace"], fields["workflow_id"])
    wanted = Wanted(b"", *names, body["method"], body["request"])
    arrived = Arrived(body["sender"], body["counter"], body["event"])
    return Command(INTERNAL, record, (wanted,), forward=arrived)


def _outside(record: Record, fields: dict[str, Any], partition: int, partitions: int) -> Command:
    if fields["body"][0] in (_HEARTBEATS, _FORWARD):
        raise Poison("expected a command of a client, found what only nodes may say (L11)")
    home = workflow_partition(fields["namespace"], fields["workflow_id"], partitions)
    if home != partition:
        raise Poison(f"expected a command of partition {partition}, found one of {home} (L11)")
    return Command(OUTSIDE, record, (_wanted(fields, _client_id(fields)),))


def _wanted(fields: dict[str, Any], command_id: bytes) -> Wanted:
    kind, body = fields["body"]
    is_grpc = kind == _GRPC
    method = body["method"] if is_grpc else kind.removeprefix("millrace.")
    request = body["request"] if is_grpc else b""
    names = (fields["namespace"], fields["workflow_id"])
    return Wanted(command_id, *names, method, request, is_typed=not is_grpc)


def _client_id(fields: dict[str, Any]) -> bytes:
    """Return the id of a client's command (L12); without a request id none is kept."""
    if not fields["request_id"]:
        return b""
    names = [fields[name] for name in ("namespace", "workflow_id", "request_id")]
    packed = msgspec.msgpack.encode([fields["body"][0], *names])
    return hashlib.blake2b(packed, digest_size=16).digest()


def _unreadable(topic: str, partition: int, record: Record, found: str) -> Exception:
    sentence = f"{topic}-{partition}: expected a command at offset {record.offset}: {found}"
    return LogFault(sentence) if topic == INTERNAL else Poison(sentence)


# -- what a command needs before it is decided


def is_late(command: Command, position: Position) -> bool:
    """Whether it was appended under an older claim and stands behind the newest one (L12)."""
    if command.claim is None or command.claim == (position.epoch, position.incarnation):
        return False
    end = position.command_ends.get(command.topic)
    return end is not None and command.record.offset > end.position


def awaits(command: Command, namespaces: Namespaces) -> Awaitable[None] | None:
    """Return what must be read of `namespaces` before a command is decided (N1), if anything."""
    if command.namespaces_position > namespaces.position:
        return namespaces.wait_for(command.namespaces_position)
    for wanted in command.wanted:
        is_known = wanted.method in NAMESPACE_COMMANDS or namespaces.by_name(wanted.namespace)
        if not is_known:
            return namespaces.read_to_end()
    return None


def ask_of(command: Command, wanted: Wanted, namespaces: Namespaces, parse: Parse) -> Ask:
    """Return the ask of a command; raises Rejected."""
    if wanted.is_typed:
        raise Unimplemented(f"{wanted.method} on `{command.topic}` is not served yet")
    if wanted.method in NAMESPACE_COMMANDS:
        namespace = Namespace("", wanted.namespace, 0, 0)
    else:
        found = namespaces.by_name(wanted.namespace)
        if found is None:
            raise NamespaceNotFound(wanted.namespace)
        namespace = found
    return Ask(
        wanted.method,
        namespace,
        wanted.workflow_id,
        parse(wanted.method, wanted.request),
        wanted.command_id,
        command.principal,
    )
