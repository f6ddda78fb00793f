"""Who reads what: a partition moves only to where its store is warm (V4).

Faust's own assignor gives partitions to a joining node at once, which then stands still while it
folds. Here each member says in its join metadata which partitions are warm there. The leader
computes a balanced target; who shall have a partition that is cold there becomes its standby first
(`due`), and asks the group again when it has caught up.

Faust's metadata has a free place for this: with no tables, `changelog_distribution` means nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor

_WARM: Final = "warm"
_DUE: Final = "due"


class Member(msgspec.Struct, frozen=True):
    """What a member says of itself when it joins."""

    owned: frozenset[int]
    warm: frozenset[int]  # stores that are (nearly) at the end of the log


class Place(msgspec.Struct, frozen=True):
    """What a member gets."""

    active: set[int]
    standby: set[int]
    due: set[int]  # standbys it shall own once they are warm


def place(partitions: int, members: Mapping[str, Member], replicas: int = 1) -> dict[str, Place]:
    """Spread partitions over members: balanced, sticky, and never active on a cold store.

    (A partition that is warm nowhere goes to its target at once.)
    """
    warm = {name: member.owned | member.warm for name, member in members.items()}
    target = _targets(partitions, members, warm)
    places = {name: Place(set(), set(), set()) for name in members}
    owner = {p: name for name, member in members.items() for p in member.owned}
    for partition, name in sorted(target.items()):
        hot = sorted(one for one in members if partition in warm[one])
        now = name
        if hot and name not in hot:
            now = owner.get(partition, "")
            if now not in places:
                now = min(hot, key=lambda one: len(places[one].active))
            places[name].due.add(partition)
            places[name].standby.add(partition)
        places[now].active.add(partition)
        _add_standbys(partition, places, warm, replicas)
    return places


def _targets(
    partitions: int, members: Mapping[str, Member], warm: Mapping[str, frozenset[int]]
) -> dict[int, str]:
    """Return who shall own each partition in the end."""
    names = sorted(members, key=lambda name: (-len(members[name].owned), name))
    least, more = divmod(partitions, len(names))
    room = {name: least + (at < more) for at, name in enumerate(names)}
    target: dict[int, str] = {}

    def give(partition: int, name: str) -> None:
        target[partition] = name
        room[name] -= 1

    for name in names:
        for partition in sorted(members[name].owned):
            if partition < partitions and partition not in target and room[name]:
                give(partition, name)
    for partition in range(partitions):
        if partition not in target:
            open_names = [name for name in names if room[name]]
            give(
                partition, min(open_names, key=lambda one: (partition not in warm[one], -room[one]))
            )
    return target


def _add_standbys(
    partition: int,
    places: Mapping[str, Place],
    warm: Mapping[str, frozenset[int]],
    replicas: int,
) -> None:
    """Make the warmest, least loaded members standbys, besides those that are due."""
    standbys = [name for name, one in places.items() if partition in one.standby - one.due]
    free = [
        name
        for name, one in places.items()
        if partition not in one.active and partition not in one.standby
    ]
    free.sort(key=lambda name: (partition not in warm[name], len(places[name].standby), name))
    for name in free[: max(0, replicas - len(standbys))]:
        places[name].standby.add(partition)


class WarmAssignor(PartitionAssignor):
    """`place` in the terms of Faust; the app's `warm()` says what is warm here."""

    app: Any  # a BatchApp
    due: frozenset[int] = frozenset()

    @property
    def _metadata(self) -> Any:
        """Return what a joining member says of itself."""
        return ClientMetadata(
            assignment=self._assignment,
            url=str(self._url),
            changelog_distribution={_WARM: {"": sorted(self.app.warm())}},
            external_topic_distribution={},
            topic_groups=self._topic_groups,
        )

    def on_assignment(self, assignment: Any) -> None:
        """Take an assignment, and what shall be ours once it is warm."""
        super().on_assignment(assignment)
        self.due = frozenset(self.changelog_distribution.get(_DUE, {}).get("", ()))

    def _perform_assignment(self, cluster: Any, member_metadata: Mapping[str, Any]) -> Any:
        """Compute everybody's assignment; the leader of the group does this."""
        said = {name: self._get_client_metadata(one) for name, one in member_metadata.items()}
        topics = sorted({topic for one in member_metadata.values() for topic in one.subscription})
        counts = {len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        assert len(counts) == 1, f"expected {topics} to be co-partitioned, found {counts}"
        self._update_member_urls(said)
        members = {name: _member(one, topics) for name, one in said.items()}
        assigned: dict[str, Any] = {}
        due: dict[str, Any]
        for name, one in place(counts.pop(), members, self.replicas).items():
            assignment = ClientAssignment(
                actives=_everywhere(topics, one.active), standbys=_everywhere(topics, one.standby)
            )
            due = {_DUE: {"": sorted(one.due)}}
            groups = dict.fromkeys(topics, 0)
            assigned |= self._protocol_assignments({name: assignment}, due, {}, groups)
        return assigned


def _member(said: Any, topics: list[str]) -> Member:
    owned = said.assignment.actives.get(topics[0], ())
    return Member(
        frozenset(owned), frozenset(said.changelog_distribution.get(_WARM, {}).get("", ()))
    )


def _everywhere(topics: list[str], partitions: Iterable[int]) -> dict[str, list[int]]:
    return {topic: sorted(partitions) for topic in topics}
