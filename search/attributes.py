"""Search attributes: their types, and the table of those that every namespace has.

A custom attribute belongs to its namespace: the same name may have another type elsewhere, so the
key under which a store keeps it is made of type and name. How values come out of payloads is in
`payloads.py`, what may be written in `validation.py`.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import msgspec

Value = bool | int | float | str
"""One value: Text and Keyword str, Datetime ns since 1970, the rest as named."""


class ValueType(IntEnum):
    """Types of search attributes: temporal.api.enums.v1.IndexedValueType by its short names."""

    TEXT = 1
    KEYWORD = 2
    INT = 3
    DOUBLE = 4
    BOOL = 5
    DATETIME = 6
    KEYWORD_LIST = 7

    @property
    def label(self) -> str:
        """The name in errors, in payload metadata and on the command line."""
        return _LABELS[self]


_LABELS: Final = {
    ValueType.TEXT: "Text",
    ValueType.KEYWORD: "Keyword",
    ValueType.INT: "Int",
    ValueType.DOUBLE: "Double",
    ValueType.BOOL: "Bool",
    ValueType.DATETIME: "Datetime",
    ValueType.KEYWORD_LIST: "KeywordList",
}
BY_LABEL: Final[Mapping[str, ValueType]] = {label: each for each, label in _LABELS.items()}


class Attribute(msgspec.Struct, frozen=True, array_like=True):
    """What a run has in one attribute; at least one value, each once."""

    type: int
    values: tuple[Value, ...]


NAMESPACE_DIVISION: Final = "TemporalNamespaceDivision"
EXECUTION_STATUS: Final = "ExecutionStatus"
EXECUTION_DURATION: Final = "ExecutionDuration"

SYSTEM: Final[Mapping[str, ValueType]] = {
    "WorkflowId": ValueType.KEYWORD,
    "RunId": ValueType.KEYWORD,
    "WorkflowType": ValueType.KEYWORD,
    "TaskQueue": ValueType.KEYWORD,
    "ParentWorkflowId": ValueType.KEYWORD,
    "ParentRunId": ValueType.KEYWORD,
    "RootWorkflowId": ValueType.KEYWORD,
    "RootRunId": ValueType.KEYWORD,
    EXECUTION_STATUS: ValueType.KEYWORD,
    "StartTime": ValueType.DATETIME,
    "ExecutionTime": ValueType.DATETIME,
    "CloseTime": ValueType.DATETIME,
    EXECUTION_DURATION: ValueType.INT,
    "HistoryLength": ValueType.INT,
    "HistorySizeBytes": ValueType.INT,
    "StateTransitionCount": ValueType.INT,
}
"""Fields of the run itself; nobody sets them."""

SETTABLE: Final[Mapping[str, ValueType]] = {
    "TemporalChangeVersion": ValueType.KEYWORD_LIST,
    "BinaryChecksums": ValueType.KEYWORD_LIST,
    "BuildIds": ValueType.KEYWORD_LIST,
    "BatcherNamespace": ValueType.KEYWORD,
    "BatcherUser": ValueType.KEYWORD,
    "TemporalScheduledStartTime": ValueType.DATETIME,
    "TemporalScheduledById": ValueType.KEYWORD,
    "TemporalSchedulePaused": ValueType.BOOL,
    NAMESPACE_DIVISION: ValueType.KEYWORD,
    "TemporalPauseInfo": ValueType.KEYWORD_LIST,
    "TemporalReportedProblems": ValueType.KEYWORD_LIST,
}
"""Predefined ones that a request may set."""

PREDEFINED: Final[Mapping[str, ValueType]] = {
    **SETTABLE,
    "TemporalWorkerDeployment": ValueType.KEYWORD,
    "TemporalWorkerDeploymentVersion": ValueType.KEYWORD,
    "TemporalWorkflowVersioningBehavior": ValueType.KEYWORD,
    "TemporalUsedWorkerDeploymentVersions": ValueType.KEYWORD_LIST,
    "TemporalExternalPayloadCount": ValueType.INT,
    "TemporalExternalPayloadSizeBytes": ValueType.INT,
}
"""Kept among a run's search attributes, but known everywhere."""

PREFIX: Final = "Temporal"
_RESERVED: Final = frozenset({"NamespaceId", "Memo", "MemoEncoding", "VisibilityTaskKey"})


def is_reserved(name: str) -> bool:
    """Whether no custom attribute may have this name."""
    return name in SYSTEM or name in PREDEFINED or name in _RESERVED or name.startswith(PREFIX)


def type_of(name: str, custom: Mapping[str, int]) -> ValueType | None:
    """Return the type of an attribute that a run carries (custom or predefined), by its name."""
    if name in PREDEFINED:
        return PREDEFINED[name]
    return ValueType(custom[name]) if name in custom else None


def key_of(name: str, value_type: int) -> str:
    """Return the key under which stores keep an attribute: `BuildIds`, `Keyword.Order%2EId`."""
    if name in SYSTEM or name in PREDEFINED:
        return name
    return f"{ValueType(value_type).label}.{_escaped(name)}"


def _escaped(name: str) -> str:
    """Escape what is special in the field names of a store; `%` makes it reversible."""
    if name.isascii() and name.replace("_", "").replace("-", "").isalnum():
        return name
    return "".join(_escaped_letter(letter) for letter in name)


def _escaped_letter(letter: str) -> str:
    if (letter.isascii() and letter.isalnum()) or letter in "_-":
        return letter
    return "".join(f"%{byte:02X}" for byte in letter.encode())
