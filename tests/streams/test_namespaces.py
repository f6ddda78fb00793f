"""Namespaces: the projection is read whole, the highest version wins (N1)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from schemas.codec import NAMESPACE, Fields
from schemas.errors import Unavailable
from schemas.temporal import enums
from streams.kafka.admin import KafkaAdmin
from streams.kafka.producer import KafkaProducer
from streams.kafka.whole_topic import Origin
from streams.log.ports import Appended, Record
from streams.namespaces import Namespaces
from topology.decision import Namespace

_DELETED = enums.NamespaceState.NAMESPACE_STATE_DELETED

MakeTopic = Callable[..., Awaitable[str]]


def record(version: int, *, name: str = "shop", state: int = 1) -> Fields:
    """Return a version of the one namespace of these tests."""
    return {
        "id": "8a1f",
        "name": name,
        "version": version,
        "state": state,
        "retention": 3600 * version,
        "registered_at": 0,
    }


class Failing:
    """A producer whose appends fail."""

    async def append(self, _partition: int, records: Sequence[object]) -> list[Appended]:
        """Fail."""
        return [Appended(-1, 0) for _ in records]


@pytest.fixture
async def topic(make_topic: MakeTopic) -> str:
    """Return a topic."""
    return await make_topic()


@pytest.fixture
async def make(
    address: str, admin: KafkaAdmin, topic: str
) -> AsyncIterator[Callable[[], Namespaces]]:
    """Yield a function that starts another node's namespaces."""
    started: list[Namespaces] = []
    producer = KafkaProducer(address, name="test")
    crashes: list[BaseException] = []

    def start() -> Namespaces:
        origin = Origin(address, admin.end, crashes.append)
        started.append(Namespaces(origin, producer.topic(topic), topic=topic))
        return started[-1]

    yield start
    for one in started:
        one.stop()
    await producer.close()
    assert crashes == []


async def test_n1_a_projected_version_is_known_when_it_is_acknowledged(
    make: Callable[[], Namespaces],
) -> None:
    """N1: a register is answered after its projection; the node that answers knows it then."""
    namespaces = make()
    assert namespaces.by_name("shop") is None
    await namespaces.project(record(1))
    expected = Namespace(id="8a1f", name="shop", state=1, retention=3600)
    assert namespaces.by_name("shop") == expected
    assert namespaces.by_id("8a1f") == expected
    assert namespaces.position == 1


async def test_n1_every_node_reads_all_of_it(make: Callable[[], Namespaces]) -> None:
    """N1: refusals that rest on a namespace come only after reading to the end."""
    await make().project(record(1))
    other = make()
    await other.read_to_end()
    assert [one["name"] for one in other.records()] == ["shop"]


async def test_n1_the_highest_version_wins(make: Callable[[], Namespaces]) -> None:
    """N1: a zombie's late copy of an old version is harmless."""
    namespaces = make()
    for version in (1, 3, 2):
        await namespaces.project(record(version))
    found = namespaces.by_name("shop")
    assert found is not None
    assert found.retention == 3 * 3600


def fold(namespaces: Namespaces, *versions: Fields) -> None:
    """Fold versions as if they were read."""
    values = [NAMESPACE.encode(version) for version in versions]
    namespaces.fold([Record(at, b"k", value, 0) for at, value in enumerate(values)])


async def test_a_renamed_namespace_has_its_new_name_only(make: Callable[[], Namespaces]) -> None:
    """A name leads to what bears it now."""
    namespaces = make()
    fold(namespaces, record(1), record(2, name="store"))
    assert namespaces.by_name("shop") is None
    assert namespaces.by_name("store") is not None


async def test_a_deleted_namespace_has_another_name_until_it_is_erased(
    make: Callable[[], Namespaces],
) -> None:
    """Its id is known for ever: old task tokens carry it."""
    namespaces = make()
    deleted = record(2, name="shop-deleted-8a1f", state=_DELETED)
    fold(namespaces, record(1), deleted)
    assert namespaces.by_name("shop") is None
    found = namespaces.by_name("shop-deleted-8a1f")
    assert found is not None
    assert found.state == _DELETED
    fold(namespaces, deleted | {"version": 3, "is_erased": True})
    assert namespaces.by_name("shop-deleted-8a1f") is None
    assert namespaces.records() == []
    assert namespaces.by_id("8a1f") is not None
    assert namespaces.is_deleted("8a1f")
    assert not namespaces.is_deleted("other")


async def test_an_append_that_failed_is_unavailable(
    address: str, admin: KafkaAdmin, topic: str
) -> None:
    """The effect is performed again; nobody is told that it is there."""
    origin = Origin(address, admin.end, lambda _: None)
    namespaces = Namespaces(origin, Failing(), topic=topic)
    with pytest.raises(Unavailable, match="acknowledged"):
        await namespaces.project(record(1))
    namespaces.stop()
