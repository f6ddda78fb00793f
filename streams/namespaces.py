"""Namespaces as this node knows them: the projection `namespaces`, read whole (N1).

The highest version of a record wins, so a zombie's late copy is harmless. Nothing is decided here:
namespace commands are decided by the partition of the namespace's name.
"""

from collections.abc import Sequence

from schemas.codec import NAMESPACE, Fields
from schemas.errors import Unavailable
from schemas.ids import NamespaceId, NamespaceName
from schemas.temporal import enums
from streams.kafka.whole_topic import PARTITION, Origin, WholeTopic
from streams.log.ports import Producer, Record
from topology.decision import Namespace
from topology.namespace.archival import DISABLED, Archival
from topology.topics import NAMESPACES

_DELETED = enums.NamespaceState.NAMESPACE_STATE_DELETED


class Namespaces:
    """All namespaces, folded from the topic; and the way to publish a version."""

    def __init__(self, origin: Origin, producer: Producer, *, topic: str = NAMESPACES.name) -> None:
        """Start reading, inside a running loop."""
        self._producer = producer
        self._records: dict[str, Fields] = {}
        self._by_id: dict[str, Namespace] = {}
        self._by_name: dict[str, Namespace] = {}
        self._whole = WholeTopic(origin, topic, self.fold)

    @property
    def position(self) -> int:
        """The offset up to which it is folded: the next one."""
        return self._whole.position

    def by_name(self, name: NamespaceName | str) -> Namespace | None:
        """Return the namespace of a name, if there is one; a deleted one has another name."""
        return self._by_name.get(name)

    def by_id(self, namespace_id: NamespaceId | str) -> Namespace | None:
        """Return the namespace of an id, if there is one; also a deleted one."""
        return self._by_id.get(namespace_id)

    def is_deleted(self, namespace_id: str) -> bool:
        """Whether the namespace of an id is deleted."""
        found = self._by_id.get(namespace_id)
        return found is not None and found.state == _DELETED

    def records(self) -> list[Fields]:
        """Return the Avro fields of all namespaces, deleted ones until nothing is left of them."""
        return [one for one in self._records.values() if not one["is_erased"]]

    def all(self) -> list[Namespace]:
        """Return all namespaces, also deleted ones."""
        return list(self._by_id.values())

    async def read_to_end(self) -> None:
        """Know all that is in the topic now; raises Unavailable."""
        await self._whole.read_to_end()

    async def wait_for(self, position: int) -> None:
        """Wait until everything below a position is known."""
        await self._whole.wait_for(position)

    async def project(self, record: Fields) -> None:
        """Publish a version, acknowledged and known here when this returns; raises Unavailable."""
        key = str(record["id"]).encode()
        (appended,) = await self._producer.append(PARTITION, [(key, NAMESPACE.encode(record))])
        if appended.offset < 0:
            raise Unavailable("expected the namespace to be acknowledged, found the append failed")
        await self.wait_for(appended.offset + 1)

    def stop(self) -> None:
        """Stop reading."""
        self._whole.stop()

    def fold(self, records: Sequence[Record]) -> None:
        """Take versions: of each namespace the highest counts."""
        for record in records:
            assert record.value is not None, "expected no tombstone on `namespaces`"
            fields = NAMESPACE.decode(record.value)
            known = self._records.get(str(fields["id"]))
            if known is None or _version(fields) > _version(known):
                self._take(fields)

    def _take(self, fields: Fields) -> None:
        namespace = _namespace(fields)
        former = self._by_id.get(namespace.id)
        if former is not None and self._by_name.get(former.name) is former:
            del self._by_name[former.name]
        self._records[namespace.id] = fields
        self._by_id[namespace.id] = namespace
        if not fields["is_erased"]:
            self._by_name[namespace.name] = namespace


def _namespace(fields: Fields) -> Namespace:
    retention, state = fields["retention"], fields["state"]
    assert isinstance(retention, int), "expected a retention in ns"
    assert isinstance(state, int), "expected a state by number"
    attributes = fields["search_attributes"]
    assert isinstance(attributes, dict), "expected search attributes by name"
    return Namespace(
        id=str(fields["id"]),
        name=str(fields["name"]),
        state=state,
        retention=retention,
        search_attributes=attributes,
        history_archival=_archival(fields, "history"),
        visibility_archival=_archival(fields, "visibility"),
    )


def _archival(fields: Fields, kind: str) -> Archival:
    state, uri = fields[f"{kind}_archival_state"], fields[f"{kind}_archival_uri"]
    assert isinstance(state, int), "expected an archival state by number"
    return Archival(state or DISABLED, str(uri))


def _version(fields: Fields) -> int:
    version = fields["version"]
    assert isinstance(version, int), "expected a version"
    return version
