"""Consumer groups as librdkafka lives in them: rebalances, static members, offsets, admin."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.infra.broker.conformance.clients import close, make_producer, only, produce, result, send
from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.members import Group, commit, join_with
from tests.infra.broker.conformance.wire import Wire

MakeTopic = Callable[..., str]
MakeGroup = Callable[..., Group]


@pytest.fixture
def group_of(address: str, group: str) -> Iterator[MakeGroup]:
    """Return a function that makes this test's group; its members leave at the end."""
    made: list[Group] = []

    def make(topic: str, **config: str | float) -> Group:
        made.append(Group(address, group, [topic], **config))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_members_share_the_partitions(
    group_of: MakeGroup, make_topic: MakeTopic, strategy: str
) -> None:
    """One, two, three members, then two again: each partition has one member all along."""
    members = group_of(make_topic(6), partition_assignment_strategy=strategy)
    for _ in range(3):
        members.join()
        eventually("a balanced group", lambda: members.is_balanced(6))
    members.leave(members.members[0])
    eventually("a balanced group", lambda: members.is_balanced(6))


def test_a_group_continues_where_it_committed(
    address: str, group: str, make_topic: MakeTopic
) -> None:
    """What was committed is not read again by the next member."""
    topic = make_topic()
    produce(address, topic, [f"v{n}" for n in range(10)])
    first = join_with(address, group, [topic])
    seen = eventually("five records", lambda: first.consume(5, 1))
    first.commit(message=seen[-1], asynchronous=False)
    close(first)
    second = join_with(address, group, [topic])
    following = eventually("the next record", lambda: second.consume(1, 1))
    assert following[0].offset() == seen[-1].offset() + 1
    close(second)


def test_a_cursor_in_the_metadata_comes_back(address: str, group: str, topic: str) -> None:
    """Offset metadata is text of the client's own, unicode and all (V1)."""
    cursor = '{"epoch": 7, "incarnation": "abc", "seq": 12} é'
    consumer = join_with(address, group, [topic])
    eventually("an assignment", lambda: consumer.poll(0.1) or consumer.assignment())
    place = TopicPartition(topic, 0, 12, cursor)
    consumer.commit(offsets=[place], asynchronous=False)
    (found,) = consumer.committed([TopicPartition(topic, 0)], timeout=30)
    close(consumer)
    assert (found.offset, found.metadata) == (12, cursor)


def test_a_static_member_restarts_without_moving_partitions(
    group_of: MakeGroup, make_topic: MakeTopic
) -> None:
    """Closed and opened again under its instance id, it has its partitions back."""
    members = group_of(make_topic(4))
    members.join(group_instance_id="a")
    members.join(group_instance_id="b")
    eventually("a balanced group", lambda: members.is_balanced(4))
    kept, moving = members.assigned()
    members.leave(members.members[1])
    members.join(group_instance_id="b")
    eventually("the same assignment", lambda: members.assigned() == [kept, moving])


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_eight_members_come_and_go_and_nothing_is_lost(
    address: str, group_of: MakeGroup, make_topic: MakeTopic, strategy: str
) -> None:
    """Through all rebalances every record is delivered at least once."""
    topic = make_topic(8)
    producer = make_producer(address)
    members = group_of(
        topic,
        partition_assignment_strategy=strategy,
        enable_auto_commit=True,
        auto_commit_interval_ms=100,
    )
    for number in range(8):
        members.join()
        send(producer, topic, [f"{number}-{n}" for n in range(400)])
        members.poll()
    for _ in range(4):
        # One that leaves in the middle of its first join would hold the group for its session.
        eventually("a balanced group", lambda: members.is_balanced(8))
        members.leave(members.members[0])
        send(producer, topic, ["more"] * 200)
        members.poll()
        members.join()
    total = 8 * 400 + 4 * 200

    def has_all() -> bool:
        members.poll()
        return len(set(members.seen)) == total

    eventually(f"{total} different records", has_all, within=60)
    ends = dict.fromkeys(range(8), -1)
    for partition, offset in members.seen:
        ends[partition] = max(ends[partition], offset)
    assert sum(end + 1 for end in ends.values()) == total


