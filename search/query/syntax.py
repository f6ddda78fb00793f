"""The syntax tree of a query: what was written, before names and types mean anything."""

from typing import Literal

import msgspec


class Name(msgspec.Struct, frozen=True):
    """A column: case-sensitive, without its backticks."""

    text: str


class Literally(msgspec.Struct, frozen=True):
    """A string, a number or a boolean; None is NULL."""

    value: str | bool | int | float | None


class Several(msgspec.Struct, frozen=True):
    """Values in parentheses, the right side of IN."""

    values: tuple["Operand", ...]


class Call(msgspec.Struct, frozen=True):
    """A function call; never supported, so its arguments are not kept."""

    name: str


Operand = Name | Literally | Several | Call

Operator = Literal[
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "not in",
    "starts_with",
    "not starts_with",
    "like",
    "not like",
    "regexp",
    "not regexp",
]


class Comparison(msgspec.Struct, frozen=True):
    """left operator right."""

    left: "Syntax"
    operator: str  # an Operator
    right: "Syntax"


class Range(msgspec.Struct, frozen=True):
    """left [NOT] BETWEEN low AND high."""

    left: "Syntax"
    low: "Syntax"
    high: "Syntax"
    is_negated: bool


class Is(msgspec.Struct, frozen=True):
    """left IS suffix: `null`, `not null`, and others that are not supported."""

    left: "Syntax"
    suffix: str


class Negated(msgspec.Struct, frozen=True):
    """NOT inner."""

    inner: "Syntax"


class Both(msgspec.Struct, frozen=True):
    """parts joined by AND, nested ones flattened."""

    parts: tuple["Syntax", ...]


class Either(msgspec.Struct, frozen=True):
    """parts joined by OR, nested ones flattened."""

    parts: tuple["Syntax", ...]


Syntax = Name | Literally | Several | Call | Comparison | Range | Is | Negated | Both | Either


class Sorted(msgspec.Struct, frozen=True):
    """One item of ORDER BY."""

    column: Syntax
    is_descending: bool


class Statement(msgspec.Struct, frozen=True):
    """A whole query; without a condition it is about everything."""

    where: Syntax | None = None
    group_by: tuple[Syntax, ...] = ()
    order_by: tuple[Sorted, ...] = ()
    has_limit: bool = False


def written(node: Syntax) -> str:
    """Return a node as text for errors and fixtures: operators first, everything in brackets."""
    match node:
        case Name(text):
            return text
        case Literally(value):
            return _literal(value)
        case Several(values):
            return f"({', '.join(written(value) for value in values)})"
        case Call(name):
            return f"{name}(...)"
        case _:
            return f"[{_operation(node)}]"


def _operation(node: Comparison | Range | Is | Negated | Both | Either) -> str:
    match node:
        case Negated(inner):
            return f"not {written(inner)}"
        case Comparison(left, operator, right):
            return f"{operator} {written(left)} {written(right)}"
        case Range(left, low, high, is_negated):
            word = "not between" if is_negated else "between"
            return f"{word} {written(left)} {written(low)} {written(high)}"
        case Is(left, suffix):
            return f"is {suffix} {written(left)}"
        case Both(parts) | Either(parts):
            word = "and" if isinstance(node, Both) else "or"
            return f"{word} {' '.join(written(part) for part in parts)}"


def _literal(value: str | bool | float | None) -> str:  # noqa: FBT001 - a value, not a flag
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
