"""Search attributes in payloads: what decodes, and how it is encoded for an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.temporal import common
from search.attributes import Attribute, ValueType
from search.payloads import (
    NotDecodable,
    decode,
    decode_all,
    encode,
    encode_all,
    merged,
    with_types,
)
from tests.support.search_samples import CUSTOM, VALUES


def payload(text: str, **metadata: str) -> common.Payload:
    """Return a JSON payload."""
    fields = {"encoding": "json/plain", **metadata}
    return common.Payload(
        metadata={name: value.encode() for name, value in fields.items()}, data=text.encode()
    )


@pytest.mark.parametrize(
    ("value_type", "text", "values"),
    [
        (ValueType.KEYWORD, '"a"', ("a",)),
        (ValueType.KEYWORD, '["a", "b", "a"]', ("a", "b")),
        (ValueType.KEYWORD, '"\\ud800"', ("\ufffd",)),
        (ValueType.TEXT, '""', ("",)),
        (ValueType.INT, "-7", (-7,)),
        (ValueType.INT, "9223372036854775807", (2**63 - 1,)),
        (ValueType.DOUBLE, "1", (1.0,)),
        (ValueType.DOUBLE, "1.5e3", (1500.0,)),
        (ValueType.BOOL, "false", (False,)),
        (ValueType.DATETIME, '"1970-01-01T00:00:00.000000001Z"', (1,)),
        (ValueType.KEYWORD_LIST, '["a", "b"]', ("a", "b")),
    ],
)
def test_what_decodes(value_type: ValueType, text: str, values: tuple[object, ...]) -> None:
    """A value of the type, or a list of them."""
    found = decode(payload(text), value_type)
    assert found is not None
    assert values == found.values
    assert [type(each) for each in values] == [type(each) for each in found.values]


@pytest.mark.parametrize("value_type", ValueType)
@pytest.mark.parametrize("text", ["null", "[]"])
def test_what_unsets(value_type: ValueType, text: str) -> None:
    """Null and the empty list, for every type; so does the payload of nothing."""
    assert decode(payload(text), value_type) is None
    assert decode(common.Payload(metadata={"encoding": b"binary/null"}), value_type) is None


@pytest.mark.parametrize(
    ("value_type", "text", "shown"),
    [
        (ValueType.KEYWORD, "5", "5"),
        (ValueType.KEYWORD, '{"a": [1, null]}', "map[a:[1 <nil>]]"),
        (ValueType.INT, "1.0", "1.0"),
        (ValueType.INT, "9223372036854775808", "9223372036854775808"),
        (ValueType.INT, "true", "true"),
        (ValueType.DOUBLE, "true", "true"),
        (ValueType.BOOL, "0", "0"),
        (ValueType.DATETIME, '"1969-12-31T23:59:59Z"', "1969-12-31T23:59:59Z"),
        (ValueType.DATETIME, '"2262-04-12T00:00:00Z"', "2262-04-12T00:00:00Z"),
        (ValueType.DATETIME, "5", "5"),
        (ValueType.KEYWORD_LIST, '"a"', "a"),
        (ValueType.KEYWORD_LIST, '["a", null]', "[a <nil>]"),
        (ValueType.KEYWORD_LIST, '[["a"]]', "[[a]]"),
    ],
)
def test_what_does_not_decode(value_type: ValueType, text: str, shown: str) -> None:
    """The error shows what the payload holds."""
    with pytest.raises(NotDecodable) as refusal:
        decode(payload(text), value_type)
    assert shown == refusal.value.shown


def test_what_is_no_json_does_not_decode() -> None:
    """Neither broken JSON nor another encoding."""
    for broken in (payload("{"), common.Payload(data=b"1")):
        with pytest.raises(NotDecodable, match="value from <"):
            decode(broken, ValueType.KEYWORD)


@given(st.data())
def test_what_is_encoded_decodes(data: st.DataObject) -> None:
    """Every attribute survives its payload, whose metadata names the type."""
    value_type = data.draw(st.sampled_from(list(ValueType)))
    held = data.draw(
        st.lists(st.sampled_from(list(VALUES[value_type])), min_size=1, max_size=3, unique=True)
    )
    attribute = Attribute(value_type, tuple(held))
    encoded = encode(attribute)
    assert attribute == decode(encoded, value_type)
    assert value_type.label.encode() == encoded.metadata["type"]


def test_encoded_as_temporal_encodes() -> None:
    """Whole doubles without a point, times without zeros, single values bare."""
    encoded = encode_all(
        {
            "Price": Attribute(ValueType.DOUBLE, (2.0,)),
            "DueAt": Attribute(ValueType.DATETIME, (1_500_000_000,)),
            "Tags": Attribute(ValueType.KEYWORD_LIST, ("a",)),
            "Customer": Attribute(ValueType.KEYWORD, ("ä",)),
        }
    ).indexed_fields
    assert [b"2", b'"1970-01-01T00:00:01.5Z"', b'["a"]', '"ä"'.encode()] == [
        encoded[name].data for name in ("Price", "DueAt", "Tags", "Customer")
    ]


def test_facts_are_read_by_the_types_they_name() -> None:
    """What names no type is left out; predefined attributes have theirs."""
    facts = common.SearchAttributes(
        indexed_fields={
            "Customer": payload('"a"', type="Keyword"),
            "Amount": payload("null", type="Int"),
            "BuildIds": payload('["x"]'),
            "Unknown": payload('"a"'),
        }
    )
    assert {
        "Customer": Attribute(ValueType.KEYWORD, ("a",)),
        "Amount": None,
        "BuildIds": Attribute(ValueType.KEYWORD_LIST, ("x",)),
    } == decode_all(facts)


def test_the_server_adds_the_types() -> None:
    """To a copy; the request stays as it was."""
    request = common.SearchAttributes(indexed_fields={"Customer": payload(json.dumps("a"))})
    typed = with_types(request, CUSTOM)
    assert typed.indexed_fields["Customer"].metadata["type"] == b"Keyword"
    assert "type" not in request.indexed_fields["Customer"].metadata


def test_an_upsert_sets_and_unsets() -> None:
    """What it does not name stays."""
    one, two = Attribute(ValueType.INT, (1,)), Attribute(ValueType.INT, (2,))
    assert {"a": one, "b": two} == merged({"a": one, "c": one}, {"b": two, "c": None})
