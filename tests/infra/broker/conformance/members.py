"""Group members: raw ones, whose every request the test sends itself, and librdkafka's."""

from dataclasses import dataclass
from typing import Any

from aiokafka.protocol.commit import OffsetCommitRequest_v3, OffsetFetchRequest_v3
from aiokafka.protocol.group import (
    HeartbeatRequest_v1,
    JoinGroupRequest_v5,
    LeaveGroupRequest_v1,
    ProtocolMetadata,
    SyncGroupRequest_v3,
)
from confluent_kafka import Consumer

from tests.infra.broker.conformance.clients import close, make_consumer
from tests.infra.broker.conformance.wire import Errors, Wire

SESSION_TIMEOUT_MS = 6_000  # the shortest that Kafka allows
REBALANCE_TIMEOUT_MS = 30_000
# Apache Kafka reads it: with bytes that are no subscription it never answers the join.
SUBSCRIPTION = bytes(ProtocolMetadata(0, ["some-topic"], b"").encode())


@dataclass
class RawMember:
    """One member of a group on a connection of its own."""

    wire: Wire
    group: str
    member_id: str = ""
    instance_id: str | None = None
    generation: int = -1

    def join_request(self, protocol: str = "range", session_timeout: int = 30_000) -> Any:
        """Return the JoinGroup request of this member."""
        return JoinGroupRequest_v5(
            self.group,
            session_timeout,
            REBALANCE_TIMEOUT_MS,
            self.member_id,
            self.instance_id,
            "consumer",
            [(protocol, SUBSCRIPTION)],
        )

    def take(self, answer: Any) -> Any:
        """Remember what a JoinGroup answer says."""
        if answer.member_id:
            self.member_id = answer.member_id
        if answer.error_code == Errors.NONE:
            self.generation = answer.generation_id
        return answer

    def join(self, protocol: str = "range", session_timeout: int = 30_000) -> Any:
        """Join, with the id that MEMBER_ID_REQUIRED gives, and return the last answer."""
        answer = self.take(self.wire.ask(self.join_request(protocol, session_timeout)))
        if answer.error_code == Errors.MEMBER_ID_REQUIRED:
            answer = self.take(self.wire.ask(self.join_request(protocol, session_timeout)))
        return answer

    def sync_request(self, assignments: dict[str, bytes] | None = None) -> Any:
        """Return the SyncGroup request of this member."""
        return SyncGroupRequest_v3(
            self.group,
            self.generation,
            self.member_id,
            self.instance_id,
            list((assignments or {}).items()),
        )

    def sync(self, assignments: dict[str, bytes] | None = None) -> Any:
        """Give (as the leader) or fetch the assignment."""
        return self.wire.ask(self.sync_request(assignments))

    def join_alone(self, session_timeout: int = 30_000) -> None:
        """Become the only, stable member."""
        assert self.join(session_timeout=session_timeout).error_code == Errors.NONE
        assert self.sync({self.member_id: b"all"}).error_code == Errors.NONE

    def heartbeat(self) -> int:
        """Return the error code of a heartbeat."""
        request = HeartbeatRequest_v1(self.group, self.generation, self.member_id)
        return int(self.wire.ask(request).error_code)

    def leave(self) -> int:
        """Leave and return the error code."""
        return leave(self.wire, self.group, self.member_id)

    def commit(self, topic: str, offset: int, metadata: str = "", partition: int = 0) -> int:
        """Commit one offset under this generation and return the error code."""
        return commit(
            self.wire,
            self.group,
            (self.generation, self.member_id),
            (topic, partition, offset, metadata),
        )


def leave(wire: Wire, group: str, member_id: str) -> int:
    """Say on any connection that a member leaves (V6) and return the error code."""
    return int(wire.ask(LeaveGroupRequest_v1(group, member_id)).error_code)


def commit(
    wire: Wire, group: str, member: tuple[int, str], place: tuple[str, int, int, str]
) -> int:
    """Commit (topic, partition, offset, metadata) as (generation, member id)."""
    topic, partition, offset, metadata = place
    topics = [(topic, [(partition, offset, metadata)])]
    answer = wire.ask(OffsetCommitRequest_v3(group, *member, -1, topics))
    ((_, ((_, error_code),)),) = answer.topics
    return int(error_code)


def committed(
    wire: Wire, group: str, topic: str, partitions: tuple[int, ...] = (0,)
) -> dict[int, tuple[int, str]]:
    """Return (offset, metadata) of each partition; offset -1 where nothing is committed."""
    answer = wire.ask(OffsetFetchRequest_v3(group, [(topic, list(partitions))]))
    assert answer.error_code == Errors.NONE
    found = [one for _, parts in answer.topics for one in parts]
    return {partition: (offset, metadata) for partition, offset, metadata, _ in found}


def join_with(address: str, group: str, topics: list[str], **config: Any) -> Consumer:
    """Return a librdkafka consumer subscribed in a group, with quick heartbeats."""
    options = {
        "session_timeout_ms": 10_000,
        "heartbeat_interval_ms": 100,
        "auto_offset_reset": "earliest",
        "enable_partition_eof": False,
    }
    consumer = make_consumer(address, group_id=group, **(options | config))
    consumer.subscribe(topics)
    return consumer


class Group:
    """Several librdkafka consumers of one group, polled in turn by one thread."""

    def __init__(self, address: str, name: str, topics: list[str], **config: Any) -> None:
        self._address, self._name, self._topics, self._config = address, name, topics, config
        self.members: list[Consumer] = []
        self.seen: list[tuple[int, int]] = []

    def join(self, **config: Any) -> Consumer:
        """Add a member."""
        merged = self._config | config
        self.members.append(join_with(self._address, self._name, self._topics, **merged))
        return self.members[-1]

    def leave(self, member: Consumer) -> None:
        """Remove a member, which leaves the group."""
        self.members.remove(member)
        close(member)

    def poll(self) -> None:
        """Poll each member once and note (partition, offset) of what came."""
        for member in self.members:
            for message in member.consume(500, 0.02):
                assert message.error() is None, message.error()
                self.seen.append((message.partition(), message.offset()))

    def assigned(self) -> list[list[int]]:
        """Return the partitions of each member, after polling."""
        self.poll()
        return [sorted(one.partition for one in m.assignment()) for m in self.members]

    def is_balanced(self, partitions: int) -> bool:
        """Whether every partition has exactly one member and nobody is more than one ahead."""
        shares = self.assigned()
        counts = [len(share) for share in shares]
        whole = sorted(number for share in shares for number in share)
        return whole == list(range(partitions)) and max(counts) - min(counts) <= 1

    def close(self) -> None:
        """Let every member leave."""
        for member in list(self.members):
            self.leave(member)
