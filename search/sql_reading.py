"""Lists and counts from the tables of an SQLite search store, in the caller's snapshot.

A query is answered space by space (nearly always there is one) and put together. Which rows are
read first follows from how many the parts of the condition have: `sql_plan.py` decides.
"""
# ruff: noqa: S608 - the pieces are constants of this package; values are always parameters

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from search import sql_plan
from search.attributes import NAMESPACE_DIVISION, Value
from search.document import Document, unpack
from search.pages import SortValue, is_default, orderings, pack_token
from search.query.expressions import (
    Expression,
    Not,
    Ordering,
    Query,
    conjunction,
    conjuncts,
    names_in,
)
from search.sql_connection import Connection, Row
from search.store import Page, RunKey
from search.to_sql import COLUMNS, Sql, condition

_CHUNK: Final = 500
_COUNTED: Final = frozenset({NAMESPACE_DIVISION, "WorkflowType", "ExecutionStatus"})
"""What `counters` knows of a run."""


class _Space(NamedTuple):
    """A namespace and a division of it."""

    id: int
    namespace_id: str
    division: str | None


class Reading:
    """One list or count, in one snapshot: space by space, then together."""

    def __init__(self, reader: Connection, namespace_id: str, query: Query) -> None:
        self._reader = reader
        self._query = query
        self._namespace_id = namespace_id
        parts = conjuncts(query.where)
        about_space = [part for part in parts if names_in(part) == {NAMESPACE_DIVISION}]
        rest = [part for part in parts if names_in(part) != {NAMESPACE_DIVISION}]
        self._where = conjunction(*rest)
        self._spaces = self._matching_spaces(conjunction(*about_space))

    def page(self, size: int, after: tuple[SortValue, ...]) -> Page:
        """Return a page; one row more is read, to know whether it is the last."""
        order = orderings(self._query)
        pages = [self._rows(space, after, size + 1) for space in self._spaces]
        merged = _merged(pages, order) if len(pages) > 1 else (pages or [[]])[0]
        rows = merged[:size]
        token = pack_token(tuple(rows[-1][:-1])) if len(merged) > size and rows else b""
        return Page(self._documents([row[-1] for row in rows]), token)

    def counts(self, column: str) -> Counter[Value]:
        """Return how many runs match by value of a column; without one all under ""."""
        counts: Counter[Value] = Counter()
        for space in self._spaces:
            for value, count in self._counts(space, column):
                counts["" if value is None else value] += count
        return Counter({value: count for value, count in counts.items() if count})

    def _matching_spaces(self, about: Expression) -> list[_Space]:
        text, parameters = condition(about, {})
        rows = self._reader.execute(
            f"SELECT id, namespace_id, division FROM spaces AS r WHERE namespace_id = ? AND {text}",
            (self._namespace_id, *parameters),
        )
        return [_Space(*row) for row in rows]

    def _ids(self, space: _Space) -> dict[str, int]:
        keys = {*names_in(self._where), *(each.column.key for each in self._query.order_by)}
        wanted = sorted(keys - COLUMNS.keys())
        if not wanted:
            return {}
        marks = ", ".join("?" * len(wanted))
        rows = self._reader.execute(
            f"SELECT key, id FROM attributes WHERE space = ? AND key IN ({marks})",
            (space.id, *wanted),
        )
        return dict(rows)

    def _source(self, space: _Space, ids: Mapping[str, int], *, in_order: bool) -> sql_plan.Source:
        """Return where the rows come from; `in_order`: the default order is of use."""
        parts = sql_plan.parts_of(self._where, space.id, ids)
        if in_order and len(parts) == 1 and parts[0].is_walkable:
            counts = [sql_plan.BOUND]
        else:
            counts = [self._measure(part) for part in parts]
        part = sql_plan.choose(parts, counts, in_order=in_order)
        count = counts[parts.index(part)] if part else 0
        walks = sql_plan.walks(part, count, in_order=in_order)
        return sql_plan.source(self._where, part, space.id, ids=ids, walks=walks)

    def _measure(self, part: sql_plan.Part) -> int:
        return self._one(sql_plan.counting(part))

    def _rows(self, space: _Space, after: tuple[SortValue, ...], size: int) -> list[Row]:
        ids = self._ids(space)
        in_order = is_default(self._query)
        rows = self._source(space, ids, in_order=in_order)
        if in_order:
            select = sql_plan.page_in_default_order(rows, after, size)
        else:
            order = orderings(self._query)
            select = sql_plan.page_in_order(rows, order, ids, after=after, size=size)
        return self._reader.execute(*select).fetchall()

    def _counts(self, space: _Space, column: str) -> Iterable[tuple[Value | None, int]]:
        named, grouped = (f"r.{column}", f" GROUP BY r.{column}") if column else ("''", "")
        if names_in(self._where) <= _COUNTED:
            text, parameters = condition(self._where, {})
            return self._reader.execute(
                f"SELECT {named}, coalesce(sum(r.count), 0) FROM counters AS r "
                f"WHERE r.space = ? AND {text}{grouped}",
                (space.id, *parameters),
            )
        if not column:
            return [("", self._count(space))]
        rows = self._source(space, self._ids(space), in_order=True)
        text = f"SELECT {named}, count(*) FROM {rows.text}{grouped}"
        return self._reader.execute(text, rows.parameters)

    def _count(self, space: _Space) -> int:
        """Return how many runs of a space match; of the opposite of one part, by the rest."""
        where, ids = self._where, self._ids(space)
        if isinstance(where, Not) and (part := sql_plan.alone(where.inner, space.id, ids)):
            total = "SELECT coalesce(sum(count), 0) FROM counters WHERE space = ?"
            return self._one(Sql(total, (space.id,))) - self._one(sql_plan.counting_all(part))
        if part := sql_plan.alone(where, space.id, ids):
            return self._one(sql_plan.counting_all(part))
        rows = self._source(space, ids, in_order=True)
        return self._one(Sql(f"SELECT count(*) FROM {rows.text}", rows.parameters))

    def _one(self, select: Sql) -> int:
        (found,) = self._reader.execute(*select).fetchone()
        return int(found)

    def _documents(self, runs: Sequence[int]) -> tuple[Document, ...]:
        found: dict[int, bytes] = {}
        for start in range(0, len(runs), _CHUNK):
            chunk = runs[start : start + _CHUNK]
            marks = ", ".join("?" * len(chunk))
            select = f"SELECT run, document FROM records WHERE run IN ({marks})"
            found.update(self._reader.execute(select, chunk))
        return tuple(unpack(found[run]) for run in runs)


