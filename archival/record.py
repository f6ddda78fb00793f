"""The visibility record of an archived run: Temporal's JSON, from and to WorkflowExecutionInfo.

Search attributes are text in it, as in Temporal's: their types come back from `types` (names to
IndexedValueType) where the namespace knows them, and else from how the text looks.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from archival.proto_json import (
    Malformed,
    duration_parts,
    fill,
    timestamp_parts,
    timestamp_text,
    to_json,
)
from archival.run import ClosedRun, Refused, RunKey
from schemas.instants import instant_of, span_of
from schemas.temporal import common, enums, workflow

Types = Mapping[str, int]

_encoder = msgspec.json.Encoder()
_TYPES: Final = {
    "Text": enums.IndexedValueType.INDEXED_VALUE_TYPE_TEXT,
    "Keyword": enums.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Int": enums.IndexedValueType.INDEXED_VALUE_TYPE_INT,
    "Double": enums.IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE,
    "Bool": enums.IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
    "Datetime": enums.IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "KeywordList": enums.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
}
_NAMES: Final = {number: name for name, number in _TYPES.items()}
_TEXTUAL: Final = frozenset({"Text", "Keyword", "KeywordList", "Datetime"})
_INT64: Final = 1 << 63


class Record(msgspec.Struct, frozen=True):
    """A closed run as it is found in the archive."""

    namespace: str
    key: RunKey
    execution: workflow.WorkflowExecutionInfo
    history_uri: str = ""

    @property
    def workflow_type(self) -> str:
        """Its type."""
        return self.execution.type.name

    @property
    def started_at(self) -> int:
        """When it started, ns."""
        return instant_of(self.execution.start_time)

    @property
    def closed_at(self) -> int:
        """When it closed, ns."""
        return instant_of(self.execution.close_time)


def record_of(run: ClosedRun, history_uri: str) -> Record:
    """Return the record of a run; raises Refused with Temporal's texts where it lacks something."""
    run.check()
    if not run.execution.type.name:
        raise Refused("field WorkflowTypeName is empty")
    if not run.execution.HasField("start_time"):
        raise Refused("field StartTime is empty")
    if not run.execution.HasField("close_time"):
        raise Refused("field CloseTime is empty")
    return Record(run.namespace, run.key, run.execution, history_uri)


def to_text(record: Record) -> bytes:
    """Return the JSON of a record."""
    execution = to_json(record.execution)
    taken = ("startTime", "executionTime", "closeTime", "status", "historyLength", "memo")
    json: dict[str, Any] = {
        "namespaceId": record.key.namespace_id,
        "namespace": record.namespace,
        "workflowId": record.key.workflow_id,
        "runId": record.key.run_id,
        "workflowTypeName": record.workflow_type,
        **{name: execution[name] for name in taken if name in execution},
    }
    if texts := attribute_texts(record.execution.search_attributes):
        json["searchAttributes"] = texts
    if record.history_uri:
        json["historyArchivalUri"] = record.history_uri
    if "executionDuration" in execution:
        json["executionDuration"] = execution["executionDuration"]
    return _encoder.encode(json)


def parse_record(text: bytes, types: Types | None = None) -> Record:
    """Return the record of a JSON text, Temporal's or ours; raises Malformed."""
    try:
        json = {_camel(name): value for name, value in msgspec.json.decode(text).items()}
        names = ("namespaceId", "workflowId", "runId")
        ids = [str(json.get(name, "")) for name in names]
        execution = _execution(json, types or {})
    except (msgspec.DecodeError, AttributeError, TypeError, ValueError) as error:
        raise Malformed(f"expected a visibility record: {error}") from error
    uri = str(json.get("historyArchivalUri", ""))
    return Record(str(json.get("namespace", "")), RunKey(*ids), execution, uri)


def attribute_texts(attributes: common.SearchAttributes) -> dict[str, str]:
    """Return search attributes as text by name, the way Temporal archives them."""
    texts: dict[str, str] = {}
    for name, payload in sorted(attributes.indexed_fields.items()):
        value = _value(payload)
        if value is not None:
            texts[name] = _text(value, payload)
    return texts


def _execution(json: dict[str, Any], types: Types) -> workflow.WorkflowExecutionInfo:
    execution = workflow.WorkflowExecutionInfo()
    taken = ("startTime", "executionTime", "closeTime", "status", "historyLength", "memo")
    fill(execution, {name: json[name] for name in taken if name in json})
    execution.execution.workflow_id = str(json.get("workflowId", ""))
    execution.execution.run_id = str(json.get("runId", ""))
    execution.type.name = str(json.get("workflowTypeName", ""))
    if span := json.get("executionDuration"):
        execution.execution_duration.seconds, execution.execution_duration.nanos = duration_parts(
            span
        )
    for name, text in (json.get("searchAttributes") or {}).items():
        payload = _payload(text, _NAMES.get(types.get(name, 0), ""))  # type: ignore[call-overload]  # enums are ints
        execution.search_attributes.indexed_fields[name].CopyFrom(payload)
    return execution


def duration_of_run(execution: workflow.WorkflowExecutionInfo) -> int | None:
    """Return how long a run took, ns."""
    return (
        span_of(execution.execution_duration) if execution.HasField("execution_duration") else None
    )


def _value(payload: common.Payload) -> Any:
    if not payload.data or payload.metadata.get("encoding") == b"binary/null":
        return None
    try:
        return msgspec.json.decode(payload.data)
    except msgspec.DecodeError:
        return payload.data.decode(errors="replace")


def _text(value: Any, payload: common.Payload) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            is_time = payload.metadata.get("type") == b"Datetime"
            return _time_text(value) if is_time else value
        case int():
            is_double = payload.metadata.get("type") == b"Double"
            return _real_text(float(value)) if is_double else str(value)
        case float():
            return _real_text(value)
        case _:
            return _encoder.encode(value).decode()


def _real_text(value: float) -> str:
    """Return a number in plain digits, as many as tell it from its neighbours."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" in text:
        digits, _, power = text.partition("e")
        places = max(0, len(digits.partition(".")[2]) - int(power))
        text = f"{value:.{places}f}"
    return text.removesuffix(".0")


def _time_text(text: str) -> str:
    try:
        seconds, nanos = timestamp_parts(text)
    except ValueError:
        return text
    whole = timestamp_text(seconds, nanos)
    return whole[:-1].rstrip("0") + "Z" if nanos else whole


def _payload(text: str, type_name: str) -> common.Payload:
    value = _typed(text, type_name) if type_name else _guessed(text)
    payload = common.Payload(data=_encoder.encode(value))
    payload.metadata["encoding"] = b"json/plain"
    if type_name:
        payload.metadata["type"] = type_name.encode()
    return payload


def _typed(text: str, type_name: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return msgspec.json.decode(text)
    if type_name in _TEXTUAL:
        return text
    if type_name == "Bool":
        return text == "true"
    return int(text) if type_name == "Int" else float(text)


def _guessed(text: str) -> Any:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text
    if isinstance(value, int) and not isinstance(value, bool) and not -_INT64 <= value < _INT64:
        return float(value)
    return value if isinstance(value, bool | int | float | list) else text


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
