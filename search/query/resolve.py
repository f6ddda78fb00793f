"""Names become attributes, literals values, and syntax an expression (1.2 to 1.4).

A name is looked up among the namespace's own attributes, then among system and predefined ones,
then with the `Temporal` prefix taken off or put on; ScheduleId is the WorkflowId. A query that
does not mention TemporalNamespaceDivision is about runs in no division.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from schemas.errors import InvalidArgument
from search.attributes import (
    EXECUTION_STATUS,
    NAMESPACE_DIVISION,
    PREDEFINED,
    PREFIX,
    SYSTEM,
    Value,
    ValueType,
)
from search.query import syntax
from search.query.errors import QueryError, invalid, unsupported
from search.query.expressions import (
    Column,
    Everything,
    Exists,
    Expression,
    HasWord,
    Never,
    Not,
    Order,
    Ordering,
    Query,
    StartsWith,
    conjunction,
    depth_of,
    disjunction,
    negation,
)
from search.query.parser import parse
from search.query.values import between, compared, one_of, value_of
from search.words import words_of

DEPTH_MAX: Final = 25
"""How deep AND, OR and NOT may alternate: Elasticsearch's own bound is 30."""
CONDITIONS_MAX: Final = 1_000
VALUES_MAX: Final = 20_000

DIVISION: Final = Column(NAMESPACE_DIVISION, NAMESPACE_DIVISION, ValueType.KEYWORD)

_EQUAL: Final = frozenset({"=", "!=", "in", "not in"})
_ORDERED: Final = _EQUAL | {"<", "<=", ">", ">="}
_OPERATORS: Final[Mapping[ValueType, frozenset[str]]] = {
    ValueType.TEXT: frozenset({"=", "!="}),
    ValueType.KEYWORD: _ORDERED | {"starts_with", "not starts_with"},
    ValueType.KEYWORD_LIST: _EQUAL,
    ValueType.INT: _ORDERED,
    ValueType.DOUBLE: _ORDERED,
    ValueType.BOOL: _ORDERED,
    ValueType.DATETIME: _ORDERED,
}
_RANGED: Final = (ValueType.DATETIME, ValueType.DOUBLE, ValueType.INT, ValueType.KEYWORD)
_GROUPED: Final = (EXECUTION_STATUS, NAMESPACE_DIVISION)
_SCHEDULE_ID: Final = "ScheduleId"


class Names(msgspec.Struct, frozen=True):
    """What a namespace adds to the names that all have, and what its queries may do."""

    custom: Mapping[str, int] = {}  # custom attributes: name to type
    allows_order_by: bool = True


def resolve(text: str, names: Names) -> Query:
    """Return what a query means in a namespace; raises QueryError."""
    return _Resolver(names).query(parse(text))


def list_query(text: str, names: Names) -> Query:
    """Resolve the query of a list; raises InvalidArgument for what only a count may have."""
    query = resolve(text, names)
    if query.group_by is not None:
        raise InvalidArgument("GROUP BY clause is not supported")
    if query.order_by and not names.allows_order_by:
        raise InvalidArgument("ORDER BY clause is not supported")
    return query


def within_no_division(where: Expression) -> Query:
    """Return the query of an expression built by code (ListOpen, ListClosed)."""
    return Query(conjunction(Not(Exists(DIVISION)), where))


def system_column(name: str) -> Column:
    """Return the column of a system or predefined attribute, for expressions built by code."""
    return Column(name, name, SYSTEM.get(name) or PREDEFINED[name])


