"""A real Elasticsearch for the agent's tests."""

from tests.search.conftest import elastic_url

__all__ = ["elastic_url"]
