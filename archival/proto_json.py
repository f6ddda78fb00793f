"""Protobuf's JSON form, both ways, as Temporal's archives hold it.

Written by descriptor instead of by `google.protobuf.json_format`, which takes five times as long.
Reading also takes what older servers wrote: enum values as `WorkflowExecutionStarted`. Fields of a
later API are skipped. Names in JSON are camelCase, 64-bit integers and bytes are text.
"""

import base64
import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from schemas.instants import SECOND

Json = Any
_Write = Callable[[Any], Json]
_Read = Callable[[Json], Any]

_EPOCH: Final = dt.date(1970, 1, 1).toordinal()
_TIMESTAMP: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)"
)
_DURATION: Final = re.compile(r"(-?)(\d+)(?:\.(\d{1,9}))?s")
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LONG: Final = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_REAL: Final = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


class Malformed(ValueError):
    """The JSON is not the form of this message."""


def to_json(message: Message) -> dict[str, Json]:
    """Return the JSON form of a message, as values for a JSON encoder."""
    out: dict[str, Json] = {}
    for field, value in message.ListFields():
        name, write = _writer(field)
        out[name] = write(value)
    return out


def fill(message: Message, json: Json) -> None:
    """Set the fields of an empty message from its JSON form; raises Malformed."""
    try:
        _fill(message, json)
    except (TypeError, ValueError, KeyError, AttributeError, json_format.ParseError) as error:
        raise Malformed(f"expected a {message.DESCRIPTOR.name} in JSON: {error}") from error


def timestamp_text(seconds: int, nanos: int) -> str:
    """Return an instant in RFC 3339, UTC, with as many threes of digits as it needs."""
    days, second = divmod(seconds, 86_400)
    hour, rest = divmod(second, 3_600)
    minute, second = divmod(rest, 60)
    return f"{_day_text(days)}T{hour:02}:{minute:02}:{second:02}{_fraction(nanos)}Z"


def timestamp_parts(text: str) -> tuple[int, int]:
    """Return seconds and nanoseconds of an instant in RFC 3339; raises ValueError."""
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a time in RFC 3339, found {text!r}")
    year, month, day, hour, minute, second = (int(found[part]) for part in range(1, 7))
    days = dt.date(year, month, day).toordinal() - _EPOCH
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second
    if (zone := found[8]) not in ("Z", "z"):
        away = int(zone[1:3]) * 3_600 + int(zone[4:6]) * 60
        seconds += -away if zone[0] == "+" else away
    return seconds, int((found[7] or "").ljust(9, "0"))


def duration_text(seconds: int, nanos: int) -> str:
    """Return a span in seconds, as `1.500s`."""
    if seconds >= 0 and not nanos:
        return f"{seconds}s"
    total = seconds * SECOND + nanos
    whole, rest = divmod(abs(total), SECOND)
    return f"{'-' if total < 0 else ''}{whole}{_fraction(rest)}s"


