"""How a list or count is read from SQLite: which rows first, and in which order. Pure.

SQLite plans without knowing that a page is wanted, nor how common a value is. So the store asks
beforehand how many rows each part of the condition would give (up to a bound), and this module
says what to read: the rows of a rare part and sort them, or walk an index that is in the
default order already, until the page is full.
"""

# ruff: noqa: S608 - the pieces are constants of this package; values are always parameters

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from search.attributes import ValueType
from search.pages import SortValue, stand_in
from search.query.expressions import (
    All,
    Any,
    Compare,
    Everything,
    Exists,
    Expression,
    Leaf,
    Never,
    Not,
    Ordering,
    conjunction,
    conjuncts,
)
from search.to_sql import (
    COLUMNS,
    Sql,
    condition,
    joined,
    leaf,
    matching_words,
    posted,
    sort_key,
)

RARE: Final = 1_000
"""So many rows are read and sorted without a second thought."""
BOUND: Final = 5_000
"""No equality is counted further than this: beyond it its index is walked."""
RANGE_BOUND: Final = 20_000
"""No other part is counted further than this: beyond it the default order is walked."""

_PARTS_MAX: Final = 8

_INDEXES: Final[Mapping[str, str]] = {
    "WorkflowId": "runs_workflow",
    "WorkflowType": "runs_type",
    "ExecutionStatus": "runs_status",
    "RunId": "runs_run",
    "ParentWorkflowId": "runs_parent",
    "RootWorkflowId": "runs_root",
    "TaskQueue": "runs_queue",
    "StartTime": "runs_started",
}
_IN_ORDER: Final = ("WorkflowId", "WorkflowType", "ExecutionStatus")


class Part(NamedTuple):
    """A part of the condition by which rows can be found."""

    expression: Expression
    ids: Sql  # a select of the runs' ids
    is_walkable: bool  # its rows are in the default order
    found_by: str = ""  # an index of `runs`, that has its rows


class Source(NamedTuple):
    """Where rows come from: FROM and WHERE, and the columns of the default order."""

    text: str
    parameters: tuple[SortValue, ...]
    place: str = "r.place"
    started_at: str = "r.started_at"


def parts_of(where: Expression, space: int, ids: Mapping[str, int]) -> list[Part]:
    """Return the parts by which the rows of a condition can be found."""
    found = (_part(each, space, ids) for each in conjuncts(where))
    return [part for part in found if part is not None][:_PARTS_MAX]


def counting(part: Part) -> Sql:
    """Return the select that counts a part's rows up to the bound."""
    text = f"SELECT count(*) FROM ({part.ids.text} LIMIT {_bound(part)})"
    return Sql(text, part.ids.parameters)


def choose(parts: Sequence[Part], counts: Sequence[int], *, in_order: bool) -> Part | None:
    """Return the part whose rows are read, None for all rows of the space."""
    if not parts:
        return None
    measured = sorted(zip(counts, range(len(parts)), strict=True))
    least, rarest = measured[0]
    walkable = [(count, at) for count, at in measured if parts[at].is_walkable]
    if least > RARE and in_order and walkable and walkable[0][0] <= 4 * least:
        return parts[walkable[0][1]]
    return parts[rarest] if least < _bound(parts[rarest]) else None


def _bound(part: Part) -> int:
    return BOUND if part.is_walkable else RANGE_BOUND


def source(
    where: Expression, part: Part | None, space: int, *, ids: Mapping[str, int], walks: bool
) -> Source:
    """Return where the rows come from; `walks`: in the default order, by an index."""
    if part is None:
        index = " INDEXED BY runs_default" if walks else ""
        return _from(f"runs AS r{index}", "r.space = ?", (space,), condition(where, ids))
    rest = condition(_without(where, part.expression), ids)
    if part.found_by:
        own = leaf(_leaf_of(part), ids)
        table = f"runs AS r INDEXED BY {part.found_by}"
        return _from(table, f"r.space = ? AND {own.text}", (space, *own.parameters), rest)
    if not walks:
        text, parameters = part.ids
        return _from("runs AS r NOT INDEXED", f"r.id IN ({text})", parameters, rest)
    leaf_of_part = _leaf_of(part)
    own = posted(leaf_of_part, ids[leaf_of_part.column.key])
    found = f"SELECT p.place, p.started_at, p.run FROM postings AS p WHERE {own.text}"
    return Source(
        f"({found}) AS w CROSS JOIN runs AS r ON r.id = w.run WHERE {rest.text}",
        own.parameters + rest.parameters,
        "w.place",
        "w.started_at",
    )


def _leaf_of(part: Part) -> Leaf:
    assert not isinstance(part.expression, Everything | Never | Not | All | Any)
    return part.expression


def walks(part: Part | None, count: int, *, in_order: bool) -> bool:
    """Whether the rows are read in the default order instead of sorted."""
    return in_order and (part is None or (part.is_walkable and count > RARE))


def alone(where: Expression, space: int, ids: Mapping[str, int]) -> Part | None:
    """Return the part that is the whole condition, if there is one."""
    parts = parts_of(where, space, ids)
    return parts[0] if len(parts) == 1 and parts[0].expression is where else None


