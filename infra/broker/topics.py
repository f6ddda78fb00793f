"""Topics by name and by id, and their partition logs; creation, growth, deletion.

A topic's logs stand in `<data dir>/topics/<topic id>/<partition>`: a topic that is created again
under an old name has another folder, so leftovers of the old one can never be taken for its
records.
"""

import contextlib
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from infra.broker.configs import checked, log_config
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.files import Files
from infra.broker.log import PartitionLog
from infra.broker.recovery import recover
from infra.broker.settings import Settings
from infra.broker.store import Store, StoredTopic
from infra.broker.tail import Tail, TailBudget

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_MAX_PARTITION_COUNT = 10_000


class Topic:
    """A topic: identity, settings, one log for each partition."""

    __slots__ = ("config", "id", "logs", "name")

    def __init__(self, stored: StoredTopic) -> None:
        self.name = stored.name
        self.id = stored.id
        self.config = stored.config
        self.logs: list[PartitionLog] = []

    def stored(self) -> StoredTopic:
        """Return the row of this topic."""
        return StoredTopic(self.name, self.id, len(self.logs), self.config)


class Topics:
    """All topics of the broker."""

    def __init__(self, settings: Settings, store: Store, files: Files) -> None:
        self._settings = settings
        self._store = store
        self._files = files
        self._budget = TailBudget(settings.tail_cache_bytes)
        self._root = settings.data_dir / "topics"
        self.by_name: dict[str, Topic] = {}
        self.by_id: dict[bytes, Topic] = {}

    def open_all(self) -> None:
        """Recover every partition, and remove folders of topics deleted before."""
        starts = self._store.log_starts()
        for stored in self._store.topics():
            topic = Topic(stored)
            for partition in range(stored.partition_count):
                start = starts.get((topic.id, partition), 0)
                topic.logs.append(self._opened(topic, partition, start))
            self._register(topic)
        with contextlib.suppress(FileNotFoundError):
            for folder in self._root.iterdir():
                if bytes.fromhex(folder.name) not in self.by_id:
                    shutil.rmtree(folder)

    def _opened(self, topic: Topic, partition: int, start: int = 0) -> PartitionLog:
        config = log_config(topic.config, self._settings.topic_defaults())
        folder = self.folder_of(topic) / str(partition)
        log = PartitionLog(folder, config, self._files, Tail(self._budget))
        log.serves_unflushed = self._settings.durability != "fsync"
        log.start_offset = start
        recover(log)
        return log

    def folder_of(self, topic: Topic) -> Path:
        """Return the folder of a topic's logs."""
        return self._root / topic.id.hex()

    def _register(self, topic: Topic) -> None:
        self.by_name[topic.name] = topic
        self.by_id[topic.id] = topic

    def log(self, name: str, partition: int) -> PartitionLog:
        """Return a partition's log; raise UNKNOWN_TOPIC_OR_PARTITION."""
        topic = self.by_name.get(name)
        if topic is None or not 0 <= partition < len(topic.logs):
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return topic.logs[partition]

    def check_new(self, name: str, partition_count: int, config: Mapping[str, str | None]) -> None:
        """Raise KafkaError if a topic cannot be created so."""
        check_name(name)
        if name in self.by_name:
            raise KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        if not 0 < partition_count <= _MAX_PARTITION_COUNT:
            raise KafkaError(
                ErrorCode.INVALID_PARTITIONS,
                f"expected 1 to {_MAX_PARTITION_COUNT} partitions, found {partition_count}",
            )
        checked(config)

    def create(self, name: str, partition_count: int, config: Mapping[str, str | None]) -> Topic:
        """Create a topic; it is on the disk when this returns."""
        self.check_new(name, partition_count, config)
        topic = Topic(StoredTopic(name, uuid.uuid4().bytes, partition_count, checked(config)))
        try:
            topic.logs = [self._opened(topic, number) for number in range(partition_count)]
        except OSError as error:
            shutil.rmtree(self.folder_of(topic), ignore_errors=True)
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error
        self._store.save_topic(topic.stored())
        self._register(topic)
        return topic

    def grow(self, topic: Topic, partition_count: int) -> None:
        """Add partitions."""
        added = [self._opened(topic, number) for number in range(len(topic.logs), partition_count)]
        self._store.save_topic(topic.stored()._replace(partition_count=partition_count))
        topic.logs += added

    def configure(self, topic: Topic, config: Mapping[str, str | None]) -> None:
        """Replace the settings of a topic; they count from now on."""
        accepted = checked(config)
        self._store.save_topic(topic.stored()._replace(config=accepted))
        topic.config = accepted
        for log in topic.logs:
            log.config = log_config(accepted, self._settings.topic_defaults())

    def delete(self, topic: Topic) -> None:
        """Forget a topic; the caller removes its folder, off the loop."""
        self._store.delete_topic(topic.name, topic.id)
        del self.by_name[topic.name], self.by_id[topic.id]
        for log in topic.logs:
            log.is_deleted = True
            log.tail.clear()
            log.wake()

    def remove_files(self, topic: Topic) -> None:
        """Remove the folder of a deleted topic."""
        for log in topic.logs:
            log.close()
        shutil.rmtree(self.folder_of(topic), ignore_errors=True)

    def all_logs(self) -> list[tuple[Topic, int, PartitionLog]]:
        """Return (topic, partition, log) of everything."""
        return [
            (topic, number, log)
            for topic in self.by_name.values()
            for number, log in enumerate(topic.logs)
        ]

    def close(self) -> None:
        """Close all files."""
        for _, _, log in self.all_logs():
            log.close()


def check_name(name: str) -> None:
    """Raise INVALID_TOPIC unless Kafka would take the name."""
    if not 0 < len(name) <= 249 or name in (".", "..") or not _NAME_CHARACTERS.issuperset(name):
        raise KafkaError(ErrorCode.INVALID_TOPIC, f"Topic name is invalid: {name!r}")
