"""The third opinion on a query: an evaluator that is slow, obvious, and shares no store's code.

It reads the syntax tree, not the resolved expression, and knows types only by the documents and
the names it is given; so what the resolver, the generators and the stores agree on is compared
with something that none of them wrote.
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from search.attributes import PREDEFINED, SYSTEM, ValueType
from search.document import Document, system_values
from search.query import syntax
from search.query.parser import parse
from search.query.values import STATUS_NAMES
from search.words import words_of

DIVISION = "TemporalNamespaceDivision"
NS = 1_000_000_000
UNITS = {"ns": 1, "us": 1_000, "ms": 10**6, "s": NS, "m": 60 * NS, "h": 3600 * NS, "d": 86400 * NS}
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def matching(
    documents: Iterable[Document], namespace_id: str, text: str, custom: Mapping[str, int]
) -> list[Document]:
    """Return the documents that a query lists, in its order."""
    statement = parse(text)
    found = [
        document
        for document in documents
        if document.namespace_id == namespace_id and _holds(document, statement, custom)
    ]
    return sorted(found, key=functools.cmp_to_key(_comparison(statement.order_by, custom)))


def grouped(
    documents: Iterable[Document], namespace_id: str, text: str, custom: Mapping[str, int]
) -> dict[Any, int]:
    """Return the counts of a query with GROUP BY."""
    column = parse(text).group_by[0]
    assert isinstance(column, syntax.Name)
    counts: Counter[Any] = Counter()
    for document in matching(documents, namespace_id, text, custom):
        counts[next(iter(values_of(document, column.text, custom)), "")] += 1
    return dict(counts)


def values_of(document: Document, name: str, custom: Mapping[str, int]) -> Sequence[Any]:
    """Return the values that a document has under a name of a query."""
    name, value_type = _named(name, custom)
    if name in SYSTEM:
        held = system_values(document)
        return [held[name]] if name in held else []
    attribute = document.attributes.get(name)
    if attribute is None or attribute.type != value_type:
        return []
    return attribute.values[:1] if name == DIVISION else attribute.values


def _named(name: str, custom: Mapping[str, int]) -> tuple[str, ValueType]:
    if name in custom:
        return name, ValueType(custom[name])
    if name in ("ScheduleId", "TemporalScheduleId"):
        return "WorkflowId", ValueType.KEYWORD
    short = name.removeprefix("Temporal")
    for each in (name, short, f"Temporal{short}"):
        if each in SYSTEM or each in PREDEFINED:
            return each, SYSTEM.get(each) or PREDEFINED[each]
    raise AssertionError(f"expected a known name, found {name}")


def _holds(document: Document, statement: syntax.Statement, custom: Mapping[str, int]) -> bool:
    everything = repr((statement.where, statement.group_by, statement.order_by))
    mentions_division = "NamespaceDivision'" in everything
    if not mentions_division and DIVISION in document.attributes:
        return False
    return statement.where is None or _true(document, statement.where, custom)


def _true(document: Document, node: syntax.Syntax, custom: Mapping[str, int]) -> bool:
    match node:
        case syntax.Both(parts):
            return all(_true(document, part, custom) for part in parts)
        case syntax.Either(parts):
            return any(_true(document, part, custom) for part in parts)
        case syntax.Negated(inner):
            return not _true(document, inner, custom)
        case syntax.Is(syntax.Name(name), suffix):
            return bool(values_of(document, name, custom)) == (suffix == "not null")
        case syntax.Range(syntax.Name(name), low, high, is_negated):
            least, most = (_literal(each, name, custom) for each in (low, high))
            found = any(least <= each <= most for each in _comparable(document, name, custom))
            return found != is_negated
        case syntax.Comparison(syntax.Name(name), operator, right):
            positive = {"!=": "="}.get(operator, operator.removeprefix("not "))
            return _compares(document, name, positive, right, custom) == (positive == operator)
        case _:
            raise AssertionError(f"expected a condition, found {node}")


def _compares(
    document: Document, name: str, sign: str, right: syntax.Syntax, custom: Mapping[str, int]
) -> bool:
    held = _comparable(document, name, custom)
    if sign == "in":
        assert isinstance(right, syntax.Several)
        wanted = [_literal(each, name, custom) for each in right.values]
        return any(each in wanted for each in held)
    value = _literal(right, name, custom)
    if sign == "starts_with":
        return any(each.startswith(value) for each in held)
    if _named(name, custom)[1] is ValueType.TEXT:
        wanted_words = set(words_of(value.decode()))
        return any(wanted_words & set(words_of(each.decode())) for each in held)
    return any(SIGNS[sign](each, value) for each in held)


def _comparable(document: Document, name: str, custom: Mapping[str, int]) -> list[Any]:
    return [_bytes(each) for each in values_of(document, name, custom)]


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _literal(node: syntax.Syntax, name: str, custom: Mapping[str, int]) -> Any:
    assert isinstance(node, syntax.Literally)
    value = node.value
    column, value_type = _named(name, custom)
    if column == "ExecutionStatus":
        return _bytes(_status(value))
    if column == "ExecutionDuration" and isinstance(value, str):
        return _duration(value)
    if value_type is ValueType.DATETIME and isinstance(value, str):
        return _time(value)
    return _bytes(value)


def _status(value: Any) -> str:
    if isinstance(value, int):
        return STATUS_NAMES[value]
    words = value.removeprefix("WORKFLOW_EXECUTION_STATUS_")
    return value if words == value else "".join(part.title() for part in words.split("_"))


def _duration(text: str) -> int:
    if ":" in text:
        hours, minutes, seconds = (int(part) for part in text.split(":"))
        return ((hours * 60 + minutes) * 60 + seconds) * NS
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    parts = re.findall(r"([\d.]+)([a-z]+)", text)
    total = sum(round(float(number) * UNITS[unit]) for number, unit in parts)
    return -total if text.startswith("-") else total


def _time(text: str) -> int:
    whole, _, fraction = re.sub(r"(Z|[+-]\d\d:\d\d)$", "", text).partition(".")
    zone = text[len(whole) + len(fraction) + bool(fraction) :].replace("Z", "+00:00")
    instant = datetime.fromisoformat(whole + zone).astimezone(UTC)
    seconds = (instant - datetime(1970, 1, 1, tzinfo=UTC)).days * 86400
    seconds += instant.hour * 3600 + instant.minute * 60 + instant.second
    return seconds * NS + int((fraction or "0").ljust(9, "0")[:9])


# -- order


def _comparison(
    order_by: Sequence[syntax.Sorted], custom: Mapping[str, int]
) -> Callable[[Document, Document], int]:
    def compare(left: Document, right: Document) -> int:
        for key, is_descending in keys:
            before, after = key(left), key(right)
            if before != after:
                is_less = before < after
                return 1 if is_less == is_descending else -1
        return 0

    keys = [*_keys(order_by, custom), (lambda document: document.run_id, True)]
    return compare


def _keys(
    order_by: Sequence[syntax.Sorted], custom: Mapping[str, int]
) -> list[tuple[Callable[[Document], Any], bool]]:
    if not order_by:
        return [
            (lambda document: (document.closed_at is None, document.closed_at or 0), True),
            (lambda document: document.started_at, True),
        ]
    return [(_key(each, custom), each.is_descending) for each in order_by]


def _key(item: syntax.Sorted, custom: Mapping[str, int]) -> Callable[[Document], Any]:
    assert isinstance(item.column, syntax.Name)
    name = item.column.text
    value_type = _named(name, custom)[1]

    def key(document: Document) -> Any:
        held = values_of(document, name, custom)
        if not held:
            return _lacking(value_type, is_descending=item.is_descending)
        first = max(held) if item.is_descending else min(held)
        return (0, first) if isinstance(first, str) else first

    return key


def _lacking(value_type: ValueType, *, is_descending: bool) -> Any:
    """Return what sorts last: as Elasticsearch does it, which has a least time (1970)."""
    if value_type in (ValueType.KEYWORD, ValueType.KEYWORD_LIST):
        return (-1, "") if is_descending else (1, "")
    if value_type is ValueType.DOUBLE:
        return -math.inf if is_descending else math.inf
    least = 0 if value_type is ValueType.DATETIME else -(2**63)
    return least if is_descending else 2**63 - 1
