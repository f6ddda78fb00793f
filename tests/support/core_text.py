"""Messages as text, in the form of the golden recordings: one event a line, one field a line.

Equal from run to run: run and request ids are numbered in order of appearance, payloads are shown
decoded; instants, tokens, identities and sizes are left out.
"""

import json
import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from schemas.errors import ServiceError
from schemas.temporal import enums, history

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LONGEST = 500
_LEFT_OUT = frozenset(
    {
        "identity", "taskToken", "nextPageToken", "taskId", "version", "binaryChecksum",
        "sdkMetadata", "meteringMetadata", "workerVersion", "historySizeBytes", "stackTrace",
        "stateTransitionCount", "executionDuration", "lastWorkerIdentity", "pollerScalingDecision",
    }
)  # fmt: skip
_WRAPPERS = frozenset(
    f"temporal.api.common.v1.{name}" for name in ("Payloads", "Header", "Memo", "SearchAttributes")
)
_MESSAGE = FieldDescriptor.TYPE_MESSAGE


class Printer:
    """Prints messages; remembers what kind of id each UUID it saw is."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}

    def numbered(self, text: str) -> str:
        """Return a text with its UUIDs as `run#1`, `request#2`, by order of appearance."""
        names: dict[str, str] = {}
        counts: dict[str, int] = {}

        def name(match: re.Match[str]) -> str:
            found = match.group()
            if found not in names:
                kind = self._kinds.get(found, "uuid")
                counts[kind] = counts.get(kind, 0) + 1
                names[found] = f"{kind}#{counts[kind]}"
            return names[found]

        return _UUID.sub(name, text)

    def event_line(self, event: history.HistoryEvent) -> str:
        """Return one event of a history."""
        shown = self.plain(event)
        name = event.WhichOneof("attributes") or ""
        attributes = shown.pop(_camel(name), {})
        more = {k: v for k, v in shown.items() if k not in {"eventId", "eventType"}}
        line = f"  {event.event_id} {event_name(event)} {compact(attributes)}"
        return f"{line} +{compact(more)}" if more else line

    def block(self, title: str, message: Message) -> list[str]:
        """Return a message, one top-level field (or list item) a line."""
        shown = self.plain(message)
        if inner := shown.pop("workflowExecutionInfo", None):
            shown |= {f"info.{key}": value for key, value in inner.items()}
        lines = [f"{title}:"]
        for key, value in sorted(shown.items()):
            several = isinstance(value, list) and any(isinstance(each, dict) for each in value)
            lines += [f"  {key} {compact(each)}" for each in (value if several else [value])]
        return lines

    def error(self, title: str, error: ServiceError) -> list[str]:
        """Return a refusal."""
        lines = [f"error {title}:", f"  code {error.code.name}"]
        lines.append(f"  message {compact(error.message)}")
        if error.detail is not None:
            detail = {"@type": error.detail.DESCRIPTOR.name, **self.plain(error.detail)}
            lines.append(f"  detail {compact(detail)}")
        return lines

    def plain(self, message: Any) -> Any:
        """Return a message as a JSON-ready value."""
        match message.DESCRIPTOR.full_name:
            case "google.protobuf.Duration":
                return f"{message.seconds + message.nanos / 1e9:g}s"
            case "temporal.api.common.v1.Payload":
                return _decoded(message)
            case "temporal.api.history.v1.History":
                return [f"{each.event_id} {event_name(each)}" for each in message.events]
            case kind:
                shown = self._fields(message)
                return next(iter(shown.values()), {}) if _is_bare(kind, shown) else shown

    def _fields(self, message: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for field, value in message.ListFields():
            kind = field.message_type.full_name if field.message_type else ""
            if field.json_name in _LEFT_OUT or kind == "google.protobuf.Timestamp":
                continue
            each = self._field(field, value)
            is_chosen = field.containing_oneof and len(field.containing_oneof.fields) > 1
            if is_chosen or each not in ({}, [], ""):
                shown[field.json_name] = each
        return shown

    def _field(self, field: FieldDescriptor, value: Any) -> Any:
        if field.message_type and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            for key in value:
                self._note(field.json_name.removesuffix("Infos"), str(key))
            return {str(key): self._single(inner, value[key]) for key in value}
        if field.is_repeated:
            return [self._single(field, each) for each in value]
        return self._single(field, value)

    def _single(self, field: FieldDescriptor, value: Any) -> Any:
        if field.type == _MESSAGE:
            return self.plain(value)
        if field.type == FieldDescriptor.TYPE_ENUM:
            known = field.enum_type.values_by_number.get(value)
            return known.name if known else value
        if field.type == FieldDescriptor.TYPE_BYTES:
            return _shortened(value.decode("latin-1"))
        if isinstance(value, str):
            self._note(field.json_name, value)
        return _shortened(value)

    def _note(self, field: str, value: str) -> None:
        if field.lower().endswith("runid"):
            self._kinds[value] = "run"
        elif field.lower().endswith("requestid"):
            self._kinds.setdefault(value, "request")


def event_name(event: history.HistoryEvent) -> str:
    """Return ActivityTaskScheduled for EVENT_TYPE_ACTIVITY_TASK_SCHEDULED."""
    name = enums.EventType.Name(event.event_type)
    return name.removeprefix("EVENT_TYPE_").title().replace("_", "")


def compact(value: object) -> str:
    """Return JSON on one line, keys sorted."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _camel(snake: str) -> str:
    head, *rest = snake.split("_")
    return head + "".join(word.title() for word in rest)


def _is_bare(kind: str, shown: dict[str, Any]) -> bool:
    return kind in _WRAPPERS and len(shown) <= 1


def _decoded(payload: Any) -> object:
    encoding = payload.metadata.get("encoding", b"").decode()
    if encoding == "binary/null":
        return None
    if encoding == "json/plain":
        value = _shortened(json.loads(payload.data))
    else:
        value = _shortened(payload.data.decode("latin-1"))
    more = {
        name: text.decode("latin-1")
        for name, text in payload.metadata.items()
        if name != "encoding" or text != b"json/plain"
    }
    return {"data": value, **more} if more else value


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"<{len(value)} characters>"
    return value
