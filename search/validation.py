"""What a request may write into a run's search attributes: names, types, limits (1.6).

Pure: the frontend and the workflow core call it with the namespace's attributes at hand.
"""

from collections.abc import Mapping

import msgspec

from schemas.errors import InvalidArgument
from schemas.temporal import common
from search.attributes import (
    PREDEFINED,
    SETTABLE,
    SYSTEM,
    Attribute,
    ValueType,
    is_reserved,
    type_of,
)
from search.payloads import NotDecodable, decode


class Limits(msgspec.Struct, frozen=True):
    """Limits of one request's search attributes."""

    keys_count: int = 100
    """How many attributes one request may set."""
    value_bytes: int = 2_048
    """Longest value, bytes of its payload."""
    total_bytes: int = 40_960
    """All of them together, bytes."""


LIMITS = Limits()


def validate(
    attributes: common.SearchAttributes, custom: Mapping[str, int], limits: Limits = LIMITS
) -> dict[str, Attribute | None]:
    """Return what a request sets (None: unsets), by name; raises InvalidArgument."""
    decoded = validate_values(attributes, custom, limits)
    check_sizes(attributes, limits)
    return decoded


def validate_values(
    attributes: common.SearchAttributes, custom: Mapping[str, int], limits: Limits = LIMITS
) -> dict[str, Attribute | None]:
    """Return what a request sets, whatever its size; raises InvalidArgument."""
    fields = attributes.indexed_fields
    if len(fields) > limits.keys_count:
        raise InvalidArgument(
            f"number of search attributes {len(fields)} exceeds limit {limits.keys_count}"
        )
    return {name: _decoded(name, payload, custom) for name, payload in fields.items()}


def check_sizes(attributes: common.SearchAttributes, limits: Limits = LIMITS) -> None:
    """Check the size of each value and of all together; raises InvalidArgument."""
    for name, payload in attributes.indexed_fields.items():
        if len(payload.data) > limits.value_bytes:
            raise InvalidArgument(
                f"search attribute {name} value size {len(payload.data)} exceeds size limit "
                f"{limits.value_bytes}"
            )
    if attributes.ByteSize() > limits.total_bytes:
        raise InvalidArgument(
            f"total size of search attributes {attributes.ByteSize()} exceeds size limit "
            f"{limits.total_bytes}"
        )


def validate_new(attributes: Mapping[str, int]) -> dict[str, int]:
    """Check the attributes that an operator adds; raises InvalidArgument."""
    if not attributes:
        raise InvalidArgument("SearchAttributes are not set on request.")
    for name, value_type in attributes.items():
        if is_reserved(name):
            raise InvalidArgument(f"Search attribute {name} is reserved by system.")
        if value_type not in list(ValueType):
            raise InvalidArgument(f"Unknown search attribute type: {value_type}.")
    return dict(attributes)


def _decoded(name: str, payload: common.Payload, custom: Mapping[str, int]) -> Attribute | None:
    if name in SYSTEM or (name in PREDEFINED and name not in SETTABLE):
        raise InvalidArgument(f"{name} attribute can't be set in SearchAttributes")
    value_type = type_of(name, custom)
    if value_type is None:
        raise InvalidArgument(f"search attribute {name} is not defined")
    try:
        return decode(payload, value_type)
    except NotDecodable as error:
        raise InvalidArgument(
            f"invalid value for search attribute {name} of type {value_type.label}: {error.shown}"
        ) from None
