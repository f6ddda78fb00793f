"""Committed offsets of all groups, in memory and in the store."""

from collections.abc import Iterable

from infra.broker.store import Store, StoredOffset


class CommittedOffsets:
    """Offsets by group and (topic, partition)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.by_group: dict[str, dict[tuple[str, int], StoredOffset]] = {}
        for offset in store.offsets():
            self._keep(offset)

    def _keep(self, offset: StoredOffset) -> None:
        group = self.by_group.setdefault(offset.group, {})
        group[offset.topic, offset.partition] = offset

    def commit(self, offsets: list[StoredOffset]) -> None:
        """Store offsets, then let them be seen; the caller has a store transaction open."""
        self._store.save_offsets(offsets)
        for offset in offsets:
            self._keep(offset)

    def of(self, group: str) -> dict[tuple[str, int], StoredOffset]:
        """Return the offsets of a group."""
        return self.by_group.get(group, {})

    def delete(self, group: str, partitions: Iterable[tuple[str, int]]) -> None:
        """Forget some offsets of a group."""
        known = self.by_group.get(group, {})
        gone = [partition for partition in partitions if partition in known]
        self._store.delete_offsets(group, gone)
        for partition in gone:
            del known[partition]
        if group in self.by_group and not known:
            del self.by_group[group]

    def delete_group(self, group: str) -> None:
        """Forget all offsets of a group; the store forgets them with the group."""
        self.by_group.pop(group, None)

    def delete_topic(self, topic: str) -> None:
        """Forget all offsets of a topic that was deleted; the store did so with the topic."""
        for group, known in list(self.by_group.items()):
            for partition in [one for one in known if one[0] == topic]:
                del known[partition]
            if not known:
                del self.by_group[group]

    def expired(self, group: str, before_ms: int) -> list[tuple[str, int]]:
        """Return the partitions whose offsets were committed before an instant."""
        return [key for key, offset in self.of(group).items() if offset.committed_ms < before_ms]
