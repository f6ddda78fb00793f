"""The classic group protocol, request by request."""

from collections.abc import Callable, Iterator

import pytest

from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.members import (
    SESSION_TIMEOUT_MS,
    SUBSCRIPTION,
    RawMember,
    commit,
    committed,
    leave,
)
from tests.infra.broker.conformance.wire import Errors, Wire

MakeMember = Callable[..., RawMember]


@pytest.fixture
def member_of(address: str, group: str) -> Iterator[MakeMember]:
    """Return a function that makes members of this test's group, each on its own connection."""
    wires: list[Wire] = []

    def make(instance_id: str | None = None, member_id: str = "") -> RawMember:
        wires.append(Wire(address))
        return RawMember(wires[-1], group, member_id, instance_id)

    yield make
    for wire in wires:
        wire.socket.close()


def pair(member_of: MakeMember) -> tuple[RawMember, RawMember]:
    """Return a stable group of two: (leader, follower)."""
    leader, follower = member_of(), member_of()
    leader.join_alone()
    _require_id(follower)
    follower.wire.send(follower.join_request())
    eventually("a rebalance", lambda: leader.heartbeat() == Errors.REBALANCE_IN_PROGRESS)
    leader.take(leader.wire.ask(leader.join_request()))
    follower.take(follower.wire.receive())
    follower.wire.send(follower.sync_request())
    given = {leader.member_id: b"L", follower.member_id: b"F"}
    assert leader.sync(given).member_assignment == b"L"
    assert follower.wire.receive().member_assignment == b"F"
    return leader, follower


def _require_id(member: RawMember) -> None:
    answer = member.take(member.wire.ask(member.join_request()))
    assert answer.error_code == Errors.MEMBER_ID_REQUIRED


def test_a_first_join_is_given_an_id_to_come_back_with(member_of: MakeMember) -> None:
    """MEMBER_ID_REQUIRED: the id is known before the join counts (V6)."""
    member = member_of()
    _require_id(member)
    assert member.member_id
    answer = member.take(member.wire.ask(member.join_request()))
    assert (answer.error_code, answer.generation_id) == (Errors.NONE, 1)
    assert (answer.leader_id, answer.group_protocol) == (member.member_id, "range")
    assert [(one[0], bytes(one[2])) for one in answer.members] == [(member.member_id, SUBSCRIPTION)]


def test_the_leader_gives_the_assignments(member_of: MakeMember) -> None:
    """Each member gets what the leader said for it, as bytes nobody looks into."""
    leader, follower = pair(member_of)
    assert leader.generation == follower.generation == 2
    assert (leader.heartbeat(), follower.heartbeat()) == (Errors.NONE, Errors.NONE)


def test_only_the_leader_is_told_the_members(member_of: MakeMember) -> None:
    """A leader that joins again rebalances; followers get an empty list."""
    leader, follower = pair(member_of)
    leader.wire.send(leader.join_request())
    eventually("a rebalance", lambda: follower.heartbeat() == Errors.REBALANCE_IN_PROGRESS)
    to_follower = follower.take(follower.wire.ask(follower.join_request()))
    to_leader = leader.take(leader.wire.receive())
    assert len(to_leader.members) == 2
    assert to_follower.members == []
    assert to_follower.leader_id == leader.member_id


def test_a_follower_that_joins_again_unchanged_is_answered_at_once(
    member_of: MakeMember,
) -> None:
    """A lost answer is asked for again without a rebalance: same generation, no members told."""
    leader, follower = pair(member_of)
    again = follower.wire.ask(follower.join_request())
    assert (again.error_code, again.generation_id, again.members) == (0, leader.generation, [])
    assert leader.heartbeat() == Errors.NONE


def test_a_join_starts_a_rebalance_that_heartbeats_tell(member_of: MakeMember) -> None:
    """REBALANCE_IN_PROGRESS until the member has joined again."""
    first, second = member_of(), member_of()
    first.join_alone()
    _require_id(second)
    second.wire.send(second.join_request())
    eventually("a rebalance", lambda: first.heartbeat() == Errors.REBALANCE_IN_PROGRESS)
    assert first.sync().error_code == Errors.REBALANCE_IN_PROGRESS
    first.take(first.wire.ask(first.join_request()))
    assert second.wire.receive().generation_id == first.generation == 2


def test_unknown_members_are_refused(member_of: MakeMember, topic: str) -> None:
    """Join, sync, heartbeat, commit and leave with a made-up id: UNKNOWN_MEMBER_ID."""
    member = member_of()
    member.join_alone()
    ghost = member_of(member_id="ghost-1")
    ghost.generation = member.generation
    assert ghost.wire.ask(ghost.join_request()).error_code == Errors.UNKNOWN_MEMBER_ID
    assert ghost.sync().error_code == Errors.UNKNOWN_MEMBER_ID
    assert ghost.heartbeat() == Errors.UNKNOWN_MEMBER_ID
    assert ghost.commit(topic, 1) == Errors.UNKNOWN_MEMBER_ID
    assert ghost.leave() == Errors.UNKNOWN_MEMBER_ID
    assert member.heartbeat() == Errors.NONE


