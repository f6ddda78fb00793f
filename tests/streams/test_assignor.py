"""Who reads what: balanced, sticky, and only where it is warm (V4)."""

from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from hypothesis import given
from hypothesis import strategies as st

from streams.assignor import Member, Place, WarmAssignor, place


def member(owned: str = "", warm: str = "") -> Member:
    """Return a member by the digits of its partitions."""
    return Member(frozenset(map(int, owned)), frozenset(map(int, warm)))


def shown(places: Mapping[str, Place]) -> dict[str, str]:
    """Show places as `actives/standbys/due`."""
    return {
        name: "/".join(
            "".join(map(str, sorted(part))) for part in (one.active, one.standby, one.due)
        )
        for name, one in places.items()
    }


def test_one_member_gets_everything() -> None:
    """And there is nobody to stand by."""
    assert shown(place(4, {"a": member()})) == {"a": "0123//"}


def test_two_fresh_members_share() -> None:
    """A partition that is warm nowhere goes to its target at once."""
    assert shown(place(4, {"a": member(), "b": member()})) == {"a": "02/13/", "b": "13/02/"}


def test_v4_a_cold_member_becomes_standby_first() -> None:
    """V4: nothing moves yet; what b shall have is due there."""
    places = place(4, {"a": member("0123"), "b": member()})
    assert shown(places) == {"a": "0123//", "b": "/0123/23"}


def test_v4_a_warm_member_gets_its_share_at_once() -> None:
    """V4: the partitions that are due are warm now."""
    places = place(4, {"a": member("0123"), "b": member("", "23")})
    assert shown(places) == {"a": "01/23/", "b": "23/01/"}


def test_v4_a_dead_owners_partitions_go_where_they_are_warm() -> None:
    """V4: a takeover is quick on a warm standby."""
    places = place(4, {"b": member("1", "0"), "c": member("2", "3")})
    assert shown(places) == {"b": "01/23/", "c": "23/01/"}


def test_a_balanced_group_stays_as_it_is() -> None:
    """Nothing moves without need."""
    places = place(5, {"a": member("034"), "b": member("12")})
    assert shown(places) == {"a": "034/12/", "b": "12/034/"}


partitions_of_members = st.integers(1, 4).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(-1, count - 1), min_size=8, max_size=8),
        st.lists(st.frozensets(st.integers(0, 7)), min_size=count, max_size=count),
    )
)


@given(partitions_of_members)
def test_every_partition_has_one_owner_and_a_standby(
    group: tuple[list[int], list[frozenset[int]]],
) -> None:
    """Whatever members own and whatever is warm: one active each, never also a standby there."""
    owners, warm = group
    members = {
        f"m{at}": Member(frozenset(p for p, owner in enumerate(owners) if owner == at), one)
        for at, one in enumerate(warm)
    }
    places = place(8, members)
    assert sorted(p for one in places.values() for p in one.active) == list(range(8))
    for one in places.values():
        assert not one.active & one.standby
        assert one.due <= one.standby
    replicas = min(1, len(members) - 1)
    for partition in range(8):
        standbys = sum(partition in one.standby - one.due for one in places.values())
        due = sum(partition in one.due for one in places.values())
        assert replicas <= standbys + due <= replicas + 1


@given(partitions_of_members)
def test_v4_nothing_is_active_on_a_cold_store_where_another_is_warm(
    group: tuple[list[int], list[frozenset[int]]],
) -> None:
    """V4: and when all that is due has become warm, in a few rounds, the group is balanced."""
    owners, warm = group
    members = {
        f"m{at}": Member(frozenset(p for p, owner in enumerate(owners) if owner == at), one)
        for at, one in enumerate(warm)
    }
    places = place(8, members)
    for name, one in places.items():
        for partition in one.active - members[name].owned - members[name].warm:
            assert not any(partition in other.owned | other.warm for other in members.values())
    for _ in range(8):
        members = {
            name: Member(frozenset(one.active), members[name].warm | one.active | one.due)
            for name, one in places.items()
        }
        places = place(8, members)
    sizes = [len(one.active) for one in places.values()]
    assert max(sizes) - min(sizes) <= 1
    assert not any(one.due for one in places.values())


class Conf:
    """What the assignor needs of an app's settings."""

    def __init__(self, url: str) -> None:
        self.canonical_url = url


class Tables:
    """No tables."""

    changelog_topics: frozenset[str] = frozenset()
    data: dict[str, Any] = {}  # noqa: RUF012  # stays empty


class App:
    """What the assignor needs of an app."""

    def __init__(self, url: str, warm: set[int]) -> None:
        self.conf = Conf(url)
        self.tables = Tables()
        self._warm = warm

    def warm(self) -> set[int]:
        """Return what is warm."""
        return self._warm


class Cluster(ClusterMetadata):  # type: ignore[misc]  # no types there
    """Topics of four partitions."""

    def partitions_for_topic(self, topic: str) -> set[int]:
        """Return the partitions, of which one topic has fewer."""
        return set(range(2 if topic == "odd" else 4))


TOPICS = {"commands", "commands-internal"}


def joined(*members: WarmAssignor, topics: set[str] = TOPICS) -> Any:
    """Let the first member assign to all of them."""
    said = {f"m{at}": one.metadata(topics) for at, one in enumerate(members)}
    assigned = members[0]._perform_assignment(Cluster(), said)
    for at, one in enumerate(members):
        one.on_assignment(assigned[f"m{at}"])
    return assigned


def test_v4_the_group_speaks_of_warmth_in_its_own_words() -> None:
    """V4: what is warm, and what is due, travel in Faust's metadata; Kafka sees actives only."""
    first = WarmAssignor(App("http://a:1", {0, 1, 2, 3}), 1)
    joined(first)
    second = WarmAssignor(App("http://b:1", set()), 1)
    assigned = joined(first, second)
    assert dict(assigned["m0"].assignment) == {topic: [0, 1, 2, 3] for topic in TOPICS}
    assert dict(assigned["m1"].assignment) == {topic: [] for topic in TOPICS}
    assert (first.due, second.due) == (frozenset(), {2, 3})
    assert {tp.partition for tp in second.assigned_standbys()} == {0, 1, 2, 3}
    second.app._warm |= {2, 3}
    joined(first, second)
    assert {tp.partition for tp in second.assigned_actives()} == {2, 3}
    assert second.due == frozenset()


def test_topics_that_are_not_co_partitioned_are_a_bug() -> None:
    """Partition p of one command topic belongs to partition p of the other."""
    with pytest.raises(AssertionError, match="co-partitioned"):
        joined(WarmAssignor(App("http://a:1", set()), 1), topics={"commands", "odd"})


def test_it_is_an_assignor_of_the_group() -> None:
    """Aiokafka takes it by this interface and this name."""
    assert issubclass(WarmAssignor, AbstractPartitionAssignor)
    assert WarmAssignor(App("http://a:1", set()), 1).name == "faust"
