"""Page tokens: the sort values of the last run of a page, the same for every store.

The order of a list is its ORDER BY, or open runs first, then by close and start time, newest
first; the run id settles ties. Runs that lack an attribute have a stand-in in its place, the one
that Elasticsearch uses, so that they come first (open runs) or last (ORDER BY).
"""

from typing import Final

import msgspec

from schemas.errors import InvalidArgument
from search.attributes import Value, ValueType
from search.query.expressions import Column, Ordering, Query
from search.times import INSTANT_MAX

SortValue = Value | None

_CLOSED: Final = Ordering(Column("CloseTime", "CloseTime", ValueType.DATETIME), is_descending=True)
_STARTED: Final = Ordering(Column("StartTime", "StartTime", ValueType.DATETIME), is_descending=True)
_TIE: Final = Ordering(Column("RunId", "RunId", ValueType.KEYWORD), is_descending=True)
DEFAULT: Final = (_CLOSED, _STARTED, _TIE)


def orderings(query: Query) -> tuple[Ordering, ...]:
    """Return the whole order of a list, ties settled."""
    return (*query.order_by, _TIE) if query.order_by else DEFAULT


def is_default(query: Query) -> bool:
    """Whether a list is in the default order."""
    return not query.order_by


def stand_in(ordering: Ordering, *, is_first: bool) -> SortValue:
    """Return what a run without the attribute is sorted by."""
    wants_greatest = ordering.is_descending == is_first
    match ordering.column.type:
        case ValueType.DATETIME:
            return INSTANT_MAX if wants_greatest else 0
        case ValueType.INT | ValueType.BOOL:
            return 2**63 - 1 if wants_greatest else -(2**63)
        case ValueType.DOUBLE:
            return float("inf") if wants_greatest else float("-inf")
        case _:
            return None


class _Token(msgspec.Struct, array_like=True):
    """What a page token holds."""

    after: tuple[SortValue, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Token)


def pack_token(values: tuple[SortValue, ...]) -> bytes:
    """Return the token of a page that ended with these sort values."""
    return _encoder.encode(_Token(values))


def unpack_token(token: bytes, order: tuple[Ordering, ...]) -> tuple[SortValue, ...]:
    """Return the sort values that a page goes on behind; raises InvalidArgument."""
    if not token:
        return ()
    try:
        after = _decoder.decode(token).after
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"unable to deserialize page token: {error}") from None
    if len(after) != len(order):
        raise InvalidArgument(
            f"invalid page token for given sort fields: expected {len(order)} fields, "
            f"got {len(after)}"
        )
    if not all(_fits(value, each.column.type) for value, each in zip(after, order, strict=True)):
        raise InvalidArgument("invalid page token for given sort fields: expected other types")
    return after


def _fits(value: SortValue, value_type: ValueType) -> bool:
    if value is None:
        return value_type in (ValueType.KEYWORD, ValueType.KEYWORD_LIST)
    match value_type:
        case ValueType.KEYWORD | ValueType.KEYWORD_LIST:
            return isinstance(value, str)
        case ValueType.DOUBLE:
            return isinstance(value, float)
        case _:
            return isinstance(value, int) and -(2**63) <= value < 2**63
