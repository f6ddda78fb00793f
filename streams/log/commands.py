"""A record of a command topic becomes asks: decoding, whose it is, which namespace it names.

`commands-internal` is written by nodes only: what cannot be read there is a fault (L7). On
`commands` anybody may write: what cannot be read there is a dead letter (L13), and never stops the
partition. Nothing is decided here.
"""

from collections.abc import Awaitable
from typing import Any, NamedTuple, Protocol, cast

import msgspec

from schemas.codec import COMMAND, Undecodable
from schemas.errors import InvalidArgument, NamespaceNotFound
from schemas.ids import workflow_partition
from streams.log.clients import CARRIED, Asked, Place, carried, client_id, nonce_of
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
        """Return the namespace that has a name."""
        ...

    def by_id(self, namespace_id: str) -> Namespace | None:
        """Return the namespace of an id, also a deleted one."""
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


class ParseClient(Protocol):
    """Reads a command of a Kafka client."""

    def __call__(
        self, fields: dict[str, Any], namespace: Namespace, /, *, size_bytes: int, nonce: str
    ) -> tuple[str, object]:
        """Return the method and the request, held to the frontend's rules; raises Rejected."""
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
    asked: Asked | None = None
    """What a Kafka client asks."""
    is_misrouted: bool = False
    """On a partition that is not its workflow id's (L11)."""


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
    arrived = Arrived(body["sender"], body["counter"], body["event"])
    if body["method"] == CARRIED:
        asked = carried(body["request"])
        return Command(INTERNAL, record, (_asked(asked.fields),), forward=arrived, asked=asked)
    names = (fields["namespace"], fields["workflow_id"])
    wanted = Wanted(b"", *names, body["method"], body["request"])
    return Command(INTERNAL, record, (wanted,), forward=arrived)


def _outside(record: Record, fields: dict[str, Any], partition: int, partitions: int) -> Command:
    if fields["body"][0] in (_HEARTBEATS, _FORWARD):
        raise Poison("expected a command of a client, found what only nodes may say (L11)")
    home = workflow_partition(fields["namespace"], fields["workflow_id"], partitions)
    asked = Asked(fields, len(record.value or b""), Place(partition, record.offset))
    return Command(OUTSIDE, record, (_asked(fields),), asked=asked, is_misrouted=home != partition)


def _asked(fields: dict[str, Any]) -> Wanted:
    names = (fields["namespace"], fields["workflow_id"])
    return Wanted(client_id(fields), *names, fields["body"][0], b"")


def _wanted(fields: dict[str, Any], command_id: bytes) -> Wanted:
    kind, body = fields["body"]
    if kind != _GRPC:
        raise Poison(f"expected what nodes say, found {kind}; clients write to `{OUTSIDE}` (L11)")
    names = (fields["namespace"], fields["workflow_id"])
    return Wanted(command_id, *names, body["method"], body["request"])


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


def awaits(command: Command, namespaces: Namespaces, *, is_fresh: bool) -> Awaitable[None] | None:
    """Return what must be read of `namespaces` before a command is decided (N1), if anything.

    `is_fresh`: they were read to their end after the command arrived.
    """
    if command.namespaces_position > namespaces.position:
        return namespaces.wait_for(command.namespaces_position)
    for wanted in command.wanted:
        is_known = wanted.method in NAMESPACE_COMMANDS or namespaces.by_name(wanted.namespace)
        if not is_known and not is_fresh:
            return namespaces.read_to_end()
    return None


def ask_of(command: Command, wanted: Wanted, namespaces: Namespaces, parse: Parse) -> Ask:
    """Return the ask of a command; raises Rejected."""
    if wanted.method in NAMESPACE_COMMANDS:
        namespace = Namespace("", wanted.namespace, 0, 0)
    else:
        namespace = _namespace(wanted.namespace, namespaces)
    return ask_in(namespace, command, wanted, parse)


def ask_in(namespace: Namespace, command: Command, wanted: Wanted, parse: Parse) -> Ask:
    """Return the ask of a command in a namespace."""
    return Ask(
        wanted.method,
        namespace,
        wanted.workflow_id,
        parse(wanted.method, wanted.request),
        wanted.command_id,
        command.principal,
    )


def client_ask(
    command: Command, namespaces: Namespaces, parse: ParseClient, *, topic_id: str
) -> Ask:
    """Return the ask of a Kafka client's command; raises Rejected."""
    wanted, asked = command.wanted[0], command.asked
    assert asked is not None, "expected a command of a client"
    if not wanted.namespace:
        raise InvalidArgument("Namespace is empty.")
    namespace = _namespace(wanted.namespace, namespaces)
    method, request = parse(
        asked.fields,
        namespace,
        size_bytes=asked.size_bytes,
        nonce=nonce_of(asked.place, topic_id),
    )
    return Ask(method, namespace, wanted.workflow_id, request, wanted.command_id)


def _namespace(name: str, namespaces: Namespaces) -> Namespace:
    found = namespaces.by_name(name)
    if found is None:
        raise NamespaceNotFound(name)
    return found
