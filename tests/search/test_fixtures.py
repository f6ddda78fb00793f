"""The fixtures: one query a line, below it its syntax and what each store is asked, or the error.

To add a case, write a line into a file of `fixtures/` and run this test with
`MILLRACE_WRITE_FIXTURES=1`: what belongs below it is filled in, for you to read.
"""

import json
import os
from pathlib import Path

import pytest

from schemas.errors import InvalidArgument
from search.attributes import ValueType
from search.query.expressions import Query, names_in
from search.query.parser import parse
from search.query.resolve import Names, list_query, resolve
from search.query.syntax import Statement, written
from search.to_elastic import grouping, search_query, sort
from search.to_sql import COLUMNS, condition

FOLDER = Path(__file__).parent / "fixtures"
FILES = sorted(FOLDER.glob("*.txt"))
WRITES = os.environ.get("MILLRACE_WRITE_FIXTURES") == "1"
NAMES = Names(
    {
        "Note": ValueType.TEXT,
        "Customer": ValueType.KEYWORD,
        "Order-Id": ValueType.KEYWORD,
        "Amount": ValueType.INT,
        "Price": ValueType.DOUBLE,
        "IsPaid": ValueType.BOOL,
        "DueAt": ValueType.DATETIME,
        "Tags": ValueType.KEYWORD_LIST,
        "Temperature": ValueType.DOUBLE,
    }
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_query_means_what_its_fixture_says(path: Path) -> None:
    """Syntax, SQL and DSL, or the error, letter by letter."""
    lines = path.read_text().splitlines()
    queries = [line for line in lines if not line.startswith("    ")]
    meant = "\n".join(line for query in queries for line in _block(query)) + "\n"
    if WRITES:
        path.write_text(meant)
    assert path.read_text() == meant


def test_there_are_fixtures() -> None:
    """A glob that finds nothing proves nothing."""
    assert len(FILES) >= 5


def _block(line: str) -> list[str]:
    if not line or line.startswith("#"):
        return [line]
    return [line, *(f"    {each}" for each in _meaning(line))]


def _meaning(text: str) -> list[str]:
    text = "" if text == "<empty>" else text
    try:
        statement = parse(text)
        query = resolve(text, NAMES)
        if query.order_by:
            list_query(text, NAMES)
    except InvalidArgument as error:
        return [f"error {error.message}"]
    return [f"ast {_syntax(statement)}", *_sql(query), *_dsl(query)]


def _syntax(statement: Statement) -> str:
    parts = ["everything" if statement.where is None else written(statement.where)]
    parts += [f"group by {written(each)}" for each in statement.group_by]
    parts += [
        f"order by {written(each.column)} {'desc' if each.is_descending else 'asc'}"
        for each in statement.order_by
    ]
    return ", ".join(parts)


def _sql(query: Query) -> list[str]:
    keys = sorted(names_in(query.where) - COLUMNS.keys())
    text, parameters = condition(query.where, {key: at for at, key in enumerate(keys, 1)})
    return [f"sql {text}", f"    {list(parameters)}"]


def _dsl(query: Query) -> list[str]:
    lines = [f"dsl {json.dumps(search_query('ns', query.where), ensure_ascii=False)}"]
    if query.order_by:
        lines.append(f"    sort {json.dumps(sort(query))}")
    if query.group_by is not None:
        lines.append(f"    group {json.dumps(grouping(query.group_by))}")
    return lines