def test_an_old_generation_is_fenced(member_of: MakeMember, topic: str, wire: Wire) -> None:
    """Heartbeat, sync and commit of the generation before are refused; nothing is committed."""
    leader, follower = pair(member_of)
    assert leader.commit(topic, 5) == Errors.NONE
    follower.generation -= 1
    assert follower.heartbeat() == Errors.ILLEGAL_GENERATION
    assert follower.sync().error_code == Errors.ILLEGAL_GENERATION
    assert follower.commit(topic, 99) == Errors.ILLEGAL_GENERATION
    assert committed(wire, leader.group, topic)[0] == (5, "")


def test_a_commit_during_a_rebalance_counts_until_the_sync(
    member_of: MakeMember, topic: str, wire: Wire
) -> None:
    """While members join, the old generation may still commit what it did."""
    first, second = member_of(), member_of()
    first.join_alone()
    _require_id(second)
    second.wire.send(second.join_request())
    eventually("a rebalance", lambda: first.heartbeat() == Errors.REBALANCE_IN_PROGRESS)
    assert first.commit(topic, 7) == Errors.NONE
    assert committed(wire, first.group, topic)[0] == (7, "")
    first.take(first.wire.ask(first.join_request()))
    second.take(second.wire.receive())
    assert second.commit(topic, 8) == Errors.REBALANCE_IN_PROGRESS


def test_leaving_empties_the_group_and_the_generation_goes_on(member_of: MakeMember) -> None:
    """A group that was left begins its next generation, not its first."""
    member = member_of()
    member.join_alone()
    assert member.leave() == Errors.NONE
    assert member.heartbeat() == Errors.UNKNOWN_MEMBER_ID
    after = member_of()
    after.join_alone()
    assert after.generation > member.generation


def test_anybody_may_say_that_a_member_leaves(member_of: MakeMember, wire: Wire) -> None:
    """LeaveGroup for a foreign member id from another connection evicts at once (V6)."""
    leader, follower = pair(member_of)
    assert leave(wire, leader.group, leader.member_id) == Errors.NONE
    assert leader.heartbeat() == Errors.UNKNOWN_MEMBER_ID
    assert follower.heartbeat() == Errors.REBALANCE_IN_PROGRESS
    answer = follower.take(follower.wire.ask(follower.join_request()))
    assert (answer.error_code, answer.leader_id) == (Errors.NONE, follower.member_id)


def test_a_foreign_leave_completes_a_join_that_waits(member_of: MakeMember, wire: Wire) -> None:
    """A node that restarts removes its former life and joins without waiting for its timeout."""
    former, new = member_of(), member_of()
    former.join_alone()
    _require_id(new)
    new.wire.send(new.join_request())
    eventually("a rebalance", lambda: former.heartbeat() == Errors.REBALANCE_IN_PROGRESS)
    assert leave(wire, former.group, former.member_id) == Errors.NONE
    answer = new.take(new.wire.receive())
    assert (answer.error_code, answer.leader_id) == (Errors.NONE, new.member_id)


def test_a_pending_id_can_be_left_too(member_of: MakeMember, wire: Wire) -> None:
    """An id that was given but never joined with is forgotten by LeaveGroup."""
    member = member_of()
    _require_id(member)
    assert leave(wire, member.group, member.member_id) == Errors.NONE
    again = member.wire.ask(member.join_request())
    assert again.error_code == Errors.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("timeout", [5_999, 30 * 60_000 + 1])
def test_session_timeouts_have_kafkas_limits(member_of: MakeMember, timeout: int) -> None:
    """Six seconds to thirty minutes; anything else is refused."""
    answer = member_of().join(session_timeout=timeout)
    assert answer.error_code == Errors.INVALID_SESSION_TIMEOUT


def test_a_group_needs_a_name(wire: Wire) -> None:
    """The empty group id is invalid."""
    assert RawMember(wire, "").join().error_code == Errors.INVALID_GROUP_ID


def test_members_need_a_protocol_in_common(member_of: MakeMember) -> None:
    """A member that knows none of the group's protocols is refused, the group stays."""
    member = member_of()
    member.join_alone()
    stranger = member_of()
    assert stranger.join(protocol="roundrobin").error_code == Errors.INCONSISTENT_GROUP_PROTOCOL
    assert member.heartbeat() == Errors.NONE


