"""What Kafka clients ask on `commands`: whose it is, how repeats are known, where replies go.

Anybody may write there, so nothing about a record is taken for granted. A record on a partition
that is not its key's is carried to the right one as a forward, with the place where it stood (L11).
"""

import hashlib
from typing import Any, Final, NamedTuple

import msgspec

from schemas.codec import COMMAND, REPLY, Fields
from schemas.errors import Code, Internal, ServiceError
from schemas.ids import workflow_key
from topology import topics
from topology.effects import Forward

CARRIED: Final = "CarriedCommand"
"""Method of a forward that carries a command of a client."""
REFUSED: Final = "refused"

OURS: Final = frozenset(each.name for each in topics.TOPICS) - {topics.REPLIES.name}


class Place(NamedTuple):
    """Where a record of `commands` stands."""

    partition: int
    offset: int


class Asked(NamedTuple):
    """A command of a client."""

    fields: dict[str, Any]  # of millrace.Command
    size_bytes: int
    place: Place

    @property
    def reply_topic(self) -> str:
        """Where the client wants its reply; empty: none."""
        return self.fields["reply_topic"] or ""


class Outgoing(NamedTuple):
    """A reply, to be sent once its command is accepted (L9, L17)."""

    topic: str
    key: bytes
    value: bytes


def client_id(fields: dict[str, Any]) -> bytes:
    """Return the id of a client's command (L12); without a request id none is kept."""
    if not fields["request_id"]:
        return b""
    names = [fields[name] for name in ("namespace", "workflow_id", "request_id")]
    packed = msgspec.msgpack.encode([fields["body"][0], *names])
    return hashlib.blake2b(packed, digest_size=16).digest()


def nonce_of(place: Place, topic_id: str) -> str:
    """Return a request id for a command that has none: another record, another id."""
    return f"{topic_id}/{place.partition}/{place.offset}"


def reply_topic_fault(asked: Asked, prefix: str) -> str:
    """Return what is wrong with the reply topic that a client names, or nothing (L17)."""
    topic = asked.reply_topic
    if topic and (topic in OURS or not topic.startswith(prefix)):
        return f"expected a reply topic that begins with {prefix!r}, found {topic!r}"
    return ""


# -- carried to the right partition (L11)


def carry(fields: dict[str, Any], value: bytes, place: Place) -> Forward:
    """Return the effect that carries a record to the partition of its workflow id."""
    packed = msgspec.msgpack.encode((*place, value))
    return Forward(fields["namespace"], fields["workflow_id"], CARRIED, packed)


def carried(request: bytes) -> Asked:
    """Read a carried record."""
    partition, offset, value = msgspec.msgpack.decode(request, type=tuple[int, int, bytes])
    return Asked(COMMAND.decode(value), len(value), Place(partition, offset))


# -- replies


def reply(asked: Asked, outcome: str, run_id: str, error: ServiceError | None) -> Outgoing:
    """Return the reply to a command; `error`: what it was refused with."""
    given = asked.fields
    fields: Fields = {
        "request_id": given["request_id"],
        "namespace": given["namespace"],
        "workflow_id": given["workflow_id"],
        "run_id": run_id,
        "outcome": outcome.partition(":")[0],
        "code": int(Code.OK if error is None else error.code),
        "message": "" if error is None else error.message,
        "topic": topics.COMMANDS.name,
        "partition": asked.place.partition,
        "offset": asked.place.offset,
    }
    key = workflow_key(given["namespace"], given["workflow_id"])
    return Outgoing(asked.reply_topic, key, REPLY.encode(fields))


def bug() -> Internal:
    """Return what a client hears of a bug."""
    return Internal("the request met a bug; it is in the dead letters")
