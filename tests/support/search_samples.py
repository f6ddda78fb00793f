"""Runs and queries for the tests of search: few values, so that much of it meets."""

import random
from collections.abc import Iterator, Sequence

from search.attributes import Attribute, Value, ValueType
from search.document import Document

NAMESPACE = "ns-1"
OTHER_NAMESPACE = "ns-2"
EPOCH = 1_700_000_000_000_000_000
CUSTOM = {
    "Note": ValueType.TEXT,
    "Customer": ValueType.KEYWORD,
    "Order.Id": ValueType.KEYWORD,
    "Amount": ValueType.INT,
    "Price": ValueType.DOUBLE,
    "IsPaid": ValueType.BOOL,
    "DueAt": ValueType.DATETIME,
    "Tags": ValueType.KEYWORD_LIST,
}
VALUES: dict[ValueType, Sequence[Value]] = {
    ValueType.TEXT: (
        "Hello world",
        "hello, World of Wörter",
        "foo.bar don't panic 1.5",
        "--",
        "日本 tokyo",
        "",
    ),
    ValueType.KEYWORD: (
        "a",
        "b",
        "ab",
        "B",
        "",
        "ä",
        "\U0001f600",
        "a'b\"c",
        "x\\y",
        "\ud7ff",
        "%_",
    ),
    ValueType.INT: (-(2**63), -5, 0, 1, 2, 7, 2**53 + 1, 2**63 - 1),
    ValueType.DOUBLE: (-1.5, 0.0, 0.1, 1.0, 1.5, 2.0, 1e300, 5e-324),
    ValueType.BOOL: (True, False),
    ValueType.DATETIME: (0, 1, EPOCH, EPOCH + 1, EPOCH + 999_999_999, 2**63 - 1),
    ValueType.KEYWORD_LIST: ("a", "b", "c", "a b", ""),
}
_LITERALS: dict[ValueType, Sequence[str]] = {
    ValueType.TEXT: ("'hello'", "'WORLD foo.bar'", "'bar'", "''", "'don\\'t'", "'本'", '"_"'),
    ValueType.KEYWORD: (
        "'a'",
        "'b'",
        "''",
        "'ä'",
        "'\U0001f600'",
        "'a''b\"c'",
        "'x\\\\y'",
        "'\ud7ff'",
        "'%_'",
        "'zzz'",
    ),
    ValueType.INT: (
        "0",
        "1",
        "-5",
        "1.5",
        "7.0",
        "9007199254740993",
        "1e300",
        "-9223372036854775808",
    ),
    ValueType.DOUBLE: ("0", "-0.0", "0.1", "1.5", "2", "1e300", "1e999", "-1e999"),
    ValueType.BOOL: ("true", "false"),
    ValueType.DATETIME: (
        "'2023-11-14T22:13:20Z'",
        "'2023-11-14T22:13:20.000000001Z'",
        "'2023-11-15T00:13:20.999999999+02:00'",
        "0",
        "'1960-01-01T00:00:00Z'",
        "'2300-01-01T00:00:00Z'",
    ),
    ValueType.KEYWORD_LIST: ("'a'", "'a b'", "''", "'zzz'"),
}
_SYSTEM_LITERALS: dict[str, Sequence[str]] = {
    "WorkflowId": ("'order-1'", "'order-'", "'nothing'", "'order-3'"),
    "RunId": ("'run-0001'", "'run-000'", "'run-0044'"),
    "WorkflowType": ("'Order'", "'Pay'", "'P'"),
    "TaskQueue": ("'tq'", "'other'"),
    "ParentWorkflowId": ("'order-1'", "'order'"),
    "RootWorkflowId": ("'order-1'", "'order-2'"),
    "ExecutionStatus": ("'Running'", "'Completed'", "6", "'WORKFLOW_EXECUTION_STATUS_TIMED_OUT'"),
    "StartTime": (
        f"{EPOCH + 1}",
        "'2023-11-14T22:13:20.000000003Z'",
        "'1960-01-01T00:00:00Z'",
        f"{EPOCH + 30}",
    ),
    "CloseTime": (f"{EPOCH + 5}", f"{EPOCH + 1_000}", "'2200-01-01T00:00:00Z'"),
    "ExecutionTime": (f"{EPOCH + 4}",),
    "ExecutionDuration": ("'2ns'", "4", "'00:00:00'", "'1h'", "'-1.5h'"),
    "HistoryLength": ("10", "12.5", "-1"),
    "HistorySizeBytes": ("100",),
    "StateTransitionCount": ("3",),
    "BuildIds": ("'unversioned'", "'versioned:1'"),
    "TemporalScheduledById": ("'nightly'",),
    "SchedulePaused": ("true", "false"),
    "TemporalNamespaceDivision": ("'TemporalScheduler'", "'Other'", "'T'"),
}
_KEYWORDS = (
    "WorkflowId",
    "RunId",
    "WorkflowType",
    "TaskQueue",
    "ParentWorkflowId",
    "RootWorkflowId",
    "TemporalScheduledById",
    "TemporalNamespaceDivision",
)
_ORDER_BY = (
    "StartTime",
    "CloseTime desc",
    "CloseTime asc",
    "Customer",
    "Customer desc, StartTime",
    "`Order.Id` desc",
    "Amount",
    "Amount desc",
    "Price",
    "Price desc",
    "IsPaid, Amount desc",
    "IsPaid desc",
    "DueAt",
    "DueAt desc",
    "Tags",
    "Tags desc",
    "HistoryLength desc, WorkflowType",
    "ExecutionStatus, RunId",
    "BuildIds",
    "ParentWorkflowId desc",
)
_WHOLE = (
    "",
    "WorkflowType = 'Order' AND ExecutionStatus = 'Running'",
    "WorkflowType = 'Order' OR ExecutionStatus = 'Running' AND Customer = 'a'",
    "NOT (WorkflowType = 'Order' OR Customer = 'a')",
    "NOT WorkflowType = 'Order' AND NOT Customer != 'a'",
    "NOT (Customer = 'a' AND NOT (Amount > 1 OR IsPaid = true))",
    "(Customer = 'a' OR Customer = 'b') AND (Amount IS NULL OR Amount < 2)",
    "WorkflowId = 'order-1' OR WorkflowId = 'order-2' OR RunId = 'run-0003'",
    "Customer = 'a' OR Tags = 'b' OR Amount = 7 OR Note = 'hello'",
    "Note = 'hello' AND Customer != 'a'",
    "Note != 'hello' AND Note IS NOT NULL",
    "Tags = 'a' AND Tags = 'b'",
    "Tags IN ('a', 'c') AND NOT Tags IN ('b')",
    "Amount BETWEEN 0 AND 2 AND Price NOT BETWEEN 1 AND 2",
    "Amount BETWEEN 0.5 AND 6.9",
    "Amount BETWEEN -1e999 AND 1e999",
    "Amount BETWEEN 2 AND 1",
    "StartTime BETWEEN '2023-11-14T22:13:20.000000002Z' AND '2023-11-14T22:13:20.000000020Z'",
    "CloseTime IS NULL AND ExecutionStatus != 'Running'",
    "CloseTime IS NOT NULL AND NOT CloseTime > 0",
    "TemporalNamespaceDivision = 'TemporalScheduler' AND SchedulePaused = true",
    "TemporalNamespaceDivision IS NULL OR TemporalNamespaceDivision IS NOT NULL",
    "Customer = 'a' AND (NamespaceDivision IS NULL OR NamespaceDivision IS NOT NULL)",
    "TemporalNamespaceDivision != 'TemporalScheduler' OR Customer = 'a'",
    "TemporalNamespaceDivision IS NOT NULL ORDER BY StartTime",
    "ScheduleId = 'order-1' OR TemporalScheduleId = 'order-2'",
    "ParentWorkflowId IS NULL AND RootWorkflowId = 'order-1'",
    "ExecutionDuration > '1ns' AND ExecutionDuration <= '1d'",
    "Customer STARTS_WITH 'a' AND Customer NOT STARTS_WITH 'ab'",
    "IsPaid > false AND IsPaid <= true",
    "! (Customer = 'a' && IsPaid = true || Amount = 1)",
    "Customer IN ('a', 'b', 'ä', '\U0001f600', '')",
)


