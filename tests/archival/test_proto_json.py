"""Protobuf's JSON: the same as the reference's, both ways, and older servers' too."""

import json
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from archival.proto_json import Malformed, duration_parts, duration_text, fill, to_json
from schemas.temporal import common, enums, history, workflow

NUMBERS = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
}
ATTRIBUTES = [
    field.name
    for field in history.HistoryEvent.DESCRIPTOR.fields
    if field.containing_oneof is not None
]


def filled(message: Any, draw: Any, depth: int = 0) -> None:
    """Set fields of a message at random."""
    if message.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        message.seconds = draw(st.integers(-62_135_596_800, 253_402_300_799))
        message.nanos = draw(st.integers(0, 999_999_999) | st.just(500_000_000))
        return
    if message.DESCRIPTOR.full_name == "google.protobuf.Duration":
        message.FromNanoseconds(draw(st.integers(-(10**18), 10**18)))
        return
    if message.DESCRIPTOR.full_name.startswith("google.protobuf."):
        return
    for field in message.DESCRIPTOR.fields:
        if depth < 4 and draw(st.booleans()):
            _fill_field(message, field, draw, depth)


def _fill_field(message: Any, field: Any, draw: Any, depth: int) -> None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        key = draw(st.text(max_size=5)) if kind.fields_by_name["key"].type == 9 else 7
        value = kind.fields_by_name["value"]
        if value.message_type is not None:
            filled(getattr(message, field.name)[key], draw, depth + 1)
        else:
            getattr(message, field.name)[key] = _scalar(value, draw)
    elif kind is not None and field.is_repeated:
        filled(getattr(message, field.name).add(), draw, depth + 1)
    elif kind is not None:
        getattr(message, field.name).SetInParent()
        filled(getattr(message, field.name), draw, depth + 1)
    elif field.is_repeated:
        getattr(message, field.name).append(_scalar(field, draw))
    else:
        setattr(message, field.name, _scalar(field, draw))


def _scalar(field: Any, draw: Any) -> Any:
    if field.enum_type is not None:
        return draw(st.sampled_from([one.number for one in field.enum_type.values]))
    if field.type == field.TYPE_BYTES:
        return draw(st.binary(max_size=8))
    if field.type == field.TYPE_STRING:
        return draw(st.text(max_size=8))
    if field.type == field.TYPE_BOOL:
        return draw(st.booleans())
    if field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT):
        return draw(st.sampled_from([0.0, 1.5, -2.25, float("inf"), float("-inf")]))
    names = {5: "int32", 3: "int64", 13: "uint32", 4: "uint64"}
    return draw(NUMBERS[names[field.type]])


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(ATTRIBUTES))
def test_events_are_written_and_read_as_the_reference_does(data: Any, name: str) -> None:
    """Every kind of event, every field, any value."""
    event = history.HistoryEvent(event_id=5, event_type=3)
    getattr(event, name).SetInParent()
    filled(getattr(event, name), data.draw)
    ours = json.loads(msgspec.json.encode(to_json(event)))
    assert json_format.MessageToDict(event) == ours
    read = history.HistoryEvent()
    fill(read, ours)
    assert event == read
    assert event == json_format.ParseDict(ours, history.HistoryEvent())


def test_what_older_servers_wrote_is_read() -> None:
    """Enum values in words, names in snake case, fields of a later API."""
    event = history.HistoryEvent()
    fill(
        event,
        {
            "event_id": "7",
            "eventType": "WorkflowExecutionStarted",
            "eventTime": "2020-01-21T16:16:11.5+01:00",
            "notKnown": {"yet": 1},
            "workflowExecutionStartedEventAttributes": {"taskQueue": {"kind": "Sticky"}},
        },
    )
    assert (7, 1) == (event.event_id, event.event_type)
    assert (1_579_619_771, 500_000_000) == (event.event_time.seconds, event.event_time.nanos)
    queue = event.workflow_execution_started_event_attributes.task_queue
    assert enums.TaskQueueKind.TASK_QUEUE_KIND_STICKY == queue.kind


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [(1, 500_000_000, "1.500s"), (0, 0, "0s"), (-1, -1, "-1.000000001s"), (3, 1_000, "3.000001s")],
)
def test_durations(seconds: int, nanos: int, text: str) -> None:
    """Threes of digits, one sign."""
    assert text == duration_text(seconds, nanos)
    assert (seconds, nanos) == duration_parts(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "Nonsense"},
        {"startTime": "yesterday"},
        {"historyLength": "many"},
        {"memo": []},
        [],
        {"executionDuration": "1h"},
    ],
)
def test_what_is_no_json_of_the_message_is_said_to_be_none(wrong: Any) -> None:
    """One error, whatever is wrong."""
    with pytest.raises(Malformed):
        fill(workflow.WorkflowExecutionInfo(), wrong)


def test_url_safe_base64_is_read_too() -> None:
    """As the reference does."""
    payload = common.Payload()
    fill(payload, {"data": "_-8"})
    assert b"\xff\xef" == payload.data
