"""All settings of a node in one frozen value: each package's own, nested under its name.

A field has its unit in its name or its description, a default, and a description: a docstring
below it or `msgspec.Meta`. Where values come from is `infra/sources.py`'s business.
"""

from pathlib import Path
from typing import Final, Literal

import msgspec

from archival.settings import ArchivalSettings
from search.settings import SearchSettings
from streams.frontend.settings import FrontendSettings
from streams.log.settings import EngineSettings
from streams.matching.settings import MatchingSettings
from streams.tables import TableSettings
from topology.topics import PartitionCounts
from topology.workflow.limits import Limits

DERIVED: Final = frozenset(
    {"engine.node", "engine.address", "frontend.cluster_id", "matching.partitions"}
)
"""Fields of packages that the composition root fills from others; nobody sets them."""

LogLevel = Literal["debug", "info", "warn", "error", "never"]
LogFormat = Literal["text", "json", "pretty"]
Role = Literal["frontend", "history", "matching"]


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who this node is and where it listens."""

    name: str = ""
    """Name of the node in `owners`; empty: host name and process id."""
    roles: tuple[Role, ...] = ("frontend", "history", "matching")
    """What it does: `frontend` serves clients, `history` workflows, `matching` task queues."""
    ip: str = "127.0.0.1"
    """Address the gRPC port listens on."""
    port: int = 7233
    """gRPC port for SDKs and the CLI; 0: a free one."""
    internal_ip: str = "127.0.0.1"
    """Address the port for other nodes listens on; loopback: for nodes on this machine."""
    internal_port: int = 0
    """Port for other nodes; 0: a free one."""
    internal_address: str = ""
    """`host:port` at which other nodes reach that port; empty: what it listens on."""
    clock_tolerance_s: float = 10.0
    """Largest difference between this machine's clock and Kafka's at the start, seconds."""
    data_dir: Path | None = None
    """Folder of everything that lasts; none: a temporary one, removed at the end."""
    namespaces: tuple[str, ...] = ()
    """Namespaces registered at start besides `default`."""
    search_attributes: tuple[str, ...] = ()
    """Search attributes added at start to these namespaces and `default`, each NAME=TYPE."""
    retention_days: int = 1
    """How long closed workflows of namespaces registered at start are kept, days."""
    start_timeout_s: float = 60.0
    """Longest time from start to serving, seconds; then the process ends."""
    stop_timeout_s: float = 30.0
    """Longest time that a planned stop may take, seconds; then the process ends anyway."""


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The Kafka that carries the log."""

    address: str = ""
    """Bootstrap servers, host:port separated by commas; empty: the embedded broker."""
    history_partitions: int = 0
    """Partitions of the history topics, fixed when they are made; 0: 1 embedded, 4 on a Kafka."""
    matching_partitions: int = 0
    """Partitions of `tasks`, fixed when it is made; 0: 1 embedded, 4 on a Kafka."""
    replication_factor: int = 1
    """Copies of each partition of the topics that are made, count."""
    session_timeout_s: float = 6.0
    """Time until the group takes the partitions of a dead node away, seconds."""

    @property
    def counts(self) -> PartitionCounts:
        """The partitions of the topics (decision 11)."""
        default = 4 if self.address else 1
        return PartitionCounts(
            history=self.history_partitions or default,
            matching=self.matching_partitions or default,
        )


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The embedded broker, a child process."""

    port: int = 0
    """Port that Kafka clients connect to; 0: the one it had last, else a free one."""
    durability: Literal["os", "fsync"] = "os"
    """`os`: acknowledged after write(), flushed soon after; `fsync`: after the flush."""
    segment_bytes: int = 16 << 20
    """Size at which a log segment is closed, bytes."""
    log_level: Literal["debug", "info", "warning"] = "warning"
    """Least severe level that the broker logs."""


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged, on stderr."""

    level: LogLevel = "warn"
    """Least severe level that is logged."""
    format: LogFormat = "text"
    """`text` or `pretty` for people, `json` for machines."""


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics for Prometheus."""

    port: int = 0
    """Port of http://<ip>:<port>/metrics; 0: not served."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set, package by package."""

    node: NodeSettings = NodeSettings()
    """Who this node is and where it listens."""
    kafka: KafkaSettings = KafkaSettings()
    """The Kafka that carries the log."""
    broker: BrokerSettings = BrokerSettings()
    """The embedded broker."""
    frontend: FrontendSettings = FrontendSettings()
    """The gRPC frontend."""
    search: SearchSettings = SearchSettings()
    """The search store and what queries may do."""
    archival: ArchivalSettings = ArchivalSettings()
    """Archives of closed runs."""
    core: Limits = Limits()
    """Limits of workflows."""
    engine: EngineSettings = EngineSettings()
    """The log engine."""
    matching: MatchingSettings = MatchingSettings()
    """The task queues."""
    tables: TableSettings = TableSettings()
    """The stores on disk."""
    log: LogSettings = LogSettings()
    """What is logged."""
    metrics: MetricsSettings = MetricsSettings()
    """Metrics for Prometheus."""
