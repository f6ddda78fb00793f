"""The List Filter over archived runs: a query as the filter and the hints that an archive takes.

An archived run has what its search record had; its attributes are read from it only where a query
names one.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from archival.query import Hints
from archival.row import ArchivedRun
from schemas.temporal import common
from search.attributes import SYSTEM, Value
from search.evaluation import holds
from search.payloads import TYPE, NotDecodable, decode
from search.query.expressions import (
    Between,
    Column,
    Compare,
    Expression,
    OneOf,
    Query,
    conjuncts,
    names_in,
)

_COLUMNS: Final[Mapping[str, str]] = {
    "WorkflowId": "workflow_id",
    "RunId": "run_id",
    "WorkflowType": "workflow_type",
    "ExecutionStatus": "status",
    "StartTime": "started_at",
    "ExecutionTime": "execution_at",
    "CloseTime": "closed_at",
    "TaskQueue": "task_queue",
    "ParentWorkflowId": "parent_workflow_id",
    "ParentRunId": "parent_run_id",
    "RootWorkflowId": "root_workflow_id",
    "RootRunId": "root_run_id",
    "HistoryLength": "history_length",
    "HistorySizeBytes": "history_size_bytes",
    "StateTransitionCount": "state_transition_count",
    "ExecutionDuration": "execution_duration",
}
"""System attributes, and the fields of ArchivedRun that hold them."""
_TEXTS: Final = {
    name: _COLUMNS[name]
    for name in (
        "WorkflowId",
        "RunId",
        "WorkflowType",
        "ExecutionStatus",
        "TaskQueue",
        "ParentWorkflowId",
        "RootWorkflowId",
    )
}
_NONE: Final[Mapping[str, common.Payload]] = {}
_COUNTED: Final = frozenset({"HistoryLength", "HistorySizeBytes", "StateTransitionCount"})
"""Attributes that are not known where they are zero."""
_TIMES: Final = {name: _COLUMNS[name] for name in ("CloseTime", "StartTime")}


class Wanted:
    """A query as an `archival.query.Filter`."""

    def __init__(self, query: Query) -> None:
        self._where = query.where
        self._is_plain = names_in(query.where) <= SYSTEM.keys()
        self.hints = hints_of(query.where)

    def matches(self, run: ArchivedRun) -> bool:
        """Whether a run is wanted."""
        given = _NONE if self._is_plain else run.shown().search_attributes.indexed_fields
        return holds(self._where, lambda column: _values(run, column, given))


def hints_of(where: Expression) -> Hints:
    """Return what every run that matches fulfils, as far as an archive can use it."""
    equal: dict[str, frozenset[str]] = {}
    at_least: dict[str, int] = {}
    at_most: dict[str, int] = {}
    for part in conjuncts(where):
        if (texts := _texts(part)) is not None:
            column, wanted = texts
            equal[column] = equal.get(column, wanted) & wanted
        elif (span := _span(part)) is not None:
            column, low, high = span
            if low is not None:
                at_least[column] = max(low, at_least.get(column, low))
            if high is not None:
                at_most[column] = min(high, at_most.get(column, high))
    return Hints(equal=equal, at_least=at_least, at_most=at_most)


def _texts(part: Expression) -> tuple[str, frozenset[str]] | None:
    """Return the field and the values that a condition asks for, if it asks for certain ones."""
    match part:
        case Compare(column, "=", value) if column.name in _TEXTS:
            return _TEXTS[column.name], frozenset({str(value)})
        case OneOf(column, values) if column.name in _TEXTS:
            return _TEXTS[column.name], frozenset(str(value) for value in values)
        case _:
            return None


def _span(part: Expression) -> tuple[str, int | None, int | None] | None:
    """Return the field and the bounds that a condition sets to a time, if it does."""
    match part:
        case Compare(column, sign, int(value)) if column.name in _TIMES:
            low = {"=": value, ">=": value, ">": value + 1}.get(sign)
            high = {"=": value, "<=": value, "<": value - 1}.get(sign)
            return _TIMES[column.name], low, high
        case Between(column, int(low), int(high)) if column.name in _TIMES:
            return _TIMES[column.name], low, high
        case OneOf(column, values) if column.name in _TIMES:
            instants = [int(value) for value in values]
            return _TIMES[column.name], min(instants), max(instants)
        case _:
            return None


def _values(
    run: ArchivedRun, column: Column, given: Mapping[str, common.Payload]
) -> Sequence[Value]:
    """Return what a run has in a column; `given` are its search attributes."""
    if column.name in SYSTEM:
        value = getattr(run, _COLUMNS[column.name])
        is_lacking = value is None or value == "" or (value == 0 and column.name in _COUNTED)
        return () if is_lacking else (value,)
    payload = given.get(column.name)
    if payload is None or payload.metadata.get(TYPE, _label(column)) != _label(column):
        return ()
    try:
        held = decode(payload, column.type)
    except NotDecodable:
        return ()
    return () if held is None else held.values


def _label(column: Column) -> bytes:
    return column.type.label.encode()


def _fields() -> frozenset[str]:
    return frozenset(each.name for each in msgspec.structs.fields(ArchivedRun))


assert set(_COLUMNS) == set(SYSTEM), "expected every system attribute to have its field"
assert set(_COLUMNS.values()) <= _fields(), "expected fields of ArchivedRun"
