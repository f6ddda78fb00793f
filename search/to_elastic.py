"""An expression as Elasticsearch's query DSL. Pure.

Attributes are fields of the document that `mapping.py` makes; times go as text, so that no digit
is lost. AND, OR and NOT become one `bool` each; conditions filter, nothing is scored.
"""

from typing import Any, Final

from search.attributes import Value, ValueType
from search.pages import orderings, stand_in
from search.query.expressions import (
    All,
    Between,
    Column,
    Compare,
    Everything,
    Exists,
    Expression,
    HasWord,
    Leaf,
    Never,
    Not,
    OneOf,
    Ordering,
    Query,
    StartsWith,
)
from search.query.expressions import Any as Either
from search.times import format_instant

Dsl = dict[str, Any]

NAMESPACE: Final = "NamespaceId"

_RANGES: Final = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_SORT_TYPES: Final = {
    ValueType.KEYWORD: "keyword",
    ValueType.KEYWORD_LIST: "keyword",
    ValueType.INT: "long",
    ValueType.DOUBLE: "double",
    ValueType.BOOL: "boolean",
    ValueType.DATETIME: "date_nanos",
}


def search_query(namespace_id: str, where: Expression) -> Dsl:
    """Return the query of the runs of a namespace that match."""
    own: Dsl = {"term": {NAMESPACE: {"value": namespace_id}}}
    match where:
        case Everything():
            return {"bool": {"filter": [own]}}
        case All():
            return {"bool": _merged(own, clauses(where)["bool"])}
        case Not(inner):
            return {"bool": {"filter": [own], "must_not": [clauses(inner)]}}
        case _:
            return {"bool": {"filter": [own, clauses(where)]}}


def clauses(expression: Expression) -> Dsl:
    """Return the query of an expression."""
    match expression:
        case Everything():
            return {"match_all": {}}
        case Never():
            return {"match_none": {}}
        case Not(inner):
            return {"bool": {"must_not": [clauses(inner)]}}
        case All(parts):
            return {"bool": _conjunction(parts)}
        case Either(parts):
            alternatives = [clauses(part) for part in parts]
            return {"bool": {"should": alternatives, "minimum_should_match": 1}}
        case _:
            return _leaf(expression)


def sort(query: Query) -> list[Dsl]:
    """Return the order of a list; what is lacking comes first in the default order, else last."""
    is_default = not query.order_by
    return [_sorted(each, is_first=is_default) for each in orderings(query)]


def grouping(column: Column) -> Dsl:
    """Return the aggregation that counts by a column; what is lacking counts as ""."""
    return {"terms": {"field": column.key, "size": 10_000, "missing": ""}}


def _conjunction(parts: tuple[Expression, ...]) -> Dsl:
    wanted = [clauses(part) for part in parts if not isinstance(part, Not)]
    unwanted = [clauses(part.inner) for part in parts if isinstance(part, Not)]
    both = {"filter": wanted, "must_not": unwanted}
    return {word: each for word, each in both.items() if each}


def _merged(own: Dsl, body: Dsl) -> Dsl:
    return {**body, "filter": [own, *body.get("filter", ())]}


def _leaf(expression: Leaf) -> Dsl:
    column = expression.column
    field = column.key
    match expression:
        case Compare(operator="=", value=value):
            return {"term": {field: {"value": _value(column, value)}}}
        case Compare(operator=operator, value=value):
            return {"range": {field: {_RANGES[operator]: _value(column, value)}}}
        case Between(low=low, high=high):
            bounds = {"gte": _value(column, low), "lte": _value(column, high)}
            return {"range": {field: bounds}}
        case OneOf(values=values):
            return {"terms": {field: [_value(column, value) for value in values]}}
        case _:
            return _leaf_of_text(expression, field)


def _leaf_of_text(expression: StartsWith | HasWord | Exists, field: str) -> Dsl:
    match expression:
        case StartsWith(prefix=prefix):
            return {"prefix": {field: {"value": prefix}}}
        case HasWord(words=words):
            return {"terms": {field: list(words)}}
        case Exists():
            return {"exists": {"field": field}}


def _value(column: Column, value: Value) -> Value:
    if column.type is ValueType.DATETIME and isinstance(value, int):
        return format_instant(value)
    return value


def _sorted(ordering: Ordering, *, is_first: bool) -> Dsl:
    options = {
        "order": "desc" if ordering.is_descending else "asc",
        "missing": "_first" if is_first else "_last",
        "unmapped_type": _SORT_TYPES[ordering.column.type],
    }
    assert stand_in(ordering, is_first=is_first) is not False
    return {ordering.column.key: options}
