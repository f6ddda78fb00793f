"""What a query means: expressions over typed columns, the same for every store.

Two-valued: a leaf is true or false of a run, and false where the run lacks the attribute, so
`!=` and NOT hold for runs without it (as Elasticsearch answers). A leaf on an attribute with
several values is true if one of them makes it so. Values have the column's type and are in its
range; what can never or must always hold has become Never or Exists.
"""

from typing import Literal

import msgspec

from search.attributes import Value, ValueType, key_of

Order = Literal["=", "<", "<=", ">", ">="]


class Column(msgspec.Struct, frozen=True):
    """An attribute as a query names it (`alias`) and as runs carry it (`name`, `type`)."""

    alias: str
    name: str
    type: ValueType

    @property
    def key(self) -> str:
        """The key under which stores keep it."""
        return key_of(self.name, self.type)


class Everything(msgspec.Struct, frozen=True):
    """True of every run."""


class Never(msgspec.Struct, frozen=True):
    """True of no run."""


class Compare(msgspec.Struct, frozen=True):
    """A value compared; strings by the bytes of their UTF-8."""

    column: Column
    operator: Order
    value: Value


class OneOf(msgspec.Struct, frozen=True):
    """A value among several, at least one."""

    column: Column
    values: tuple[Value, ...]


class Between(msgspec.Struct, frozen=True):
    """One value within both bounds, inclusive."""

    column: Column
    low: Value
    high: Value


class StartsWith(msgspec.Struct, frozen=True):
    """A string that begins so."""

    column: Column
    prefix: str


class HasWord(msgspec.Struct, frozen=True):
    """A text with at least one of these words (`words.py`)."""

    column: Column
    words: tuple[str, ...]


class Exists(msgspec.Struct, frozen=True):
    """The run has the attribute."""

    column: Column


class Not(msgspec.Struct, frozen=True):
    """The opposite."""

    inner: "Expression"


class All(msgspec.Struct, frozen=True):
    """Every part holds; at least two."""

    parts: tuple["Expression", ...]


class Any(msgspec.Struct, frozen=True):
    """A part holds; at least two."""

    parts: tuple["Expression", ...]


Leaf = Compare | OneOf | Between | StartsWith | HasWord | Exists
Expression = (
    Everything | Never | Compare | OneOf | Between | StartsWith | HasWord | Exists | Not | All | Any
)


class Ordering(msgspec.Struct, frozen=True):
    """One item of ORDER BY; runs without the attribute come last."""

    column: Column
    is_descending: bool


class Query(msgspec.Struct, frozen=True):
    """A query with its namespace division settled; what stores get."""

    where: Expression = Everything()
    order_by: tuple[Ordering, ...] = ()
    group_by: Column | None = None


def negation(inner: Expression) -> Expression:
    """Return NOT inner."""
    match inner:
        case Not(positive):
            return positive
        case Never():
            return Everything()
        case Everything():
            return Never()
        case _:
            return Not(inner)


def conjunction(*parts: Expression) -> Expression:
    """Return the parts joined by AND, flat and without what is always true."""
    flat: list[Expression] = []
    for part in parts:
        if isinstance(part, Never):
            return part
        if not isinstance(part, Everything):
            flat += part.parts if isinstance(part, All) else (part,)
    if len(flat) < 2:
        return flat[0] if flat else Everything()
    return All(tuple(flat))


def disjunction(*parts: Expression) -> Expression:
    """Return the parts joined by OR, flat and without what is never true."""
    flat: list[Expression] = []
    for part in parts:
        if isinstance(part, Everything):
            return part
        if not isinstance(part, Never):
            flat += part.parts if isinstance(part, Any) else (part,)
    if len(flat) < 2:
        return flat[0] if flat else Never()
    return Any(tuple(flat))


def conjuncts(expression: Expression) -> tuple[Expression, ...]:
    """Return the parts that all must hold."""
    match expression:
        case Everything():
            return ()
        case All(parts):
            return parts
        case _:
            return (expression,)


def names_in(expression: Expression) -> frozenset[str]:
    """Return the keys of the columns that an expression looks at."""
    match expression:
        case Everything() | Never():
            return frozenset()
        case Not(inner):
            return names_in(inner)
        case All(parts) | Any(parts):
            return frozenset[str]().union(*(names_in(part) for part in parts))
        case _:
            return frozenset({expression.column.key})


def depth_of(expression: Expression) -> int:
    """Return how deep AND, OR and NOT nest."""
    match expression:
        case Not(inner):
            return 1 + depth_of(inner)
        case All(parts) | Any(parts):
            return 1 + max(depth_of(part) for part in parts)
        case _:
            return 0