def counting_all(part: Part) -> Sql:
    """Return the select that counts a part's runs."""
    if part.is_walkable:  # an equality has each run once
        return Sql(f"SELECT count(*) FROM ({part.ids.text})", part.ids.parameters)
    distinct = f"SELECT count(*) FROM (SELECT DISTINCT * FROM ({part.ids.text}))"
    return Sql(distinct, part.ids.parameters)


def page_in_default_order(rows: Source, after: tuple[SortValue, ...], size: int) -> Sql:
    """Return the select of a page: place, start time, run id, id."""
    place, started_at = rows.place, rows.started_at
    keys = f"{place}, {started_at}, r.run_id"
    text, parameters = rows.text, rows.parameters
    if after:
        # twice: the first, without the tie, is what an index can be entered by
        text += f" AND ({place}, {started_at}) <= (?, ?) AND ({keys}) < (?, ?, ?)"
        parameters += (*after[:2], *after)
    order = f"{place} DESC, {started_at} DESC, r.run_id DESC"
    return Sql(f"SELECT {keys}, r.id FROM {text} ORDER BY {order} LIMIT ?", (*parameters, size))


def page_in_order(
    rows: Source,
    order: tuple[Ordering, ...],
    ids: Mapping[str, int],
    *,
    after: tuple[SortValue, ...],
    size: int,
) -> Sql:
    """Return the select of a page in an order of the query's own: the sort values, id."""
    keys = [_key(each, ids) for each in order]
    named = ", ".join(f"{key.text} AS k{at}" for at, key in enumerate(keys))
    parameters = tuple(value for key in keys for value in key.parameters) + rows.parameters
    text = f"SELECT {named}, r.id AS id FROM {rows.text}"
    sorting = ", ".join(
        f"k{at} {'DESC' if each.is_descending else 'ASC'} NULLS LAST"
        for at, each in enumerate(order)
    )
    beyond = _beyond(order, after) if after else Sql("1")
    shown = ", ".join(f"k{at}" for at in range(len(order)))
    return Sql(
        f"SELECT {shown}, id FROM ({text}) WHERE {beyond.text} ORDER BY {sorting} LIMIT ?",
        (*parameters, *beyond.parameters, size),
    )


def _from(table: str, own: str, parameters: tuple[SortValue, ...], rest: Sql) -> Source:
    return Source(f"{table} WHERE {own} AND {rest.text}", parameters + rest.parameters)


def _key(ordering: Ordering, ids: Mapping[str, int]) -> Sql:
    key = sort_key(ordering.column, ids, is_descending=ordering.is_descending)
    last = stand_in(ordering, is_first=False)
    if last is None or ordering.column.name in ("StartTime", "ExecutionTime"):
        return key
    return Sql(f"coalesce({key.text}, ?)", (*key.parameters, last))


def _beyond(order: tuple[Ordering, ...], after: tuple[SortValue, ...]) -> Sql:
    """Return the condition of the rows behind the sort values `after`."""
    alternatives: list[Sql] = []
    equal: list[Sql] = []
    for at, (ordering, value) in enumerate(zip(order, after, strict=True)):
        if value is not None:
            sign = "<" if ordering.is_descending else ">"
            behind = Sql(f"(k{at} {sign} ? OR k{at} IS NULL)", (value,))
            alternatives.append(joined("AND", [*equal, behind]))
        equal.append(Sql(f"k{at} IS ?", (value,)))
    return joined("OR", alternatives) if alternatives else Sql("0")


def _without(where: Expression, taken: Expression) -> Expression:
    return conjunction(*(each for each in conjuncts(where) if each is not taken))


def _part(expression: Expression, space: int, ids: Mapping[str, int]) -> Part | None:
    if isinstance(expression, Any):
        return _either(expression, space, ids)
    if isinstance(expression, Everything | Never | Not | All):
        return None
    column = expression.column
    is_equality = isinstance(expression, Compare) and expression.operator == "="
    if column.name in COLUMNS:
        return _column_part(expression, space, ids)
    if column.key not in ids:
        return Part(expression, Sql("SELECT 0 WHERE 0"), is_walkable=False)
    attribute = ids[column.key]
    if column.type is ValueType.TEXT:
        return Part(expression, matching_words(expression, attribute), is_walkable=False)
    text, parameters = posted(expression, attribute)
    select = Sql(f"SELECT p.run FROM postings AS p WHERE {text}", parameters)
    return Part(expression, select, is_walkable=is_equality)


def _column_part(expression: Leaf, space: int, ids: Mapping[str, int]) -> Part | None:
    name = expression.column.name
    if name not in _INDEXES or (isinstance(expression, Exists) and name != "ParentWorkflowId"):
        return None
    is_equality = isinstance(expression, Compare) and expression.operator == "="
    own = leaf(expression, ids)
    text = f"SELECT r.id FROM runs AS r INDEXED BY {_INDEXES[name]} WHERE {own.text}"
    select = Sql(f"{text} AND r.space = ?", (*own.parameters, space))
    return Part(expression, select, is_equality and name in _IN_ORDER, _INDEXES[name])


def _either(expression: Any, space: int, ids: Mapping[str, int]) -> Part | None:
    parts = [_part(each, space, ids) for each in expression.parts]
    found = [part.ids for part in parts if part is not None]
    if len(found) < len(parts) or len(found) > 100:
        return None
    text = " UNION ".join(select.text for select in found)
    parameters = tuple(value for select in found for value in select.parameters)
    return Part(expression, Sql(text, parameters), is_walkable=False)