def test_a_topic_that_gets_partitions_is_rebalanced(
    admin: AdminClient, address: str, group: str, topic: str
) -> None:
    """A group notices partitions that were added."""
    members = Group(address, group, [topic], topic_metadata_refresh_interval_ms=200)
    members.join()
    eventually("one partition", lambda: members.assigned() == [[0]])
    only(admin.create_partitions([NewPartitions(topic, 3)]))
    eventually("three partitions", lambda: members.assigned() == [[0, 1, 2]])
    members.close()


def test_groups_are_listed_and_described(
    admin: AdminClient, group_of: MakeGroup, make_topic: MakeTopic, group: str
) -> None:
    """State, members, client id, assignments and protocol, as tools show them."""
    topic = make_topic(2)
    members = group_of(topic, client_id="shown", partition_assignment_strategy="range")
    members.join()
    eventually("an assignment", lambda: members.is_balanced(2))
    listed = {one.group_id: one for one in result(admin.list_consumer_groups()).valid}
    assert listed[group].state == ConsumerGroupState.STABLE
    assert not listed[group].is_simple_consumer_group
    described = only(admin.describe_consumer_groups([group]))
    (member,) = described.members
    assert (described.state, described.partition_assignor) == (ConsumerGroupState.STABLE, "range")
    assert (member.client_id, member.host.lstrip("/")) == ("shown", "127.0.0.1")
    assert [(p.topic, p.partition) for p in member.assignment.topic_partitions] == [
        (topic, 0),
        (topic, 1),
    ]


def test_a_group_with_members_cannot_be_deleted(
    admin: AdminClient, group_of: MakeGroup, topic: str, group: str
) -> None:
    """NON_EMPTY_GROUP while somebody is in; deleted when they left."""
    members = group_of(topic)
    member = members.join()
    eventually("an assignment", lambda: members.is_balanced(1))
    with pytest.raises(KafkaException) as refused:
        only(admin.delete_consumer_groups([group]))
    assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    member.commit(offsets=[TopicPartition(topic, 0, 5)], asynchronous=False)
    members.leave(member)
    only(admin.delete_consumer_groups([group]))
    assert group not in {one.group_id for one in result(admin.list_consumer_groups()).valid}


def test_a_deleted_group_has_no_offsets(
    admin: AdminClient, wire: Wire, group: str, topic: str
) -> None:
    """Deleting forgets what was committed."""
    commit(wire, group, (-1, ""), (topic, 0, 5, ""))
    only(admin.delete_consumer_groups([group]))
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    (found,) = only(admin.list_consumer_group_offsets([asked])).topic_partitions
    assert found.offset < 0


def test_deleting_an_unknown_group_is_refused(admin: AdminClient, group: str) -> None:
    """GROUP_ID_NOT_FOUND."""
    with pytest.raises(KafkaException) as refused:
        only(admin.delete_consumer_groups([group]))
    assert refused.value.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND


def test_all_offsets_of_a_group_can_be_listed(
    admin: AdminClient, wire: Wire, group: str, make_topic: MakeTopic
) -> None:
    """Without naming partitions, every committed one is told."""
    topics = [make_topic(2), make_topic(1)]
    places = [(topics[0], 0, 3, ""), (topics[0], 1, 4, ""), (topics[1], 0, 5, "")]
    for place in places:
        commit(wire, group, (-1, ""), place)
    found = only(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
    assert {(p.topic, p.partition, p.offset) for p in found.topic_partitions} == {
        place[:3] for place in places
    }


def test_offsets_of_an_empty_group_can_be_altered(
    admin: AdminClient, wire: Wire, group: str, topic: str
) -> None:
    """An operator moves a members."""
    commit(wire, group, (-1, ""), (topic, 0, 3, ""))
    moved = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 1)])
    only(admin.alter_consumer_group_offsets([moved]))
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    (found,) = only(admin.list_consumer_group_offsets([asked])).topic_partitions
    assert found.offset == 1


def test_a_deleted_topic_takes_its_offsets_along(
    admin: AdminClient, wire: Wire, group: str, topic: str
) -> None:
    """A recreated topic is not read from the offset of the old one."""
    commit(wire, group, (-1, ""), (topic, 0, 3, ""))
    only(admin.delete_topics([topic]))
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])

    def forgotten() -> bool:
        (found,) = only(admin.list_consumer_group_offsets([asked])).topic_partitions
        return bool(found.offset < 0)

    eventually("no offset", forgotten)
