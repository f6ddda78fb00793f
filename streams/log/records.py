"""Claims and transitions as bytes, and back: the two kinds of record on `events`.

Writing takes the core's structs, reading gives them back to the fold. What they mean is decided
elsewhere: `accept.py`, `folded.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import msgspec

from schemas import codec
from schemas.codec import Undecodable
from streams.log import counters
from streams.log.faults import LogFault
from streams.log.position import Source
from topology.decision import FOLD_VERSION, Change, Fact, HistoryFact, StateFact

_HISTORY = "millrace.HistoryFact"
_STATE = "millrace.StateFact"
_FORWARD = "forward"


class Answer(NamedTuple):
    """How a command ended, by name (L12)."""

    command_id: bytes
    outcome: str
    run_id: str


class Claim(msgspec.Struct, frozen=True):
    """An owner takes the partition."""

    epoch: int
    incarnation: bytes
    seq: int
    generation: int
    partitions: int
    command_ends: dict[str, Source]
    sources: dict[str, Source]
    node: str
    address: str
    claimed_at: int


class Transition(msgspec.Struct):
    """What one command caused, as read from the log."""

    epoch: int
    incarnation: bytes
    seq: int
    sources: dict[str, Source]
    performed: int
    decided_at: int
    changes: Sequence[Change]
    effects: Sequence[bytes]
    forwards: Sequence[bytes]
    """Those of the effects that are forwards."""
    answers: Sequence[Answer]


class Written(NamedTuple):
    """What a transition is written from, but for the claim it stands under."""

    seq: int
    sources: Mapping[str, Source]
    performed: int
    decided_at: int
    changes: Sequence[Change]
    effects: Sequence[dict[str, object]]
    answers: Sequence[Answer]


def encode_claim(claim: Claim) -> bytes:
    """Return the bytes of a claim."""
    fields = msgspec.structs.asdict(claim)
    fields["command_ends"] = _source_fields(claim.command_ends)
    fields["sources"] = _source_fields(claim.sources)
    fields["fold_version"] = FOLD_VERSION
    return codec.CLAIM.encode(fields)


def encode_transition(epoch: int, incarnation: bytes, written: Written) -> bytes:
    """Return the bytes of a transition under a claim."""
    return codec.TRANSITION.encode(
        {
            "epoch": epoch,
            "incarnation": incarnation,
            "seq": written.seq,
            "sources": _source_fields(written.sources),
            "performed": written.performed,
            "decided_at": written.decided_at,
            "fold_version": FOLD_VERSION,
            "data_key_id": None,
            "changes": [_change_fields(change) for change in written.changes],
            "effects": written.effects,
            "answers": [
                {"command_id": command_id, "outcome": outcome, "run_id": run_id}
                for command_id, outcome, run_id in written.answers
            ],
            "payloads": [],
        }
    )


def decode(value: bytes | None) -> Claim | Transition:
    """Read a record of `events`; raises LogFault for anything else, and for a later version."""
    if value is None:
        raise LogFault("expected a claim or a transition, found an empty record")
    try:
        kind, read = codec.decode(value)
    except Undecodable as error:
        raise LogFault(f"expected a claim or a transition: {error}") from error
    fields = cast("dict[str, Any]", read)
    if kind is codec.TRANSITION:
        _check_version(fields["fold_version"])
        return _transition(fields)
    if kind is codec.CLAIM:
        _check_version(fields["fold_version"])
        return _claim(fields)
    raise LogFault(f"expected a claim or a transition, found a {kind.name} record")


def _check_version(found: int) -> None:
    if found > FOLD_VERSION:
        raise LogFault(
            f"expected fold version {FOLD_VERSION} or lower, found {found}: "
            "a newer release has written this log"
        )


def _transition(fields: dict[str, Any]) -> Transition:
    return Transition(
        fields["epoch"],
        fields["incarnation"],
        fields["seq"],
        _sources(fields["sources"]),
        fields["performed"],
        fields["decided_at"],
        [_change(each) for each in fields["changes"]],
        [each["body"] for each in fields["effects"]],
        [each["body"] for each in fields["effects"] if each["kind"] == _FORWARD],
        [Answer(*each.values()) for each in fields["answers"]],
    )


def _claim(fields: dict[str, Any]) -> Claim:
    return Claim(
        epoch=fields["epoch"],
        incarnation=fields["incarnation"],
        seq=fields["seq"],
        generation=fields["generation"],
        partitions=fields["partitions"],
        command_ends=_sources(fields["command_ends"]),
        sources=_sources(fields["sources"]),
        node=fields["node"],
        address=fields["address"],
        claimed_at=fields["claimed_at"],
    )


def _source_fields(sources: Mapping[str, Source]) -> list[dict[str, object]]:
    return [_one_source_fields(name, source) for name, source in sources.items()]


def _one_source_fields(name: str, source: Source) -> dict[str, object]:
    sender = counters.sender_of(name)
    topic = counters.TOPIC if sender else name
    fields = {"topic_id": source.topic_id, "position": source.position}
    return {"topic": topic, "sender": sender, **fields}


def _sources(fields: list[dict[str, Any]]) -> dict[str, Source]:
    return {
        counters.source_of(each["sender"]) if each["sender"] else each["topic"]: Source(
            each["topic_id"], each["position"]
        )
        for each in fields
    }


def _change_fields(change: Change) -> dict[str, object]:
    return {
        "entity": change.entity,
        "namespace_id": change.namespace_id,
        "id": change.id,
        "run_id": change.run_id,
        "facts": [_fact_fields(fact) for fact in change.facts],
    }


def _fact_fields(fact: Fact) -> tuple[str, dict[str, object]]:
    if isinstance(fact, HistoryFact):
        return _HISTORY, {
            "event_id": fact.event_id,
            "event_type": fact.event_type,
            "event_time": fact.event_time,
            "body": fact.body,
        }
    return _STATE, {"name": fact.name, "body": fact.body}


def _change(fields: dict[str, Any]) -> Change:
    return Change(
        fields["entity"],
        fields["namespace_id"],
        fields["id"],
        fields["run_id"],
        [_fact(*fact) for fact in fields["facts"]],
    )


def _fact(name: Literal["millrace.HistoryFact", "millrace.StateFact"], read: Any) -> Fact:
    if name == _HISTORY:
        return HistoryFact(read["event_id"], read["event_type"], read["event_time"], read["body"])
    return StateFact(read["name"], read["body"])
