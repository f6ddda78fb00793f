"""Topics as data: the table of the architecture, and what follows from it."""

from importlib.resources import files

import pytest

from topology.topics import (
    COMMANDS,
    COMMANDS_INTERNAL,
    EVENTS,
    RECORD_BYTES_LIMIT,
    TOPICS,
    PartitionCounts,
    Topic,
)


def by_name(topic: Topic) -> str:
    """Return what a test is called after."""
    return topic.name


def test_names_are_unique() -> None:
    """A name is a topic."""
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


@pytest.mark.parametrize("topic", TOPICS, ids=by_name)
def test_values_are_records_of_ours(topic: Topic) -> None:
    """Each value has a schema in schemas/avro."""
    for value in topic.value.split(", "):
        assert files("schemas").joinpath("avro", f"{value}.avsc").is_file()


def test_v2_events_are_kept_as_they_are() -> None:
    """V2, T1: uncompacted, for ever, with the log's own time."""
    config = EVENTS.config()
    assert (config["cleanup.policy"], config["retention.ms"]) == ("delete", "-1")
    assert config["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.parametrize("topic", [COMMANDS, COMMANDS_INTERNAL, EVENTS], ids=by_name)
def test_v2_kafka_deletes_nothing_by_itself(topic: Topic) -> None:
    """V2: the owner trims what it has folded; time and size do not."""
    assert (topic.config()["retention.ms"], topic.config()["retention.bytes"]) == ("-1", "-1")


@pytest.mark.parametrize("topic", TOPICS, ids=by_name)
def test_l14_topics_take_records_of_16_mib(topic: Topic) -> None:
    """L14."""
    assert topic.config()["max.message.bytes"] == str(RECORD_BYTES_LIMIT) == str(16 << 20)


def test_co_partitioned_topics_have_one_count() -> None:
    """A key has the same partition on all of them."""
    counts = PartitionCounts(history=8, matching=3)
    together = [topic for topic in TOPICS if topic.is_co_partitioned]
    assert {counts.of(topic.spread) for topic in together} == {8}


def test_partition_counts() -> None:
    """Topics read whole have one partition."""
    counts = PartitionCounts(history=8, matching=3)
    assert [counts.of(one) for one in ("history", "matching", "one")] == [8, 3, 1]
