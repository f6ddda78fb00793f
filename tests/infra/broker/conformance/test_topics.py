"""Topics and the cluster: created, seen, changed, deleted; ids that say which topic it is."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from tests.infra.broker.conformance.clients import (
    await_leaders,
    create_topic,
    make_producer,
    only,
    produce,
    read_all,
    result,
    send,
    texts,
)
from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.wire import Errors, Wire, metadata_request

MakeTopic = Callable[..., str]


def topic_id(admin: AdminClient, topic: str) -> str:
    """Return the id of a topic, as the log protocol reads it (L6)."""
    return str(only(admin.describe_topics(TopicCollection([topic]))).topic_id)


def gone(admin: AdminClient, topic: str) -> bool:
    """Whether no metadata names the topic."""
    return topic not in admin.list_topics(timeout=30).topics


def configs(admin: AdminClient, topic: str) -> dict[str, str]:
    """Return the configuration of a topic, defaults included."""
    found = only(admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))
    return {key: entry.value for key, entry in found.items()}


def set_configs(admin: AdminClient, topic: str, **changes: str | None) -> None:
    """Set topic configs incrementally; None deletes."""
    entries = [
        ConfigEntry(
            key.replace("_", "."),
            value,
            incremental_operation=(
                AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
            ),
        )
        for key, value in changes.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    only(admin.incremental_alter_configs([resource]))


def test_the_cluster_describes_itself(admin: AdminClient, address: str) -> None:
    """One node on the address that was given, which is the controller; the id is stable."""
    first, second = (result(admin.describe_cluster()) for _ in range(2))
    assert [f"{node.host}:{node.port}" for node in first.nodes] == [address]
    assert first.controller.id == first.nodes[0].id
    assert first.cluster_id
    assert first.cluster_id == second.cluster_id


def test_a_created_topic_is_in_the_metadata(admin: AdminClient, address: str, name: str) -> None:
    """Partitions, leader and replicas as asked for."""
    create_topic(admin, address, name, 5)
    found = admin.list_topics(name, timeout=30).topics[name]
    node = result(admin.describe_cluster()).nodes[0].id
    assert found.error is None
    assert sorted(found.partitions) == [0, 1, 2, 3, 4]
    assert {(p.leader, *p.replicas, *p.isrs) for p in found.partitions.values()} == {
        (node, node, node)
    }


def test_creating_it_again_is_refused(admin: AdminClient, topic: str) -> None:
    """A topic exists once."""
    with pytest.raises(KafkaException) as refused:
        only(admin.create_topics([NewTopic(topic, 1, 1)]))
    assert refused.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (NewTopic("bad/name", 1, 1), KafkaError.TOPIC_EXCEPTION),
        (NewTopic("x" * 250, 1, 1), KafkaError.TOPIC_EXCEPTION),
        (NewTopic("..", 1, 1), KafkaError.TOPIC_EXCEPTION),
        (NewTopic("zero", 0, 1), KafkaError.INVALID_PARTITIONS),
        (NewTopic("three-copies", 1, 3), KafkaError.INVALID_REPLICATION_FACTOR),
        (
            NewTopic("bad-config", 1, 1, config={"cleanup.policy": "burn"}),
            KafkaError.INVALID_CONFIG,
        ),
        (NewTopic("no-config", 1, 1, config={"no.such": "1"}), KafkaError.INVALID_CONFIG),
        (
            NewTopic("bad-number", 1, 1, config={"retention.ms": "soon"}),
            KafkaError.INVALID_CONFIG,
        ),
    ],
    ids=lambda value: value.topic[:12] if isinstance(value, NewTopic) else "",
)
def test_a_topic_that_cannot_be_is_refused(admin: AdminClient, new: NewTopic, code: int) -> None:
    """The refusal has Kafka's code and nothing was created."""
    with pytest.raises(KafkaException) as refused:
        only(admin.create_topics([new]))
    assert refused.value.args[0].code() == code
    assert gone(admin, new.topic)


def test_only_validating_creates_nothing(admin: AdminClient, name: str) -> None:
    """A dry run is answered like the real one."""
    only(admin.create_topics([NewTopic(name, 1, 1)], validate_only=True))
    assert gone(admin, name)