def test_a_silent_member_is_evicted(member_of: MakeMember, topic: str, wire: Wire) -> None:
    """After its session timeout its heartbeat and commit are refused; the others rebalance."""
    silent, other = member_of(), member_of()
    silent.join_alone(session_timeout=SESSION_TIMEOUT_MS)
    assert silent.commit(topic, 3) == Errors.NONE
    _require_id(other)
    answer = other.take(other.wire.ask(other.join_request()))
    assert (answer.error_code, answer.leader_id) == (Errors.NONE, other.member_id)
    assert silent.heartbeat() == Errors.UNKNOWN_MEMBER_ID
    assert silent.commit(topic, 4) == Errors.UNKNOWN_MEMBER_ID
    assert committed(wire, silent.group, topic)[0] == (3, "")


def test_heartbeats_keep_a_member(member_of: MakeMember) -> None:
    """A member whose neighbour falls silent stays, and sees the rebalance."""
    leader, silent = member_of(), member_of()
    leader.join_alone(session_timeout=SESSION_TIMEOUT_MS)
    assert silent.take(silent.wire.ask(silent.join_request())).member_id
    silent.wire.send(silent.join_request(session_timeout=SESSION_TIMEOUT_MS))
    eventually("a rebalance", lambda: leader.heartbeat() == Errors.REBALANCE_IN_PROGRESS)
    leader.take(leader.wire.ask(leader.join_request(session_timeout=SESSION_TIMEOUT_MS)))
    silent.take(silent.wire.receive())
    leader.sync({leader.member_id: b"L", silent.member_id: b"S"})
    eventually(
        "the silent one's eviction", lambda: leader.heartbeat() == Errors.REBALANCE_IN_PROGRESS
    )
    answer = leader.take(leader.wire.ask(leader.join_request()))
    assert [one[0] for one in answer.members] == [leader.member_id]


def test_a_static_member_comes_back_without_a_rebalance(member_of: MakeMember) -> None:
    """The same instance id gets a new member id and the assignment it had."""
    before = member_of(instance_id="node-1")
    before.join_alone()
    after = member_of(instance_id="node-1")
    answer = after.take(after.wire.ask(after.join_request()))
    assert (answer.error_code, answer.generation_id) == (Errors.NONE, before.generation)
    assert answer.member_id != before.member_id
    assert after.sync().member_assignment == b"all"


def test_the_former_life_of_a_static_member_is_fenced(member_of: MakeMember) -> None:
    """Two processes with one instance id: the older one hears that it is fenced."""
    before = member_of(instance_id="node-1")
    before.join_alone()
    after = member_of(instance_id="node-1")
    after.take(after.wire.ask(after.join_request()))
    assert before.sync().error_code == Errors.FENCED_INSTANCE_ID
    assert before.heartbeat() == Errors.UNKNOWN_MEMBER_ID
    assert after.heartbeat() == Errors.NONE


def test_offsets_without_members_need_no_generation(wire: Wire, group: str, topic: str) -> None:
    """A simple consumer commits with generation -1 and no member id."""
    assert commit(wire, group, (-1, ""), (topic, 0, 11, "mine")) == Errors.NONE
    assert committed(wire, group, topic)[0] == (11, "mine")


def test_a_group_with_members_refuses_simple_commits(
    member_of: MakeMember, wire: Wire, topic: str
) -> None:
    """Nobody commits behind the back of a living group."""
    member = member_of()
    member.join_alone()
    outcome = commit(wire, member.group, (-1, ""), (topic, 0, 11, ""))
    assert outcome == Errors.UNKNOWN_MEMBER_ID


def test_nothing_committed_is_minus_one(wire: Wire, group: str, topic: str) -> None:
    """An unknown group or partition has no offset, which is not an error."""
    assert committed(wire, group, topic, (0, 5)) == {0: (-1, ""), 5: (-1, "")}


def test_the_newest_commit_counts(wire: Wire, group: str, topic: str) -> None:
    """Also when it is lower: a group may go back."""
    for offset in (5, 9, 2):
        commit(wire, group, (-1, ""), (topic, 0, offset, f"at {offset}"))
    assert committed(wire, group, topic)[0] == (2, "at 2")


def test_long_metadata_is_refused(wire: Wire, group: str, topic: str) -> None:
    """4,096 bytes fit, more are OFFSET_METADATA_TOO_LARGE and nothing is committed."""
    assert commit(wire, group, (-1, ""), (topic, 0, 1, "x" * 4_096)) == Errors.NONE
    too_large = commit(wire, group, (-1, ""), (topic, 0, 2, "x" * 4_097))
    assert too_large == Errors.OFFSET_METADATA_TOO_LARGE
    assert committed(wire, group, topic)[0] == (1, "x" * 4_096)


def test_a_connection_that_breaks_does_not_end_the_membership(
    member_of: MakeMember, address: str
) -> None:
    """The session timeout alone decides: the member goes on from another connection."""
    member = member_of()
    member.join_alone()
    member.wire.socket.close()
    with Wire(address) as other:
        member.wire = other
        assert member.heartbeat() == Errors.NONE
