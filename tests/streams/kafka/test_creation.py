"""V2: missing topics are made as they must be; what would lose facts is refused in one sentence."""

import asyncio
from typing import Any

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

from streams.kafka.admin import KafkaAdmin
from streams.kafka.creation import UnsafeTopic, check_settings, prepare_topics
from tests.streams.conftest import create
from topology.topics import (
    COMMANDS,
    DEAD_LETTERS,
    EVENTS,
    OWNERS,
    TASKS,
    TOPICS,
    PartitionCounts,
    Topic,
)

COUNTS = PartitionCounts(history=3, matching=2)


def renamed(topic: Topic, name: str) -> Topic:
    """Return a topic under another name."""
    fields = {one: getattr(topic, one) for one in topic.__struct_fields__}
    return Topic(**{**fields, "name": f"{name}-{topic.name}"})


async def test_v2_missing_topics_are_created(admin: KafkaAdmin, name: str) -> None:
    """V2: with their partitions and settings; a second node finds them as they must be."""
    topics = tuple(renamed(topic, name) for topic in TOPICS)
    await prepare_topics(admin, COUNTS, replication=1, topics=topics)
    await prepare_topics(admin, COUNTS, topics=topics)
    listed = await asyncio.to_thread(admin.client.list_topics, timeout=10)
    for topic in topics:
        assert len(listed.topics[topic.name].partitions) == COUNTS.of(topic.spread)
        resource = ConfigResource(ResourceType.TOPIC, topic.name)
        described: dict[str, Any] = await asyncio.wrap_future(
            admin.client.describe_configs([resource])[resource]
        )
        found = {key: described[key].value for key in topic.config()}
        assert found == topic.config()


async def test_l11_another_partition_count_is_refused(admin: KafkaAdmin, name: str) -> None:
    """L11: keys would map elsewhere."""
    topic = renamed(EVENTS, name)
    await prepare_topics(admin, COUNTS, replication=1, topics=(topic,))
    with pytest.raises(UnsafeTopic, match="to have 4 partitions as in the settings, found 3"):
        await prepare_topics(admin, PartitionCounts(history=4, matching=2), topics=(topic,))


async def test_v2_a_topic_made_by_others_is_checked(admin: KafkaAdmin, name: str) -> None:
    """V2: Kafka's own defaults lose records after a week."""
    topic = renamed(COMMANDS, name)
    await create(admin, topic.name, 3, {"retention.ms": "604800000"})
    with pytest.raises(UnsafeTopic, match=r"retention.ms=-1, found 604800000"):
        await prepare_topics(admin, COUNTS, topics=(topic,))


def safe(topic: Topic) -> dict[str, str]:
    """Return settings that a topic passes with."""
    return topic.config() | {"min.insync.replicas": "2"}


@pytest.mark.parametrize(
    ("topic", "name", "value"),
    [
        (EVENTS, "cleanup.policy", "compact"),
        (EVENTS, "retention.bytes", "1000000"),
        (EVENTS, "message.timestamp.type", "CreateTime"),
        (EVENTS, "unclean.leader.election.enable", "true"),
        (EVENTS, "min.insync.replicas", "1"),
        (EVENTS, "max.message.bytes", "1048588"),
        (COMMANDS, "retention.ms", "604800000"),
        (TASKS, "cleanup.policy", "delete"),
        (OWNERS, "cleanup.policy", "compact,delete"),
        (DEAD_LETTERS, "max.message.bytes", "1048588"),
    ],
)
def test_v2_settings_that_lose_facts_are_refused(topic: Topic, name: str, value: str) -> None:
    """V2: one sentence names topic, setting, what was expected and what was found."""
    check_settings(topic, safe(topic), replicas=3)
    with pytest.raises(UnsafeTopic) as refused:
        check_settings(topic, safe(topic) | {name: value}, replicas=3)
    sentence = str(refused.value)
    assert all(word in sentence for word in (repr(topic.name), name, value))
    assert "\n" not in sentence


def test_v2_one_replica_needs_no_second_in_sync() -> None:
    """V2: a development broker has one copy of everything, and says so by its replication."""
    check_settings(EVENTS, safe(EVENTS) | {"min.insync.replicas": "1"}, replicas=1)


def test_v2_what_can_be_lost_may_be_kept_as_users_like() -> None:
    """V2: how long dead letters and replies are kept is theirs to choose."""
    check_settings(DEAD_LETTERS, safe(DEAD_LETTERS) | {"retention.ms": "1000"}, replicas=3)
