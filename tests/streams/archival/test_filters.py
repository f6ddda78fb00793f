"""Queries on archived runs: the query suite of search finds the same in an archive, on files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from archival.files import FileStore
from archival.lake import Lake
from archival.record import Record
from archival.row import ArchivedRun, row_of
from archival.run import RunKey
from search.document import Document
from search.query.resolve import Names, list_query
from search.shown import shown
from streams.archival.filters import Wanted, hints_of
from tests.support import search_naive as naive
from tests.support.search_samples import CUSTOM, NAMESPACE, documents, queries

NAMES = Names(CUSTOM)
CLOSED = [each for each in documents() if each.closed_at is not None]
QUERIES = [text for text in dict.fromkeys(queries()) if "ORDER BY" not in text.upper()]


def archived(document: Document) -> ArchivedRun:
    """Return the row of a run that closed as a search record says."""
    execution = shown(replace(document, memo=b""), CUSTOM)
    execution.history_size_bytes = document.history_bytes or 0
    execution.state_transition_count = document.state_transition_count or 0
    key = RunKey(document.namespace_id, document.workflow_id, document.run_id)
    return row_of(Record("shop", key, execution))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """Return the lake of the closed sample runs, in several files."""
    folder: Path = tmp_path_factory.mktemp("lake")
    made = Lake(FileStore(folder), NAMESPACE)
    mine = [archived(each) for each in CLOSED if each.namespace_id == NAMESPACE]
    for at in (0, len(mine) // 2):
        made.add(mine[at : at + len(mine) // 2 + 1])
    return made


def test_there_are_enough_cases() -> None:
    """There are some runs, and some hundred queries."""
    assert len(CLOSED) > 20
    assert len(QUERIES) > 300


@pytest.mark.parametrize("text", QUERIES)
def test_an_archive_lists_what_the_naive_evaluator_lists(lake: Lake, text: str) -> None:
    """The same runs in the same order."""
    expected = [each.run_id for each in naive.matching(CLOSED, NAMESPACE, text, CUSTOM)]
    wanted = Wanted(list_query(text, NAMES))
    assert expected == [each.run_id for each in lake.list(wanted, 1_000).runs]


@pytest.mark.parametrize("text", QUERIES[::20])
def test_pages_put_together_are_the_list(lake: Lake, text: str) -> None:
    """Small pages show each run once and in order."""
    expected = [each.run_id for each in naive.matching(CLOSED, NAMESPACE, text, CUSTOM)]
    assert expected == list(_paged(lake, Wanted(list_query(text, NAMES)), 7))


def _paged(lake: Lake, wanted: Wanted, size: int) -> Iterator[str]:
    page = lake.list(wanted, size)
    yield from (each.run_id for each in page.runs)
    while page.token:
        page = lake.list(wanted, size, page.token)
        yield from (each.run_id for each in page.runs)


def test_hints_are_conditions_that_must_hold() -> None:
    """Texts and times that are joined by AND; what is under OR or NOT is none."""
    hints = hints_of(
        list_query(
            "WorkflowType IN ('a', 'b') AND WorkflowType = 'a' AND CloseTime > 5 AND "
            "CloseTime BETWEEN 3 AND 9 AND StartTime < 7 AND NOT RunId = 'x' AND "
            "(WorkflowId = 'y' OR WorkflowId = 'z')",
            NAMES,
        ).where
    )
    assert hints.equal == {"workflow_type": frozenset({"a"})}
    assert hints.at_least == {"closed_at": 6}
    assert hints.at_most == {"closed_at": 9, "started_at": 6}