def duration_parts(text: str) -> tuple[int, int]:
    """Return seconds and nanoseconds, of one sign, of a span; raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a duration such as 1.5s, found {text!r}")
    sign = -1 if found[1] else 1
    return sign * int(found[2]), sign * int((found[3] or "").ljust(9, "0"))


@lru_cache(maxsize=1_024)
def _day_text(days: int) -> str:
    return dt.date.fromordinal(_EPOCH + days).isoformat()


def _fraction(nanos: int) -> str:
    if not nanos:
        return ""
    text = f"{nanos:09}"
    if text.endswith("000000"):
        return "." + text[:3]
    return "." + (text[:6] if text.endswith("000") else text)


@cache
def _writer(field: FieldDescriptor) -> tuple[str, _Write]:
    """Return the name of a field in JSON, and what writes its values."""
    name = field.json_name
    if _is_map(field):
        _, write = _writer(_kind(field).fields_by_name["value"])
        return name, lambda held: {_key(key): write(held[key]) for key in held}
    write = _value_writer(field)
    if field.is_repeated:
        return name, lambda values: [write(value) for value in values]
    return name, write


def _value_writer(field: FieldDescriptor) -> _Write:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        return _message_writer(_kind(field))
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        names = {one.number: one.name for one in reversed(_enum(field).values)}
        return lambda number: names.get(number, number)
    if kind in _LONG:
        return str
    if kind in _REAL:
        return _write_real
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    return lambda value: value


def _message_writer(kind: Descriptor) -> _Write:
    match kind.full_name:
        case "google.protobuf.Timestamp":
            return lambda one: timestamp_text(one.seconds, one.nanos)
        case "google.protobuf.Duration":
            return lambda one: duration_text(one.seconds, one.nanos)
        case name if name.startswith("google.protobuf."):
            return json_format.MessageToDict
        case _:
            return to_json


def _write_real(value: float) -> Json:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _fill(message: Message, json: Json) -> None:
    known = _readers(message.DESCRIPTOR)
    for name, value in json.items():
        if value is not None and (read := known.get(name)) is not None:
            read(message, value)


_Set = Callable[[Any, Json], None]


@cache
def _readers(kind: Descriptor) -> Mapping[str, _Set]:
    """Return what sets each field, by its name in JSON and by its name in the API."""
    known: dict[str, _Set] = {}
    for field in kind.fields:
        known[field.json_name] = known[field.name] = _setter(field)
    return known


def _setter(field: FieldDescriptor) -> _Set:
    if _is_map(field):
        return _map_setter(field)
    is_message = field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
    name = field.name
    if is_message:
        read_message = _message_reader(_kind(field))
        if field.is_repeated:
            return lambda message, values: _add_all(getattr(message, name), values, read_message)
        return lambda message, value: read_message(_present(getattr(message, name)), value)
    read = _value_reader(field)
    if field.is_repeated:
        return lambda message, values: getattr(message, name).extend(map(read, values))
    return lambda message, value: setattr(message, name, read(value))


def _map_setter(field: FieldDescriptor) -> _Set:
    name = field.name
    parts = _kind(field).fields_by_name
    key, value = _value_reader(parts["key"]), parts["value"]
    if value.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        read_message = _message_reader(_kind(value))

        def set_messages(message: Any, held: Json) -> None:
            mapped = getattr(message, name)
            for each, json in held.items():
                read_message(mapped[key(each)], json)

        return set_messages
    read = _value_reader(value)

    def set_values(message: Any, held: Json) -> None:
        getattr(message, name).update({key(each): read(json) for each, json in held.items()})

    return set_values


def _add_all(into: Any, values: Json, read: _Set) -> None:
    for value in values:
        read(into.add(), value)


def _present(message: Message) -> Message:
    message.SetInParent()
    return message


def _message_reader(kind: Descriptor) -> _Set:
    match kind.full_name:
        case "google.protobuf.Timestamp":
            return lambda one, text: _set_parts(one, timestamp_parts(text))
        case "google.protobuf.Duration":
            return lambda one, text: _set_parts(one, duration_parts(text))
        case name if name.startswith("google.protobuf."):
            return lambda one, json: json_format.ParseDict(json, one) and None
        case _:
            return _fill


def _set_parts(message: Any, parts: tuple[int, int]) -> None:
    message.seconds, message.nanos = parts


def _value_reader(field: FieldDescriptor) -> _Read:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return _enum_reader(_enum(field))
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return lambda value: value in (True, "true")
    if kind in _REAL:
        return float
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _read_bytes if field.type == FieldDescriptor.TYPE_BYTES else str
    return int


def _read_bytes(text: Json) -> bytes:
    plain = text.replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _enum_reader(kind: EnumDescriptor) -> _Read:
    numbers = {value.name: value.number for value in kind.values}
    prefix = _WORDS.sub("_", kind.name).upper() + "_"
    for value in kind.values:
        numbers.setdefault(_pascal(value.name.removeprefix(prefix)), value.number)

    def read(value: Json) -> int:
        return numbers[value] if isinstance(value, str) else int(value)

    return read


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry


def _kind(field: FieldDescriptor) -> Descriptor:
    assert field.message_type is not None, field.name
    return field.message_type


def _enum(field: FieldDescriptor) -> EnumDescriptor:
    assert field.enum_type is not None, field.name
    return field.enum_type