def test_default_partitions_and_replication(admin: AdminClient, name: str) -> None:
    """-1 asks for the broker's defaults."""
    only(admin.create_topics([NewTopic(name, -1, -1)]))
    eventually("the topic", lambda: not gone(admin, name))


def test_an_unknown_topic_is_an_error_of_that_topic(
    admin: AdminClient, wire: Wire, topic: str, name: str
) -> None:
    """Asked for two topics, one is found and one is not; nothing is created by asking."""
    answer = wire.ask(metadata_request([topic, name]))
    codes = {found: code for code, found, *_ in answer.topics}
    assert codes == {topic: Errors.NONE, name: Errors.UNKNOWN_TOPIC_OR_PARTITION}
    assert gone(admin, name)


def test_all_topics_are_listed_when_none_is_named(wire: Wire, topic: str) -> None:
    """A null list means all, an empty one none."""
    everything = wire.ask(metadata_request(None)).topics
    assert topic in {found for _, found, *_ in everything}
    assert wire.ask(metadata_request([])).topics == []


def test_a_deleted_topic_is_gone(admin: AdminClient, topic: str) -> None:
    """Deleting removes it, deleting again is refused."""
    only(admin.delete_topics([topic]))
    eventually("the topic to be gone", lambda: gone(admin, topic))
    with pytest.raises(KafkaException) as refused:
        only(admin.delete_topics([topic]))
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_a_recreated_topic_is_empty_and_has_another_id(
    admin: AdminClient, address: str, topic: str
) -> None:
    """The id is stable while the topic lives and changes when it is made anew (L6)."""
    first = topic_id(admin, topic)
    produce(address, topic, ["old"] * 10)
    assert topic_id(admin, topic) == first
    only(admin.delete_topics([topic]))
    eventually("the topic to be gone", lambda: gone(admin, topic))
    create_topic(admin, address, topic)
    assert topic_id(admin, topic) != first
    assert send(make_producer(address), topic, ["new"]).offsets == [0]
    assert texts(read_all(address, topic)) == ["new"]


def test_topic_ids_differ_and_are_not_zero(admin: AdminClient, make_topic: MakeTopic) -> None:
    """Each topic has an id of its own."""
    made = [make_topic() for _ in range(5)]
    described = admin.describe_topics(TopicCollection(made))
    ids = {str(result(one).topic_id) for one in described.values()}
    assert len(ids) == 5
    assert "AAAAAAAAAAAAAAAAAAAAAA" not in ids


def test_describing_an_unknown_topic_is_refused(admin: AdminClient, name: str) -> None:
    """There is no id for what is not there."""
    with pytest.raises(KafkaException) as refused:
        topic_id(admin, name)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_partitions_can_be_added(admin: AdminClient, address: str, topic: str) -> None:
    """More partitions, the old records where they were, the id unchanged."""
    first = topic_id(admin, topic)
    produce(address, topic, ["a"], partition=0)
    only(admin.create_partitions([NewPartitions(topic, 4)]))
    await_leaders(address, topic, 4)
    produce(address, topic, ["b"], partition=3)
    assert texts(read_all(address, topic, partitions=range(4))) in (["a", "b"], ["b", "a"])
    assert topic_id(admin, topic) == first


@pytest.mark.parametrize("count", [1, 2])
def test_partitions_are_never_taken_away(
    admin: AdminClient, make_topic: MakeTopic, count: int
) -> None:
    """The same number or fewer is refused."""
    topic = make_topic(2)
    with pytest.raises(KafkaException) as refused:
        only(admin.create_partitions([NewPartitions(topic, count)]))
    assert refused.value.args[0].code() == KafkaError.INVALID_PARTITIONS


def test_configs_are_described_with_their_source(admin: AdminClient, make_topic: MakeTopic) -> None:
    """What was set is marked as such, the rest as default."""
    topic = make_topic(retention_ms=-1, cleanup_policy="compact", max_message_bytes=17 << 20)
    found = only(admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))
    assert found["retention.ms"].value == "-1"
    assert not found["retention.ms"].is_default
    assert found["cleanup.policy"].value == "compact"
    assert found["max.message.bytes"].value == str(17 << 20)
    assert found["message.timestamp.type"].value == "CreateTime"
    assert found["message.timestamp.type"].is_default