class _Resolver:
    """One query being resolved: what it has mentioned so far."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._has_division = False
        self._conditions = 0
        self._values = 0

    def query(self, statement: syntax.Statement) -> Query:
        if statement.has_limit:
            raise unsupported("'LIMIT' clause")
        where = Everything() if statement.where is None else self._where(statement.where)
        group_by = self._group_by(statement.group_by)
        order_by = tuple(self._ordering(each) for each in statement.order_by)
        if not self._has_division:
            where = conjunction(Not(Exists(DIVISION)), where)
        if depth_of(where) > DEPTH_MAX:
            raise unsupported(f"AND, OR and NOT nested more than {DEPTH_MAX} deep")
        return Query(where, order_by, group_by)

    def _group_by(self, nodes: tuple[syntax.Syntax, ...]) -> Column | None:
        if len(nodes) > 1:
            raise unsupported("'GROUP BY' clause supports only a single field")
        if not nodes:
            return None
        column = self._column(nodes[0])
        if column.name not in _GROUPED:
            raise unsupported(
                f"'GROUP BY' clause is not supported for search attribute {column.alias}"
            )
        return column

    def _ordering(self, node: syntax.Sorted) -> Ordering:
        column = self._column(node.column)
        if column.type is ValueType.TEXT:
            raise unsupported(f"unable to sort by search attribute type {column.type.label}")
        return Ordering(column, node.is_descending)

    # -- conditions

    def _where(self, node: syntax.Syntax) -> Expression:
        match node:
            case syntax.Both(parts):
                return conjunction(*[self._where(part) for part in parts])
            case syntax.Either(parts):
                return disjunction(*[self._where(part) for part in parts])
            case syntax.Negated(inner):
                return negation(self._where(inner))
            case syntax.Comparison(left, operator, right):
                return self._comparison(left, operator, right)
            case syntax.Range():
                return self._range(node)
            case syntax.Is(left, suffix):
                return self._is(left, suffix)
            case syntax.Call():
                raise unsupported("function expression")
            case syntax.Name():
                raise invalid("incomplete expression")
            case syntax.Literally() | syntax.Several():
                raise unsupported(f"expression {syntax.written(node)}")

    def _comparison(self, left: syntax.Syntax, operator: str, right: syntax.Syntax) -> Expression:
        column = self._column(left)
        values = self._operands(column, right)
        if operator not in _OPERATORS[column.type]:
            raise unsupported(
                f"operator '{operator.upper()}' not supported for {column.type.label} type "
                f"search attribute '{column.alias}'"
            )
        sign = operator.removeprefix("not ")
        if isinstance(right, syntax.Several) != (sign == "in"):
            raise invalid(f"unexpected value {syntax.written(right)} for operator '{sign.upper()}'")
        self._count_condition()
        if operator == "!=" or operator.startswith("not "):
            return negation(_positive(column, "=" if sign == "!=" else sign, values))
        return _positive(column, sign, values)

    def _range(self, node: syntax.Range) -> Expression:
        column = self._column(node.left)
        if column.type not in _RANGED:
            raise invalid(
                f"cannot do range condition on search attribute '{column.alias}' of type "
                f"{column.type.label}"
            )
        low = self._operand(column, node.low)
        high = self._operand(column, node.high)
        self._count_condition()
        found = between(column, low, high)
        return negation(found) if node.is_negated else found

    def _is(self, left: syntax.Syntax, suffix: str) -> Expression:
        column = self._column(left)
        self._count_condition()
        if suffix == "null":
            return negation(Exists(column))
        if suffix == "not null":
            return Exists(column)
        raise invalid("'IS' operator can only be used as 'IS NULL' or 'IS NOT NULL'")

    def _count_condition(self) -> None:
        self._conditions += 1
        if self._conditions > CONDITIONS_MAX:
            raise unsupported(f"more than {CONDITIONS_MAX} conditions")

    # -- names and values

    def _column(self, node: syntax.Syntax) -> Column:
        if not isinstance(node, syntax.Name):
            raise invalid(f"must be a column name but was {syntax.written(node)}")
        found = self._find(node.text)
        if found is None:
            raise invalid(f"column name '{node.text}' is not a valid search attribute")
        name, value_type = found
        self._has_division |= name == NAMESPACE_DIVISION
        return Column(node.text, name, value_type)

    def _find(self, alias: str) -> tuple[str, ValueType] | None:
        if alias in self._names.custom:
            return alias, ValueType(self._names.custom[alias])
        if alias.removeprefix(PREFIX) == _SCHEDULE_ID:
            return "WorkflowId", ValueType.KEYWORD
        other = alias.removeprefix(PREFIX) if alias.startswith(PREFIX) else PREFIX + alias
        for name in (alias, other):
            value_type = SYSTEM.get(name) or PREDEFINED.get(name)
            if value_type is not None:
                return name, value_type
        return None

    def _operands(self, column: Column, node: syntax.Syntax) -> tuple[Value, ...]:
        nodes = node.values if isinstance(node, syntax.Several) else (node,)
        self._values += len(nodes)
        if self._values > VALUES_MAX:
            raise unsupported(f"more than {VALUES_MAX} values")
        return tuple(self._operand(column, each) for each in nodes)

    def _operand(self, column: Column, node: syntax.Syntax) -> Value:
        match node:
            case syntax.Literally(None):
                raise invalid("unexpected value type NULL")
            case syntax.Literally(value):
                assert value is not None
                return value_of(column, value)
            case syntax.Name(text):
                raise _unquoted(text)
            case syntax.Call("group_concat"):
                raise unsupported("'group_concat'")
            case syntax.Call():
                raise unsupported("nested func")
            case _:
                raise invalid(f"unexpected value {syntax.written(node)}")


def _unquoted(text: str) -> QueryError:
    return unsupported(
        "column name on the right side of comparison expression "
        f'(did you forget to quote "{text}"?)'
    )


def _positive(column: Column, operator: str, values: tuple[Value, ...]) -> Expression:
    if operator == "in":
        return one_of(column, values)
    value = values[0]
    if operator == "starts_with":
        prefix = str(value)
        return StartsWith(column, prefix) if prefix else Exists(column)
    if column.type is ValueType.TEXT:
        return _has_word(column, str(value))
    sign: Order = "=" if operator == "=" else operator  # type: ignore[assignment]  # checked by _OPERATORS
    return compared(column, sign, value)


def _has_word(column: Column, text: str) -> Expression:
    words = words_of(text)
    if len(words) > VALUES_MAX:
        raise unsupported(f"more than {VALUES_MAX} words")
    return HasWord(column, words) if words else Never()