def queries() -> Iterator[str]:
    """Yield several hundred queries: every operator of every column, and some whole ones."""
    yield from _WHOLE
    for name, value_type in CUSTOM.items():
        yield from _of_column(f"`{name}`", value_type, _LITERALS[value_type])
    for name, literals in _SYSTEM_LITERALS.items():
        yield from _of_column(name, _type_of(name), literals)
    for order in _ORDER_BY:
        yield f"ORDER BY {order}"
        yield f"Customer != 'a' ORDER BY {order}"
        yield f"Amount >= 0 ORDER BY {order}"


def documents(count: int = 90, seed: int = 1) -> list[Document]:
    """Return runs of two namespaces, with many equal values and with values missing."""
    chance = random.Random(seed)
    return [_document(number, chance) for number in range(count)]


def _type_of(name: str) -> ValueType:
    if name in _KEYWORDS or name == "ExecutionStatus":
        return ValueType.KEYWORD
    if name == "BuildIds":
        return ValueType.KEYWORD_LIST
    if name == "SchedulePaused":
        return ValueType.BOOL
    return ValueType.DATETIME if name.endswith("Time") else ValueType.INT


def _of_column(name: str, value_type: ValueType, literals: Sequence[str]) -> Iterator[str]:
    yield f"{name} IS NULL"
    yield f"{name} IS NOT NULL"
    for literal in literals:
        yield f"{name} = {literal}"
        yield f"{name} != {literal}"
    if value_type is ValueType.TEXT:
        return
    several = ", ".join(literals[:3])
    yield f"{name} IN ({several})"
    yield f"{name} NOT IN ({several})"
    if value_type is ValueType.KEYWORD_LIST:
        return
    for literal in literals:
        yield from (f"{name} {sign} {literal}" for sign in ("<", ">="))
    yield from (f"{name} {sign} {literals[0]}" for sign in ("<=", ">"))
    if value_type is not ValueType.BOOL:
        yield f"{name} BETWEEN {literals[0]} AND {literals[-1]}"
        yield f"{name} NOT BETWEEN {literals[-1]} AND {literals[0]}"
    if value_type is ValueType.KEYWORD and name != "ExecutionStatus":
        yield from (f"{name} STARTS_WITH {literal}" for literal in literals)
        yield f"{name} NOT STARTS_WITH {literals[0]}"