def found_records(reader: Connection, runs: Sequence[RunKey]) -> dict[RunKey, Document]:
    """Return the records of some runs."""
    wanted = set(runs)
    found: dict[RunKey, Document] = {}
    for start in range(0, len(runs), _CHUNK):
        chunk = [run_id for _, run_id in runs[start : start + _CHUNK]]
        marks = ", ".join("?" * len(chunk))
        rows = reader.execute(
            "SELECT s.namespace_id, r.run_id, d.document FROM runs AS r "
            "JOIN records AS d ON d.run = r.id JOIN spaces AS s ON s.id = r.space "
            f"WHERE r.run_id IN ({marks})",
            chunk,
        )
        for namespace_id, run_id, packed in rows:
            if (namespace_id, run_id) in wanted:
                found[namespace_id, run_id] = unpack(packed)
    return found


def _merged(pages: Sequence[list[Row]], order: tuple[Ordering, ...]) -> list[Row]:
    """Return the rows of several spaces in order; what is lacking comes last."""
    rows = [row for page in pages for row in page]
    for at, ordering in reversed(list(enumerate(order))):
        there = [row for row in rows if row[at] is not None]
        there.sort(key=lambda row: row[at], reverse=ordering.is_descending)
        rows = there + [row for row in rows if row[at] is None]
    return rows
