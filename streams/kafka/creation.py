"""Topics at start: missing ones are created, existing ones are checked (V2).

What would lose facts is refused with one sentence that names topic, setting and what was found.
Nothing is ever altered: a setting that somebody chose is theirs to change.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, not listed
    ConfigResource,
    NewTopic,
    ResourceType,
)

from schemas.errors import Unavailable
from streams.kafka.admin import REQUEST_TIMEOUT_S, KafkaAdmin
from topology.topics import TOPICS, PartitionCounts, Topic

_log = structlog.get_logger(__name__)

_LEADERS_TRIES: Final = 100
_LEADERS_DELAY_S: Final = 0.05
_SAFE_REPLICAS: Final = 2


class UnsafeTopic(Exception):
    """A topic is set up so that facts would be lost; the node does not start."""


async def prepare_topics(
    admin: KafkaAdmin,
    counts: PartitionCounts,
    *,
    replication: int = -1,
    topics: tuple[Topic, ...] = TOPICS,
) -> None:
    """Create what is missing, check what is there; raises UnsafeTopic, Unavailable.

    `replication` -1 is the broker's default.
    """
    found = await asyncio.to_thread(_described, admin)
    missing = [topic for topic in topics if topic.name not in found]
    for topic in topics:
        if topic.name in found:
            check_partitions(topic, counts, found[topic.name][0])
    if missing:
        await _create(admin, missing, counts, replication)
        found = await asyncio.to_thread(_described, admin)
    settings = await _settings(admin, topics)
    for topic in topics:
        check_settings(topic, settings[topic.name], replicas=found[topic.name][1])


def check_partitions(topic: Topic, counts: PartitionCounts, found: int) -> None:
    """Refuse a topic whose partitions are not as many as the settings say (L11)."""
    expected = counts.of(topic.spread)
    if found != expected:
        raise UnsafeTopic(
            f"expected topic {topic.name!r} to have {expected} partitions as in the settings, "
            f"found {found}: keys would map elsewhere (kafka.{topic.spread}_partitions = {found})"
        )


def check_settings(topic: Topic, settings: dict[str, str], *, replicas: int) -> None:
    """Refuse settings under which facts would be lost (V2)."""
    for name, expected in _required(topic).items():
        if settings.get(name) != expected:
            raise UnsafeTopic(_sentence(topic, name, expected, settings.get(name)))
    size = int(settings.get("max.message.bytes", "0"))
    if size < int(topic.config()["max.message.bytes"]):
        least = topic.config()["max.message.bytes"]
        raise UnsafeTopic(_sentence(topic, "max.message.bytes", f"at least {least}", str(size)))
    if topic.can_lose or replicas < _SAFE_REPLICAS:
        return
    if int(settings.get("min.insync.replicas", "1")) < _SAFE_REPLICAS:
        found = settings.get("min.insync.replicas")
        raise UnsafeTopic(_sentence(topic, "min.insync.replicas", "at least 2", found))


def _required(topic: Topic) -> dict[str, str]:
    """Return the settings that must be exactly so."""
    if topic.can_lose:
        return {}
    required = dict(topic.config())
    del required["max.message.bytes"]
    if topic.cleanup == "compact":  # time and size mean nothing there
        del required["retention.ms"], required["retention.bytes"]
    if not topic.is_log_append_time or topic.cleanup == "compact":  # no fact rests on it
        del required["message.timestamp.type"]
    return required


def _sentence(topic: Topic, name: str, expected: str, found: str | None) -> str:
    return (
        f"expected topic {topic.name!r} to have {name}={expected}, found {found}: "
        f"facts could be lost, so this node does not start"
    )


def _described(admin: KafkaAdmin) -> dict[str, tuple[int, int]]:
    """Return (partitions, fewest replicas) of every topic."""
    try:
        listed = admin.client.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    except KafkaException as error:
        raise Unavailable(f"expected to reach Kafka, found: {error.args[0].str()}") from error
    return {
        name: (
            len(topic.partitions),
            min((len(one.replicas) for one in topic.partitions.values()), default=0),
        )
        for name, topic in listed.items()
        if topic.error is None
    }


async def _create(
    admin: KafkaAdmin, missing: list[Topic], counts: PartitionCounts, replication: int
) -> None:
    new = [
        NewTopic(
            topic.name,
            num_partitions=counts.of(topic.spread),
            replication_factor=replication,
            config=topic.config() | _in_sync(replication),
        )
        for topic in missing
    ]
    futures = admin.client.create_topics(new, operation_timeout=REQUEST_TIMEOUT_S)
    for name, future in futures.items():
        try:
            await asyncio.wrap_future(future)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another node was first
                raise Unavailable(
                    f"expected to create topic {name!r}, found: {error.args[0].str()}"
                ) from error
        else:
            _log.info("topic_created", topic=name)
    await _await_leaders(admin, missing)


def _in_sync(replication: int) -> dict[str, str]:
    """Return the setting by which no acknowledged record stands on one broker only."""
    if replication < _SAFE_REPLICAS:
        return {}
    return {"min.insync.replicas": str(_SAFE_REPLICAS)}


async def _await_leaders(admin: KafkaAdmin, created: list[Topic]) -> None:
    """Wait until every partition of new topics can be used."""
    for _ in range(_LEADERS_TRIES):
        if all(await asyncio.gather(*(_has_leaders(admin, topic.name) for topic in created))):
            return
        await asyncio.sleep(_LEADERS_DELAY_S)
    raise Unavailable("expected the new topics to have leaders, found some without")


async def _has_leaders(admin: KafkaAdmin, name: str) -> bool:
    listed = await asyncio.to_thread(admin.client.list_topics, name, REQUEST_TIMEOUT_S)
    topic = listed.topics[name]
    partitions = topic.partitions.values()
    return topic.error is None and bool(partitions) and all(one.leader >= 0 for one in partitions)


async def _settings(admin: KafkaAdmin, present: Iterable[Topic]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in present]
    futures = admin.client.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
    found: dict[str, dict[str, str]] = {}
    for resource, future in futures.items():
        try:
            entries: dict[str, Any] = await asyncio.wrap_future(future)
        except KafkaException as error:
            raise Unavailable(
                f"expected the settings of {resource.name!r}, found: {error.args[0].str()}"
            ) from error
        found[resource.name] = {name: str(entry.value) for name, entry in entries.items()}
    return found
