"""An expression as an SQL condition on `runs AS r`, with parameters. Pure.

A leaf may be NULL where the run lacks the attribute; AND and OR keep that harmless and NOT turns
it into true (`IS NOT TRUE`), which is the two-valued meaning of `expressions.py`. Custom and
predefined attributes are rows of `postings`, words rows of the full-text table `texts`; both know
an attribute by the number it has in the run's space (`ids`). One without a number has no rows.
"""

# ruff: noqa: S608 - the pieces are constants of this package; values are always parameters

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from search.attributes import NAMESPACE_DIVISION, Value, ValueType
from search.query.expressions import (
    All,
    Any,
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
    StartsWith,
)
from search.words import PRESENCE


class Sql(NamedTuple):
    """A piece of SQL and its parameters."""

    text: str
    parameters: tuple[Value | None, ...] = ()


COLUMNS: Final[Mapping[str, str]] = {
    "WorkflowId": "workflow_id",
    "RunId": "run_id",
    "WorkflowType": "workflow_type",
    "TaskQueue": "task_queue",
    "ParentWorkflowId": "parent_workflow_id",
    "ParentRunId": "parent_run_id",
    "RootWorkflowId": "root_workflow_id",
    "RootRunId": "root_run_id",
    "ExecutionStatus": "status",
    "StartTime": "started_at",
    "ExecutionTime": "execution_at",
    "CloseTime": "closed_at",
    "ExecutionDuration": "execution_duration",
    "HistoryLength": "history_length",
    "HistorySizeBytes": "history_bytes",
    "StateTransitionCount": "state_transition_count",
    NAMESPACE_DIVISION: "division",
}
"""Attributes that are columns of `runs`."""

_FALSE: Final = Sql("0")
_TRUE: Final = Sql("1")


def condition(expression: Expression, ids: Mapping[str, int]) -> Sql:
    """Return the condition that an expression is of a row `r` of `runs`."""
    match expression:
        case Everything():
            return _TRUE
        case Never():
            return _FALSE
        case Not(inner):
            text, parameters = condition(inner, ids)
            return Sql(f"({text}) IS NOT TRUE", parameters)
        case All(parts):
            return joined("AND", [condition(part, ids) for part in parts])
        case Any(parts):
            return joined("OR", [condition(part, ids) for part in parts])
        case _:
            return leaf(expression, ids)


def joined(word: str, parts: Sequence[Sql]) -> Sql:
    """Join conditions in a balanced tree: SQLite bounds the depth of an expression."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    left, right = joined(word, parts[:middle]), joined(word, parts[middle:])
    return Sql(f"({left.text} {word} {right.text})", left.parameters + right.parameters)


def leaf(expression: Leaf, ids: Mapping[str, int]) -> Sql:
    """Return the condition of one leaf."""
    column = expression.column
    if column.name in COLUMNS:
        return _of_column(expression, f"r.{COLUMNS[column.name]}")
    if column.key not in ids:
        return _FALSE
    if column.type is ValueType.TEXT:
        matched = matching_words(expression, ids[column.key])
        return Sql(f"r.id IN ({matched.text})", matched.parameters)
    text, parameters = posted(expression, ids[column.key])
    return Sql(f"EXISTS (SELECT 1 FROM postings AS p WHERE p.run = r.id AND {text})", parameters)


def posted(expression: Leaf, attribute: int) -> Sql:
    """Return the condition that a leaf is of a row `p` of `postings`."""
    if isinstance(expression, Exists):
        return Sql("p.attribute = ?", (attribute,))
    text, parameters = _of_value(expression, "p.value")
    return Sql(f"p.attribute = ? AND {text}", (attribute, *parameters))


def matching_words(expression: Leaf, attribute: int) -> Sql:
    """Return the select of the runs whose text has one of the words, or is there at all."""
    words = expression.words if isinstance(expression, HasWord) else (PRESENCE,)
    matched = " OR ".join(f'"{word_token(attribute, word)}"' for word in words)
    return Sql("SELECT rowid FROM texts WHERE texts MATCH ?", (matched,))


def word_token(attribute: int, word: str) -> str:
    """Return a word as the full-text table has it: with the attribute it belongs to."""
    return f"{attribute}_{word}"


def beyond_prefix(prefix: str) -> str | None:
    """Return the first string behind all that begin so, by UTF-8 bytes; None: there is none."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)


def sort_key(column: Column, ids: Mapping[str, int], *, is_descending: bool) -> Sql:
    """Return what a run is sorted by; of several values the one that comes first."""
    if column.name in COLUMNS:
        return Sql(f"r.{COLUMNS[column.name]}")
    if column.key not in ids:
        return Sql("NULL")
    pick = "max" if is_descending else "min"
    return Sql(
        f"(SELECT {pick}(p.value) FROM postings AS p WHERE p.run = r.id AND p.attribute = ?)",
        (ids[column.key],),
    )


def _of_column(expression: Leaf, column: str) -> Sql:
    if isinstance(expression, Exists):
        return Sql(f"{column} IS NOT NULL")
    condition_of = _of_value(expression, column)
    if column != "r.closed_at" or isinstance(expression, OneOf | StartsWith | HasWord):
        return condition_of
    place = _of_value(expression, "r.place")  # the same, as a range of the default order
    return Sql(
        f"({condition_of.text} AND {place.text})", condition_of.parameters + place.parameters
    )


def _of_value(expression: Leaf, column: str) -> Sql:
    match expression:
        case Compare(operator=operator, value=value):
            return Sql(f"{column} {operator} ?", (value,))
        case OneOf(values=values):
            marks = ", ".join("?" * len(values))
            return Sql(f"{column} IN ({marks})", values)
        case Between(low=low, high=high):
            return Sql(f"{column} BETWEEN ? AND ?", (low, high))
        case StartsWith(prefix=prefix):
            return _of_prefix(prefix, column)
        case _:
            raise AssertionError(f"expected a comparison, found {expression}")


def _of_prefix(prefix: str, column: str) -> Sql:
    end = beyond_prefix(prefix)
    if end is None:
        return Sql(f"{column} >= ?", (prefix,))
    return Sql(f"({column} >= ? AND {column} < ?)", (prefix, end))
