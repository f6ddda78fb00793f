"""Settings of the search stores."""

from typing import Literal

import msgspec


class ElasticSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How Elasticsearch is reached and written to."""

    urls: tuple[str, ...] = ("http://127.0.0.1:9200",)
    """Nodes of the cluster."""
    index: str = "millrace_visibility"
    """Name of the alias; indexes are called after it, with a number."""
    username: str = ""
    """User for basic authentication; empty: none."""
    password: str = ""
    """The user's password."""
    api_key: str = ""
    """API key instead of user and password; empty: none."""
    ca_certs: str = ""
    """File of certificates that the servers' are checked against; empty: the system's."""
    verify_certs: bool = True
    """Whether the servers' certificates are checked."""
    shards_count: int = 1
    """Shards of an index that is made."""
    replicas: str = "0-2"
    """Range of copies of each shard beside the first (`auto_expand_replicas`)."""
    refresh_interval_ms: int = 100
    """How long a write may stay invisible, ms."""
    request_timeout_s: float = 30.0
    """Longest wait for one answer, seconds."""
    write_timeout_s: float = 60.0
    """How long a batch is tried again while the cluster is busy or away, seconds."""
    bulk_count: int = 2_000
    """Most changes in one bulk; how many it is follows from latency and refusals."""
    bulk_bytes: int = 8 << 20
    """Most bytes in one bulk."""


class SqliteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the SQLite store works."""

    readers_count: int = 4
    """Connections that read beside the one that writes."""
    cache_bytes: int = 64 << 20
    """Page cache of the connection that writes, bytes; each reader has a quarter of it."""
    query_timeout_s: float = 10.0
    """Longest time one list or count may take, seconds; some read every run."""


class SearchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which store searches, and what queries may do."""

    store: Literal["sqlite", "elasticsearch"] = "sqlite"
    """`sqlite`: a file of this node; `elasticsearch`: a cluster that all nodes share."""
    allows_order_by: bool = True
    """Whether lists may have ORDER BY, which reads all that match."""
    wait_timeout_s: float = 5.0
    """Longest wait of a list or count with a position for the index to have it, seconds."""
    elastic: ElasticSettings = ElasticSettings()
    """Elasticsearch."""
    sqlite: SqliteSettings = SqliteSettings()
    """SQLite."""
