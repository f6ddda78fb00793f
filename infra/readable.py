"""Records for people: commands and events as lines, dead letters as pages.

Pure but for what `Lines` remembers: the newest claim of each partition, which tells a zombie's
records from the owner's. Whoever begins to read in mid-log cannot know it before the next claim.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict

from schemas import event_types
from schemas.codec import CLAIM, COMMAND, DEAD_LETTER, REPLY, TRANSITION, Undecodable, decode
from schemas.temporal import history
from streams.kafka.spectator import Seen

_EVENT_NAMES = {
    number: name.title().replace("_", "")
    for name, number in vars(event_types).items()
    if isinstance(number, int)
}
_LONG = 300


class Wanted:
    """Which records are to be shown."""

    def __init__(self, *, namespace: str = "", workflow_id: str = "") -> None:
        self.namespace = namespace
        self.workflow_id = workflow_id

    def is_whole(self) -> bool:
        """Whether all are."""
        return not self.namespace and not self.workflow_id

    def names(self, namespace: str, workflow_id: str) -> bool:
        """Whether a command of these names is."""
        return self.namespace in ("", namespace) and self.workflow_id in ("", workflow_id)


class Lines:
    """Turns records into lines, in order."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._claims: dict[int, tuple[int, bytes]] = {}

    def of(self, seen: Seen) -> Iterator[str]:
        """Yield the lines of a record."""
        head = f"{_instant(seen.at_ms)} {seen.topic}-{seen.partition}@{seen.offset}"
        try:
            kind, fields = decode(seen.value or b"")
        except Undecodable as error:
            if self._wanted.is_whole():
                yield f"{head} not a record of ours: {error}"
            return
        told: dict[str, Any] = dict(fields)
        if kind is COMMAND:
            yield from self._command(head, told)
        elif kind is CLAIM:
            yield from self._claim(head, seen.partition, told)
        elif kind is TRANSITION:
            yield from self._transition(head, seen, told)
        elif kind is REPLY:
            yield from self._reply(head, told)

    def _command(self, head: str, told: Mapping[str, Any]) -> Iterator[str]:
        kind, body = told["body"]
        if kind == "millrace.Heartbeats":
            for beat in body["beats"]:
                if self._wanted.names(beat["namespace"], beat["workflow_id"]):
                    yield f"{head} {_names(beat)} {beat['method']}"
            return
        if self._wanted.names(told["namespace"], told["workflow_id"]):
            yield f"{head} {_names(told)} {_asked(kind, body)}"

    def _claim(self, head: str, partition: int, told: Mapping[str, Any]) -> Iterator[str]:
        known = self._claims.get(partition, (0, b""))
        is_newer = told["epoch"] > known[0]
        if is_newer:
            self._claims[partition] = (told["epoch"], told["incarnation"])
        if self._wanted.is_whole():
            verb = "claims" if is_newer else "claims in vain (ignored)"
            yield f"{head} {told['node']} {verb} the partition, epoch {told['epoch']}"

    def _transition(self, head: str, seen: Seen, told: Mapping[str, Any]) -> Iterator[str]:
        claim = (told["epoch"], told["incarnation"])
        is_ignored = self._claims.setdefault(seen.partition, claim) != claim
        mark = " (ignored: an older claim's)" if is_ignored else ""
        namespace = (seen.key or b"").decode(errors="replace").partition("/")[0]
        for change in told["changes"]:
            is_named = self._wanted.workflow_id in ("", change["id"])
            if not is_named or self._wanted.namespace not in ("", namespace):
                continue
            for name, fact in change["facts"]:
                what = _event(fact) if name == "millrace.HistoryFact" else f"({fact['name']})"
                yield f"{head} {change['id']} {what}{mark}"

    def _reply(self, head: str, told: Mapping[str, Any]) -> Iterator[str]:
        if self._wanted.names(told["namespace"], told["workflow_id"]):
            what = f"{told['outcome']} {told['run_id']} {told['message']}".strip()
            yield f"{head} {_names(told)} reply to {told['request_id']!r}: {what}"


def letter_line(seen: Seen) -> str:
    """Return a dead letter in one line."""
    told: dict[str, Any] = dict(DEAD_LETTER.decode(seen.value or b""))
    reason = str(told["reason"]).strip().splitlines() or [""]
    key = (told["key"] or b"").decode(errors="replace")
    where = f"{told['topic']}-{told['partition']}@{told['offset']}" if told["topic"] else "a timer"
    return f"{seen.offset:>6}  {_instant(told['at'] // 1_000_000)}  {where}  {key}  {reason[-1]}"


def letter_page(seen: Seen) -> str:
    """Return all of a dead letter."""
    told: dict[str, Any] = dict(DEAD_LETTER.decode(seen.value or b""))
    value = told["value"]
    lines = [
        f"number     {seen.offset}",
        f"at         {_instant(told['at'] // 1_000_000)}",
        f"stood at   {told['topic']}-{told['partition']}, offset {told['offset']}",
        f"key        {(told['key'] or b'').decode(errors='replace')}",
        f"value      {'none' if value is None else f'{len(value)} bytes'}",
    ]
    lines += [f"           {line}" for line in _shown(value)]
    return "\n".join([*lines, "reason", *(f"  {line}" for line in told["reason"].splitlines())])


def _shown(value: bytes | None) -> list[str]:
    """Return a value as what it is, or its bytes."""
    if not value:
        return []
    try:
        kind, told = decode(value)
    except Undecodable:
        return [_short(repr(value))]
    if kind is not COMMAND:
        return [f"a {kind.name} record"]
    fields: dict[str, Any] = dict(told)
    return [f"{_names(fields)} {_asked(*fields['body'])}"]


def _names(told: Mapping[str, Any]) -> str:
    return f"{told['namespace']}/{told['workflow_id']}"


def _asked(kind: str, body: Any) -> str:
    if kind == "millrace.GrpcRequest":
        return f"{body['method']} ({len(body['request'])} bytes)"
    if kind == "millrace.Forward":
        return f"{body['method']} (forward {body['counter']} of partition {body['sender']})"
    return f"{kind.removeprefix('millrace.')} {_short(json.dumps(body, default=_text))}"


def _event(fact: Mapping[str, Any]) -> str:
    event = history.HistoryEvent.FromString(fact["body"])
    name = _EVENT_NAMES.get(fact["event_type"], str(fact["event_type"]))
    which = event.WhichOneof("attributes")
    attributes = MessageToDict(getattr(event, which)) if which else {}
    return f"{fact['event_id']} {name} {_short(json.dumps(attributes, ensure_ascii=False))}"


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}... ({len(text)} characters)"


def _instant(at_ms: int) -> str:
    at = datetime.fromtimestamp(max(at_ms, 0) / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"
