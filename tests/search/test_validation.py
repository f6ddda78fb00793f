"""What may be written into search attributes, in Temporal's words."""

import pytest

from schemas.errors import InvalidArgument
from schemas.temporal import common
from search.attributes import Attribute, ValueType
from search.validation import Limits, validate, validate_new
from tests.search.test_payloads import payload
from tests.support.search_samples import CUSTOM


def attributes(**fields: str) -> common.SearchAttributes:
    """Return search attributes of a request: JSON by name."""
    return common.SearchAttributes(
        indexed_fields={name: payload(text) for name, text in fields.items()}
    )


def test_what_is_valid_comes_back_decoded() -> None:
    """None unsets."""
    assert {
        "Customer": Attribute(ValueType.KEYWORD, ("a",)),
        "Amount": None,
        "TemporalSchedulePaused": Attribute(ValueType.BOOL, (True,)),
    } == validate(attributes(Customer='"a"', Amount="null", TemporalSchedulePaused="true"), CUSTOM)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (attributes(Nothing="1"), "search attribute Nothing is not defined"),
        (attributes(WorkflowId='"a"'), "WorkflowId attribute can't be set in SearchAttributes"),
        (
            attributes(TemporalWorkerDeployment='"a"'),
            "TemporalWorkerDeployment attribute can't be set in SearchAttributes",
        ),
        (
            attributes(Amount='"a"'),
            "invalid value for search attribute Amount of type Int: a",
        ),
        (
            attributes(Customer='"aaaaaaaaa"'),
            "search attribute Customer value size 11 exceeds size limit 10",
        ),
        (
            attributes(Customer='"a"', Tags='["a"]', IsPaid="true"),
            "number of search attributes 3 exceeds limit 2",
        ),
        (
            attributes(Customer='"aaaa"', Tags='["aaaa"]'),
            "total size of search attributes 90 exceeds size limit 80",
        ),
    ],
)
def test_what_is_refused(given: common.SearchAttributes, message: str) -> None:
    """Names, values and limits."""
    with pytest.raises(InvalidArgument) as refusal:
        validate(given, CUSTOM, Limits(keys_count=2, value_bytes=10, total_bytes=80))
    assert message == refusal.value.message


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ({}, "SearchAttributes are not set on request."),
        ({"WorkflowId": 2}, "Search attribute WorkflowId is reserved by system."),
        ({"TemporalMine": 2}, "Search attribute TemporalMine is reserved by system."),
        ({"Memo": 2}, "Search attribute Memo is reserved by system."),
        ({"Mine": 9}, "Unknown search attribute type: 9."),
        ({"Mine": 0}, "Unknown search attribute type: 0."),
    ],
)
def test_which_attributes_cannot_be_added(added: dict[str, int], message: str) -> None:
    """With Temporal's words."""
    with pytest.raises(InvalidArgument) as refusal:
        validate_new(added)
    assert message == refusal.value.message


def test_which_attributes_can_be_added() -> None:
    """All types, any name that is not reserved."""
    added = {f"Mine-{each.label}": int(each) for each in ValueType}
    assert added == validate_new(added)
