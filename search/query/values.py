"""Literals become values of their column's type: Temporal's rules and error texts (1.2).

Numbers are fitted to the column: `Int > 1.5` means `Int > 1`, and what lies beyond a column's
range turns into Never or Exists, so that no store meets a value it cannot hold.
"""

import math
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from schemas.temporal import enums
from search.attributes import EXECUTION_DURATION, EXECUTION_STATUS, Value, ValueType
from search.query.errors import QueryError, invalid
from search.query.expressions import (
    Between,
    Column,
    Compare,
    Exists,
    Expression,
    Never,
    OneOf,
    Order,
)
from search.times import INSTANT_MAX, parse_instant, parse_span

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

_PREFIX: Final = "WORKFLOW_EXECUTION_STATUS_"
_LITERALS: Final[Mapping[ValueType, tuple[type, ...]]] = {
    ValueType.TEXT: (str,),
    ValueType.KEYWORD: (str,),
    ValueType.KEYWORD_LIST: (str,),
    ValueType.INT: (int, float),
    ValueType.DOUBLE: (int, float),
    ValueType.BOOL: (bool,),
    ValueType.DATETIME: (int,),
}


def _status_name(full: str) -> str:
    return "".join(word.capitalize() for word in full.removeprefix(_PREFIX).split("_"))


STATUS_NAMES: Final[Mapping[int, str]] = {
    number: _status_name(full) for full, number in enums.WorkflowExecutionStatus.items()
}
"""Statuses by number, as queries and stores spell them: `TimedOut`."""
_STATUSES: Final[Mapping[str, str]] = {
    **{name: name for name in STATUS_NAMES.values()},
    **{full: _status_name(full) for full in enums.WorkflowExecutionStatus.keys()},  # noqa: SIM118 - an enum wrapper, not a dict
}


def value_of(column: Column, literal: Value) -> Value:
    """Return a literal as a value of its column; numbers stay as written. Raises QueryError."""
    if column.name == EXECUTION_STATUS:
        return _status(literal)
    if column.name == EXECUTION_DURATION:
        return _duration(literal)
    if column.type is ValueType.DATETIME and isinstance(literal, str):
        return _instant(literal)
    if type(literal) in _LITERALS[column.type]:
        return literal
    raise _wrong_type(column, literal)


def _status(literal: Value) -> str:
    if isinstance(literal, bool | float):
        raise _unexpected(literal, EXECUTION_STATUS)
    if isinstance(literal, int):
        if literal not in STATUS_NAMES:
            raise invalid(f"invalid {EXECUTION_STATUS} value {literal}")
        return STATUS_NAMES[literal]
    if literal not in _STATUSES:
        raise invalid(f"invalid {EXECUTION_STATUS} value '{literal}'")
    return _STATUSES[literal]


def _duration(literal: Value) -> int:
    if isinstance(literal, bool | float):
        raise _unexpected(literal, EXECUTION_DURATION)
    if isinstance(literal, int):
        return literal
    try:
        return parse_span(literal)
    except ValueError:
        raise invalid(
            f"invalid duration value for search attribute {EXECUTION_DURATION}: {literal}"
        ) from None


def _instant(literal: str) -> int:
    try:
        return parse_instant(literal)
    except ValueError:
        raise invalid(f"unable to parse datetime '{literal}'") from None


def _unexpected(literal: Value, name: str) -> QueryError:
    return invalid(f"unexpected value type {_kind(literal)} for search attribute {name}")


def _wrong_type(column: Column, literal: Value) -> QueryError:
    return invalid(
        f"invalid value type for search attribute {column.alias} of type {column.type.label}: "
        f"{_shown(literal)} (type: {_kind(literal)})"
    )


def _kind(literal: Value) -> str:
    """Return the type's name in Temporal's messages."""
    names = {bool: "bool", int: "int64", float: "float64", str: "string"}
    return names[type(literal)]


def _shown(literal: Value) -> str:
    if isinstance(literal, bool):
        return str(literal).lower()
    if isinstance(literal, str):
        escaped = literal.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return (
        format(Decimal(repr(literal)).normalize(), "f") if literal == literal // 1 else str(literal)
    )


# -- fitting values to what a column can hold


def compared(column: Column, sign: Order, value: Value) -> Expression:
    """Return `column sign value` with the value fitted to the column."""
    if column.type is ValueType.BOOL:
        return _compared_bool(column, sign, bool(value))
    if isinstance(value, float) and math.isinf(value):
        is_true = sign != "=" and (value > 0) == (sign in ("<", "<="))
        return Exists(column) if is_true else Never()
    if column.type is ValueType.DOUBLE:
        return Compare(column, sign, as_double(value))
    if column.type in (ValueType.INT, ValueType.DATETIME) and not isinstance(value, str):
        return _compared_int(column, sign, value)
    return Compare(column, sign, value)


def between(column: Column, low: Value, high: Value) -> Expression:
    """Return `column BETWEEN low AND high`; one value of several must be within both bounds."""
    least, most = compared(column, ">=", low), compared(column, "<=", high)
    if isinstance(least, Never) or isinstance(most, Never):
        return Never()
    if isinstance(least, Compare) and isinstance(most, Compare):
        return Between(column, least.value, most.value)
    return most if isinstance(least, Exists) else least


def one_of(column: Column, values: tuple[Value, ...]) -> Expression:
    """Return `column IN values` without the values that the column cannot hold."""
    fitted = (compared(column, "=", value) for value in values)
    held = dict.fromkeys(each.value for each in fitted if isinstance(each, Compare))
    if not held:
        return Never()
    return OneOf(column, tuple(held)) if len(held) > 1 else Compare(column, "=", next(iter(held)))


def as_double(value: Value) -> float:
    """Return a number as stores keep doubles: there is one zero."""
    return float(value) + 0.0


_COMPARE: Final[Mapping[Order, Callable[[bool, bool], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compared_bool(column: Column, sign: Order, value: bool) -> Expression:  # noqa: FBT001 - a value, not a flag
    held = tuple(each for each in (False, True) if _COMPARE[sign](each, value))
    if not held:
        return Never()
    return Exists(column) if len(held) == 2 else Compare(column, "=", held[0])


def _compared_int(column: Column, sign: Order, value: float) -> Expression:
    low = 0 if column.type is ValueType.DATETIME else INT_MIN
    high = INSTANT_MAX if column.type is ValueType.DATETIME else INT_MAX
    if sign == "=":
        is_held = value == value // 1 and low <= value <= high
        return Compare(column, "=", int(value)) if is_held else Never()
    # from here on in closed bounds: > 1.5 is >= 2, < 1.5 is <= 1
    if sign in (">", ">="):
        least = math.floor(value) + 1 if sign == ">" else math.ceil(value)
        if least > high:
            return Never()
        return Exists(column) if least <= low else Compare(column, ">=", least)
    most = math.ceil(value) - 1 if sign == "<" else math.floor(value)
    if most < low:
        return Never()
    return Exists(column) if most >= high else Compare(column, "<=", most)
