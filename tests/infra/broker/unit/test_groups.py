"""The group coordinator, without an event loop: time is a number, answers are gathered in lists."""

from dataclasses import dataclass, field
from itertools import count

import pytest

from infra.broker.errors import ErrorCode
from infra.broker.groups import COMPLETING, EMPTY, PREPARING, STABLE, Group
from infra.broker.members import JoinAsk, Joined, SyncAsk, Synced

SESSION, REBALANCE = 10.0, 60.0


@dataclass
class Client:
    """One client of the group, and everything it was answered."""

    group: Group
    instance: str | None = None
    id: str = ""
    joined: list[Joined] = field(default_factory=list)
    synced: list[Synced] = field(default_factory=list)

    def join(self, now: float = 0.0, metadata: bytes = b"m", protocol: str = "range") -> None:
        """Ask to join."""
        ask = JoinAsk(
            self.id,
            self.instance,
            "client",
            "consumer",
            ((protocol, metadata),),
            SESSION,
            REBALANCE,
        )
        self.group.join(ask, now, self.take)

    def take(self, joined: Joined) -> None:
        """Note an answer."""
        self.joined.append(joined)
        self.id = joined.member_id

    def enter(self, now: float = 0.0) -> None:
        """Join with the id that the first answer gives."""
        self.join(now)
        if self.joined and self.joined[-1].code == ErrorCode.MEMBER_ID_REQUIRED:
            self.join(now)

    def sync(self, now: float = 0.0, **assignments: bytes) -> None:
        """Ask for the assignment, or bring it."""
        ask = SyncAsk(self.id, self.instance, self.group.generation, None, None, assignments)
        self.group.sync(ask, now, self.synced.append)

    def beat(self, now: float = 0.0) -> ErrorCode:
        """Send a heartbeat."""
        return self.group.heartbeat(self.id, self.instance, self.group.generation, now)


@pytest.fixture
def group() -> Group:
    """Return a group that numbers its members."""
    numbers = count(1)
    return Group("g", lambda prefix: f"{prefix}-{next(numbers)}")


def stable_pair(group: Group, *instances: str) -> tuple[Client, Client]:
    """Return leader and follower of a stable group."""
    names = instances or (None, None)
    leader, follower = Client(group, names[0]), Client(group, names[1])
    leader.enter()
    leader.sync(**{leader.id: b"all"})
    follower.enter()
    leader.join()
    leader.sync(**{leader.id: b"L", follower.id: b"F"})
    follower.sync()
    assert group.state == STABLE
    return leader, follower


def test_a_new_member_is_told_its_id_first(group: Group) -> None:
    """MEMBER_ID_REQUIRED, then the first generation at once, and the id can be left with (V6)."""
    client = Client(group)
    client.join()
    assert client.joined[-1].code == ErrorCode.MEMBER_ID_REQUIRED
    assert group.state == EMPTY
    client.join()
    assert (client.joined[-1].code, client.joined[-1].generation) == (ErrorCode.NONE, 1)
    assert group.state == COMPLETING


def test_an_id_never_used_can_be_left_with(group: Group) -> None:
    """It no longer holds up a rebalance."""
    first, second = Client(group), Client(group)
    first.enter()
    first.sync()
    second.join()
    third = Client(group)
    third.enter()
    first.join()
    assert group.state == PREPARING
    assert group.leave(second.id, None, 0.0) == ErrorCode.NONE
    assert group.state == COMPLETING


def test_only_the_leader_is_told_the_members(group: Group) -> None:
    """And everybody is told who leads."""
    leader, follower = stable_pair(group)
    assert [member.id for member in leader.joined[-1].members] == [leader.id, follower.id]
    assert follower.joined[-1].members == ()
    assert follower.joined[-1].leader_id == leader.id


def test_each_gets_what_the_leader_assigned(group: Group) -> None:
    """In one generation, the second."""
    leader, follower = stable_pair(group)
    assert leader.synced[-1].assignment == b"L"
    assert follower.synced[-1].assignment == b"F"
    assert group.generation == 2


def test_a_silent_member_is_removed(group: Group) -> None:
    """After its session timeout; the other one hears of a rebalance."""
    leader, follower = stable_pair(group)
    assert leader.beat(SESSION - 1) == ErrorCode.NONE
    group.tick(SESSION + 0.1)
    assert follower.id not in group.members
    assert leader.beat(SESSION + 0.2) == ErrorCode.REBALANCE_IN_PROGRESS
    leader.join(SESSION + 0.3)
    assert leader.joined[-1].generation == 3


