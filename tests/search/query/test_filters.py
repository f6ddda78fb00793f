"""The fixed filters of ListOpen and ListClosed, on a store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from search.query.expressions import Query
from search.query.filters import Filter, closed_runs, open_runs
from search.sqlite import SqliteStore
from search.store import Batch
from tests.search.test_store import run
from tests.support.search_samples import EPOCH, NAMESPACE

ALWAYS = (0, 2**63)
QUOTED = 'it\'s "quoted" OR `1` = 1'


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[SqliteStore]:
    """Open, paused and closed runs."""
    store = SqliteStore(tmp_path)
    runs = [
        run(1),
        run(2, status=8),
        run(3, status=2, closed_at=EPOCH + 50),
        run(4, status=3, closed_at=EPOCH + 60, workflow_type="Pay"),
        run(5, workflow_id=QUOTED),
    ]
    store.write(Batch(runs), store.position().generation)
    yield store
    store.close()


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (open_runs(*ALWAYS, Filter()), [5, 1]),
        (open_runs(EPOCH + 2, EPOCH + 9, Filter()), [5]),
        (open_runs(*ALWAYS, Filter(workflow_id=QUOTED)), [5]),
        (open_runs(*ALWAYS, Filter(workflow_type="Pay")), []),
        (closed_runs(*ALWAYS, Filter()), [4, 3]),
        (closed_runs(EPOCH + 50, EPOCH + 55, Filter()), [3]),
        (closed_runs(*ALWAYS, Filter(status=3)), [4]),
        (closed_runs(*ALWAYS, Filter(workflow_type="Pay")), [4]),
        (closed_runs(*ALWAYS, Filter(run_id="run-0003")), [3]),
    ],
)
def test_what_a_filter_lists(filled: SqliteStore, query: Query, numbers: list[int]) -> None:
    """Whatever stands in an id, and times inclusive."""
    found = filled.list(NAMESPACE, query, 9).documents
    assert [f"run-{number:04d}" for number in numbers] == [each.run_id for each in found]
