"""Search attributes as Temporal's payloads: JSON with the type's name in the metadata.

Decoding follows what Temporal's server accepts of each type; a list is allowed for every type.
What may be written at all is `validation.py`'s business.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from schemas.temporal import common
from search.attributes import BY_LABEL, PREDEFINED, Attribute, Value, ValueType, type_of
from search.times import INSTANT_MAX, parse_instant, shorten_instant

TYPE: Final = "type"
_ENCODING: Final = "encoding"
_JSON: Final = b"json/plain"
_NULL: Final = b"binary/null"
_UNREADABLE: Final = object()


class NotDecodable(ValueError):
    """The payload does not hold a value of the type; `shown` is what it holds."""

    def __init__(self, shown: str) -> None:
        super().__init__(shown)
        self.shown = shown


def decode(payload: common.Payload, value_type: ValueType) -> Attribute | None:
    """Return the values in a payload, None if it unsets the attribute; raises NotDecodable."""
    encoding = payload.metadata.get(_ENCODING, b"")
    if encoding == _NULL:
        return None
    held = _held(payload) if encoding == _JSON else _UNREADABLE
    if held is _UNREADABLE:
        raise NotDecodable(f"value from <{str(payload).strip()}>")
    if held is None or held == []:
        return None
    if value_type is ValueType.KEYWORD_LIST and not isinstance(held, list):
        raise NotDecodable(_shown(held))
    given = held if isinstance(held, list) else [held]
    try:
        values = [_value(each, value_type) for each in given]
    except ValueError:
        raise NotDecodable(_shown(held)) from None
    return Attribute(int(value_type), tuple(dict.fromkeys(values)))


def encode(attribute: Attribute) -> common.Payload:
    """Return the payload of an attribute, its type in the metadata."""
    value_type = ValueType(attribute.type)
    values = [_encodable(each, value_type) for each in attribute.values]
    is_list = value_type is ValueType.KEYWORD_LIST or len(values) > 1
    text = json.dumps(values if is_list else values[0], ensure_ascii=False, separators=(",", ":"))
    metadata = {_ENCODING: _JSON, TYPE: value_type.label.encode()}
    return common.Payload(metadata=metadata, data=text.encode())


def encode_all(attributes: Mapping[str, Attribute]) -> common.SearchAttributes:
    """Return a run's attributes as a request or an answer carries them."""
    fields = {name: encode(attribute) for name, attribute in attributes.items()}
    return common.SearchAttributes(indexed_fields=fields)


def decode_all(attributes: common.SearchAttributes) -> dict[str, Attribute | None]:
    """Return what recorded facts say, by the types in their metadata; None unsets.

    Facts were validated when they were recorded: what has no type or does not decode is left out.
    """
    decoded: dict[str, Attribute | None] = {}
    for name, payload in attributes.indexed_fields.items():
        value_type = PREDEFINED.get(name) or BY_LABEL.get(payload.metadata[TYPE].decode())
        if value_type is None:
            continue
        try:
            decoded[name] = decode(payload, value_type)
        except NotDecodable:
            continue
    return decoded


def merged(
    held: Mapping[str, Attribute], changes: Mapping[str, Attribute | None]
) -> dict[str, Attribute]:
    """Return a run's attributes after an upsert."""
    after = {**held, **changes}
    return {name: attribute for name, attribute in after.items() if attribute is not None}


def with_types(
    attributes: common.SearchAttributes, custom: Mapping[str, int]
) -> common.SearchAttributes:
    """Return validated attributes with each type's name in the metadata, as facts record them."""
    typed = common.SearchAttributes()
    typed.CopyFrom(attributes)
    for name, payload in typed.indexed_fields.items():
        value_type = type_of(name, custom)
        if value_type is not None:
            payload.metadata[TYPE] = value_type.label.encode()
    return typed


def _held(payload: common.Payload) -> Any:
    try:
        return json.loads(payload.data)
    except ValueError:
        return _UNREADABLE


def _value(held: Any, value_type: ValueType) -> Value:
    match value_type:
        case ValueType.TEXT | ValueType.KEYWORD | ValueType.KEYWORD_LIST if isinstance(held, str):
            return held.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case ValueType.BOOL if isinstance(held, bool):
            return held
        case ValueType.INT if type(held) is int and -(2**63) <= held < 2**63:
            return held
        case ValueType.DOUBLE if type(held) in (int, float):
            return _double(held)
        case ValueType.DATETIME if isinstance(held, str):
            return _instant(held)
        case _:
            raise ValueError(f"expected {value_type.label}, found {held!r}")


def _double(held: float) -> float:
    number = float(held) + 0.0  # there is one zero
    if number in (float("inf"), float("-inf")) or number != number:  # noqa: PLR0124 - asks for NaN
        raise ValueError(f"expected a number that a double holds, found {held!r}")
    return number


def _instant(held: str) -> int:
    instant = parse_instant(held)
    if not 0 <= instant <= INSTANT_MAX:
        raise ValueError(f"expected a time from 1970 to 2262, found {held!r}")
    return instant


def _encodable(value: Value, value_type: ValueType) -> Value:
    if value_type is ValueType.DATETIME and isinstance(value, int):
        return shorten_instant(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)  # JSON has one kind of number
    return value


def _shown(held: Any) -> str:
    """Return a JSON value as Temporal's messages print it."""
    if isinstance(held, bool):
        return str(held).lower()
    if isinstance(held, list):
        return f"[{' '.join(_shown(each) for each in held)}]"
    if isinstance(held, dict):
        pairs = " ".join(f"{key}:{_shown(held[key])}" for key in sorted(held))
        return f"map[{pairs}]"
    return "<nil>" if held is None else str(held)