def test_who_waits_for_a_rebalance_is_not_silent(group: Group) -> None:
    """A waiting client cannot send heartbeats."""
    leader, _ = stable_pair(group)
    late = Client(group)
    late.enter(SESSION - 1)
    leader.join(SESSION - 1)
    group.tick(SESSION + 0.1)
    assert leader.id in group.members
    assert late.joined[-1].code == ErrorCode.NONE


def test_a_rebalance_does_not_wait_for_ever(group: Group) -> None:
    """Members that keep their session alive but do not join again are left behind."""
    leader, follower = stable_pair(group)
    leader.join(1.0)
    follower.beat(REBALANCE)
    group.tick(REBALANCE + 1.1)
    assert list(group.members) == [leader.id]
    assert leader.joined[-1].generation == 3


def test_a_leader_that_never_assigns_is_removed(group: Group) -> None:
    """Those who wait for the assignment join again."""
    leader, follower = stable_pair(group)
    leader.join(1.0)
    follower.join(1.0)
    follower.sync(1.0)
    leader.beat(REBALANCE)
    group.tick(REBALANCE + 1.1)
    assert leader.id not in group.members
    assert follower.synced[-1].code == ErrorCode.REBALANCE_IN_PROGRESS


def test_leaving_by_member_id_needs_nothing_else(group: Group) -> None:
    """V6: a wrong eviction costs a rebalance."""
    leader, follower = stable_pair(group)
    assert group.leave(follower.id, None, 1.0) == ErrorCode.NONE
    assert leader.beat(1.0) == ErrorCode.REBALANCE_IN_PROGRESS
    assert group.leave(follower.id, None, 1.0) == ErrorCode.UNKNOWN_MEMBER_ID


def test_the_last_member_leaves_an_empty_group(group: Group) -> None:
    """The generation goes on, so that none is given twice."""
    client = Client(group)
    client.enter()
    client.sync()
    group.leave(client.id, None, 1.0)
    assert (group.state, group.generation) == (EMPTY, 2)


def test_a_static_member_comes_back_without_a_rebalance(group: Group) -> None:
    """It has a new id and the old assignment; the old id is fenced."""
    _, follower = stable_pair(group, "a", "b")
    old_id = follower.id
    again = Client(group, "b")
    again.join(1.0)
    assert again.joined[-1].generation == 2
    again.sync(1.0)
    assert again.synced[-1].assignment == b"F"
    assert group.heartbeat(old_id, "b", 2, 1.0) == ErrorCode.FENCED_INSTANCE_ID


def test_a_static_leader_that_comes_back_does_not_assign(group: Group) -> None:
    """It is told the old leader id, so it takes itself for a follower."""
    leader, _ = stable_pair(group, "a", "b")
    again = Client(group, "a")
    again.join(1.0)
    assert again.joined[-1].leader_id == leader.id != again.id
    assert again.joined[-1].members == ()


def test_protocols_must_be_shared(group: Group) -> None:
    """A member that speaks another one is refused."""
    stable_pair(group)
    other = Client(group)
    other.join(protocol="sticky")
    assert other.joined[-1].code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_commits_are_for_members_of_this_generation(group: Group) -> None:
    """Zombies are refused, and outsiders while there are members."""
    leader, _ = stable_pair(group)
    assert group.check_commit(leader.id, None, 2, 0.0) == ErrorCode.NONE
    assert group.check_commit(leader.id, None, 1, 0.0) == ErrorCode.ILLEGAL_GENERATION
    assert group.check_commit("ghost", None, 2, 0.0) == ErrorCode.UNKNOWN_MEMBER_ID
    assert group.check_commit("", None, -1, 0.0) == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_stable_group_survives_the_broker(group: Group) -> None:
    """Members go on under their generation; sessions begin anew."""
    leader, follower = stable_pair(group, "a", "b")
    copy = Group("g", str)
    copy.restore(group.snapshot(), 100.0)
    assert copy.state == STABLE
    assert copy.heartbeat(leader.id, "a", 2, 101.0) == ErrorCode.NONE
    assert copy.members[follower.id].assignment == b"F"
    assert copy.snapshot() == group.snapshot()


def test_a_generation_under_way_survives_as_a_number(group: Group) -> None:
    """Its members have to join again, under a later generation."""
    Client(group).enter()
    copy = Group("g", str)
    copy.restore(group.snapshot(), 0.0)
    assert (copy.state, copy.generation) == (EMPTY, 1)