def test_the_settings_that_serve_checks_are_described(admin: AdminClient, topic: str) -> None:
    """What our server verifies at its start can be read from any topic (V2)."""
    found = configs(admin, topic)
    expected = {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "retention.bytes": "-1",
        "message.timestamp.type": "CreateTime",
        "min.insync.replicas": "1",
        "unclean.leader.election.enable": "false",
        "max.message.bytes": "1048588",
    }
    assert {key: found[key] for key in expected} == expected


def test_an_incremental_change_leaves_the_rest(admin: AdminClient, make_topic: MakeTopic) -> None:
    """Setting one config keeps the others, deleting one brings back its default."""
    topic = make_topic(retention_ms=1000_000)
    set_configs(admin, topic, retention_bytes="123456")
    eventually("the change", lambda: configs(admin, topic)["retention.bytes"] == "123456")
    assert configs(admin, topic)["retention.ms"] == "1000000"
    set_configs(admin, topic, retention_ms=None)
    eventually("the default", lambda: configs(admin, topic)["retention.ms"] == "604800000")


def test_a_list_config_can_be_appended_to(admin: AdminClient, make_topic: MakeTopic) -> None:
    """APPEND and SUBTRACT change the cleanup policy by one word."""
    topic = make_topic(cleanup_policy="compact")
    for operation, expected in [
        (AlterConfigOpType.APPEND, "compact,delete"),
        (AlterConfigOpType.SUBTRACT, "compact"),
    ]:
        entry = ConfigEntry("cleanup.policy", "delete", incremental_operation=operation)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        only(admin.incremental_alter_configs([resource]))
        eventually(expected, lambda e=expected: configs(admin, topic)["cleanup.policy"] == e)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_whole_change_resets_the_rest(admin: AdminClient, make_topic: MakeTopic) -> None:
    """The old AlterConfigs replaces everything that was set."""
    topic = make_topic(retention_ms=1000_000)
    resource = ConfigResource(ResourceType.TOPIC, topic, set_config={"retention.bytes": "5000"})
    only(admin.alter_configs([resource]))
    eventually("the change", lambda: configs(admin, topic)["retention.bytes"] == "5000")
    assert configs(admin, topic)["retention.ms"] == "604800000"


def test_a_wrong_config_is_refused_and_nothing_changes(admin: AdminClient, topic: str) -> None:
    """A value of the wrong type is INVALID_CONFIG."""
    with pytest.raises(KafkaException) as refused:
        set_configs(admin, topic, retention_bytes="777", retention_ms="soon")
    assert refused.value.args[0].code() == KafkaError.INVALID_CONFIG
    assert configs(admin, topic)["retention.bytes"] == "-1"


def test_a_config_change_takes_effect(admin: AdminClient, address: str, topic: str) -> None:
    """The timestamp type of a living topic can be changed."""
    set_configs(admin, topic, message_timestamp_type="LogAppendTime")
    producer = make_producer(address)

    def stamped() -> bool:
        kind, _ = send(producer, topic, ["x"]).messages[0].timestamp()
        return bool(kind == 2)

    eventually("append times", stamped)


def test_the_brokers_own_configs_can_be_described(admin: AdminClient) -> None:
    """A broker resource answers too; tools ask for it."""
    node = result(admin.describe_cluster()).nodes[0].id
    found = only(admin.describe_configs([ConfigResource(ResourceType.BROKER, str(node))]))
    assert found


def test_configs_of_an_unknown_topic_are_refused(admin: AdminClient, name: str) -> None:
    """There is nothing to describe."""
    with pytest.raises(KafkaException) as refused:
        configs(admin, name)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_many_topics_in_one_request(admin: AdminClient, name: str) -> None:
    """Fifty topics at once, each answered for itself."""
    new = [NewTopic(f"{name}-{number}", 2, 1) for number in range(50)]
    for future in admin.create_topics(new).values():
        result(future)
    made = set(admin.list_topics(timeout=30).topics)
    assert {one.topic for one in new} <= made
    for future in admin.delete_topics([one.topic for one in new]).values():
        result(future)
