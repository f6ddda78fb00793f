"""Stores to test: SQLite in a folder, and a real Elasticsearch started once for all tests."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.elastic import ElasticStore
from search.settings import ElasticSettings
from search.sqlite import SqliteStore
from search.store import Store
from tests.support.elastic_real import real_elasticsearch, why_absent

BOTH = (
    pytest.param("sqlite"),
    pytest.param("elastic", marks=pytest.mark.real),
)


@pytest.fixture(scope="session")
def elastic_url() -> Iterator[str]:
    """The URL of a real Elasticsearch."""
    reason = why_absent()
    if reason:
        pytest.skip(reason)
    with real_elasticsearch() as url:
        yield url


def elastic_settings(url: str) -> ElasticSettings:
    """Return the settings of a store of its own in a cluster that tests share."""
    return ElasticSettings(urls=(url,), index=f"test-{uuid.uuid4().hex[:12]}", replicas="0-1")


@pytest.fixture(params=BOTH)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    opened: Store
    if request.param == "sqlite":
        opened = SqliteStore(tmp_path / "search")
    else:
        url = request.getfixturevalue("elastic_url")
        opened = ElasticStore(elastic_settings(url), sleep=lambda _: None)
    yield opened
    opened.close()
