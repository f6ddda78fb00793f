"""Several hundred queries over the same runs: SQLite, Elasticsearch and a naive evaluator agree."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from search.elastic import ElasticStore
from search.query.resolve import Names, list_query, resolve
from search.sqlite import SqliteStore
from search.store import Batch, Store
from tests.search.conftest import BOTH, elastic_settings
from tests.support import search_naive as naive
from tests.support.search_samples import CUSTOM, NAMESPACE, documents, queries

NAMES = Names(CUSTOM)
DOCUMENTS = documents()
QUERIES = tuple(dict.fromkeys(queries()))
CASES_LEAST = 400


@pytest.fixture(scope="module", params=BOTH)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A store of each kind with the sample runs."""
    opened: Store
    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("alike")
        opened = SqliteStore(folder)
    else:
        opened = ElasticStore(elastic_settings(request.getfixturevalue("elastic_url")))
    opened.write(Batch(documents=DOCUMENTS), opened.position().generation)
    opened.refresh()
    yield opened
    opened.close()


def test_there_are_enough_cases() -> None:
    """The samples make at least four hundred queries."""
    assert len(QUERIES) >= CASES_LEAST


@pytest.mark.parametrize("text", QUERIES)
def test_every_store_lists_what_the_naive_evaluator_lists(filled: Store, text: str) -> None:
    """The same runs in the same order, page by page, and as many when counted."""
    expected = naive.matching(DOCUMENTS, NAMESPACE, text, CUSTOM)
    query = list_query(text, NAMES)
    page = filled.list(NAMESPACE, query, 1_000)
    assert [each.run_id for each in expected] == [each.run_id for each in page.documents]
    assert page.token == b""
    assert tuple(expected) == page.documents
    assert len(expected) == filled.count(NAMESPACE, query)


@pytest.mark.parametrize("text", QUERIES[:: len(QUERIES) // 60])
def test_pages_put_together_are_the_list(filled: Store, text: str) -> None:
    """Small pages show each run once and in order."""
    query = list_query(text, NAMES)
    expected = [each.run_id for each in filled.list(NAMESPACE, query, 1_000).documents]
    shown: list[str] = []
    token = b""
    for _ in range(100):
        page = filled.list(NAMESPACE, query, 7, token)
        shown += [each.run_id for each in page.documents]
        token = page.token
        if not token:
            break
    assert expected == shown


@pytest.mark.parametrize("column", ["ExecutionStatus", "TemporalNamespaceDivision"])
@pytest.mark.parametrize("where", ["", "Customer = 'a'", "WorkflowType = 'Order'", "Amount > 0"])
def test_groups_are_those_of_the_naive_evaluator(filled: Store, column: str, where: str) -> None:
    """GROUP BY counts by value, and what is lacking under the empty string."""
    text = f"{where} GROUP BY {column}".strip()
    expected = naive.grouped(DOCUMENTS, NAMESPACE, text, CUSTOM)
    assert expected == filled.count_groups(NAMESPACE, resolve(text, NAMES))
