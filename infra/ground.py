"""What every part of a node is made from: settings, folder, Kafka, clock, counts, and its end."""

import os
import socket
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
import structlog

from archival.settings import ArchivalSettings
from infra.chance import SystemRandom
from infra.settings import Settings
from streams.app import GroupSettings
from streams.clock import SystemClock
from streams.kafka.admin import KafkaAdmin
from streams.metrics import Metrics
from streams.tables import RocksStores

_log = structlog.get_logger(__name__)

FRONTEND: Final = "frontend"
HISTORY: Final = "history"
MATCHING: Final = "matching"

OnFailure = Callable[[str], None]


class Ground:
    """What every part of one node is made from."""

    def __init__(
        self, settings: Settings, folder: Path, kafka: str, *, on_failure: OnFailure
    ) -> None:
        """Make it inside a running loop; `on_failure` hears one sentence when a part dies."""
        self.settings = settings
        self.folder = folder
        self.kafka = kafka
        self.on_failure = on_failure
        self.stack = AsyncExitStack()
        """What is to be stopped, in the reverse order."""
        self.clock = SystemClock()
        self.random = SystemRandom()
        self.metrics = Metrics()
        self.admin = KafkaAdmin(kafka)

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.settings.node.name or f"{socket.gethostname()}-{os.getpid()}"

    @property
    def archival(self) -> ArchivalSettings:
        """The settings of archives; without a Kafka of the user's, URIs have a default."""
        wanted = self.settings.archival
        if self.settings.kafka.address:
            return wanted
        default = (self.folder.resolve() / "archive").as_uri()
        return msgspec.structs.replace(
            wanted,
            history_uri=wanted.history_uri or default,
            visibility_uri=wanted.visibility_uri or default,
        )

    def has(self, role: str) -> bool:
        """Whether the node has a role."""
        return role in self.settings.node.roles

    def cluster_id(self) -> str:
        """Return a UUID that every node on this Kafka computes alike."""
        kafka_id = self.admin.client.list_topics(timeout=10).cluster_id
        return str(uuid.uuid5(uuid.NAMESPACE_OID, str(kafka_id)))

    def stores(self, role: str) -> RocksStores:
        """Return the stores of a role's partitions."""
        return RocksStores(self.folder / role / "stores", self.settings.tables)

    def group(self, role: str) -> GroupSettings:
        """Return how a role takes part in its group; but for matching, they follow history."""
        kafka = self.settings.kafka
        return GroupSettings(
            address=self.kafka,
            folder=self.folder / role,
            partitions=kafka.counts.matching if role == MATCHING else kafka.counts.history,
            group_prefix="millrace-",
            session_timeout_s=kafka.session_timeout_s,
        )

    def crashed(self, part: str) -> Callable[[BaseException], None]:
        """Return who turns the crash of a part into the end of the process."""

        def crashed(error: BaseException) -> None:
            _log.error("part_crashed", part=part, exc_info=error)
            self.on_failure(f"The node ends, because {part} crashed: {error or repr(error)}.")

        return crashed