def _document(number: int, chance: random.Random) -> Document:
    is_closed = chance.random() < 0.7
    started_at = EPOCH + chance.randrange(40)
    closed_at = started_at + chance.choice([0, 1, 5, 5, 1_000]) if is_closed else None
    workflow_id = f"order-{chance.randrange(20)}"
    parent = f"order-{chance.randrange(5)}" if chance.random() < 0.3 else ""
    return Document(
        namespace_id=NAMESPACE if number % 10 else OTHER_NAMESPACE,
        workflow_id=workflow_id,
        run_id=f"run-{number:04d}",
        version=chance.randrange(1, 9),
        workflow_type=chance.choice(["Order", "Pay", "Order"]),
        status=chance.choice([2, 3, 4, 5, 6, 7]) if is_closed else chance.choice([1, 1, 8]),
        started_at=started_at,
        execution_at=started_at + chance.choice([0, 3]),
        closed_at=closed_at,
        task_queue=chance.choice(["tq", "other", "tq", ""]),
        parent_workflow_id=parent,
        parent_run_id=f"{parent}-run" if parent else "",
        root_workflow_id=parent or workflow_id,
        root_run_id=f"run-{number:04d}",
        history_length=chance.choice([3, 10, 12]) if is_closed else None,
        history_bytes=chance.choice([100, 200]) if is_closed else None,
        state_transition_count=chance.choice([3, 4]) if is_closed else None,
        execution_duration=closed_at - started_at if closed_at is not None else None,
        memo=b"memo",
        attributes=_attributes(chance),
    )


def _attributes(chance: random.Random) -> dict[str, Attribute]:
    attributes = {
        name: _attribute(value_type, chance)
        for name, value_type in CUSTOM.items()
        if chance.random() < 0.6
    }
    for name, value in (("BuildIds", "unversioned"), ("TemporalScheduledById", "nightly")):
        if chance.random() < 0.2:
            kind = ValueType.KEYWORD_LIST if name == "BuildIds" else ValueType.KEYWORD
            attributes[name] = Attribute(kind, (value,))
    if chance.random() < 0.2:
        division = chance.choice(["TemporalScheduler", "Other"])
        attributes["TemporalNamespaceDivision"] = Attribute(ValueType.KEYWORD, (division,))
        attributes["TemporalSchedulePaused"] = Attribute(ValueType.BOOL, (chance.random() < 0.5,))
    return attributes


def _attribute(value_type: ValueType, chance: random.Random) -> Attribute:
    is_list = value_type is ValueType.KEYWORD_LIST or chance.random() < 0.15
    count = chance.choice([1, 2, 3]) if is_list else 1
    values = chance.sample(list(VALUES[value_type]), min(count, len(VALUES[value_type])))
    return Attribute(value_type, tuple(values))
