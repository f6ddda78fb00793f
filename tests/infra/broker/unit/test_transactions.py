"""The transaction coordinator on real logs and a real store, without a loop."""

from pathlib import Path

import pytest

from infra.broker.batches import header_at
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.log import PartitionLog
from infra.broker.offsets import CommittedOffsets
from infra.broker.settings import Settings
from infra.broker.store import Store, StoredOffset
from infra.broker.topics import Topics
from infra.broker.transactions import Transactions
from tests.infra.broker.unit.batch_maker import batch
from tests.infra.broker.unit.conftest import SmallDisk

NOW = 1_000_000


class NoUpkeep:
    """Flushes nothing; these tests have no loop."""

    def note_append(self, _log: PartitionLog) -> None:
        """Do nothing."""


class World:
    """A broker's storage that can be opened again, as after a kill."""

    def __init__(self, folder: Path, disk: SmallDisk) -> None:
        self.folder, self.disk = folder, disk
        self.open()

    def open(self) -> None:
        """Open what is on disk."""
        self.store = Store(self.folder / "metadata.sqlite", is_flushed=False)
        settings = Settings(data_dir=self.folder)
        self.topics = Topics(settings, self.store, self.disk)
        self.topics.open_all()
        self.offsets = CommittedOffsets(self.store)
        upkeep: object = NoUpkeep()
        self.transactions = Transactions(
            self.store,
            self.topics,
            self.offsets,
            upkeep,  # type: ignore[arg-type]  # all that is asked of it
        )

    @property
    def log(self) -> PartitionLog:
        """The one partition."""
        return self.topics.log("t", 0)

    def begun(self, name: str = "x") -> tuple[str, int, int]:
        """Return a producer that has one record in an open transaction."""
        producer = (name, *self.transactions.init(name, 60_000, (-1, -1), NOW))
        self.transactions.add_partitions(producer, {("t", 0)}, NOW)
        self.log.append(batch(producer=(*producer[1:], 0), is_transactional=True), NOW)
        return producer


@pytest.fixture
def world(tmp_path: Path, disk: SmallDisk) -> World:
    """Return a world with one topic."""
    made = World(tmp_path, disk)
    made.topics.create("t", 1, {})
    return made


def refusal(world: World, producer: tuple[str, int, int]) -> ErrorCode:
    """Return why a producer may not commit."""
    with pytest.raises(KafkaError) as refused:
        world.transactions.end(producer, NOW, is_commit=True)
    return refused.value.code


def test_a_commit_shows_records_and_offsets_together(world: World) -> None:
    """Neither before."""
    producer = world.begun()
    offset = StoredOffset("g", "t", 0, 5, -1, "", NOW)
    world.transactions.add_offsets(producer, NOW)
    world.transactions.commit_offsets(producer, [offset], NOW)
    assert (world.log.stable_offset, world.offsets.of("g")) == (0, {})
    assert world.transactions.unstable_offsets("g") == {("t", 0)}
    world.transactions.end(producer, NOW, is_commit=True)
    assert world.log.stable_offset == 2
    assert world.offsets.of("g") == {("t", 0): offset}
    assert world.transactions.unstable_offsets("g") == set()


def test_an_end_may_be_repeated_but_not_turned_around(world: World) -> None:
    """The answer may have been lost; a commit cannot become an abort."""
    producer = world.begun()
    world.transactions.end(producer, NOW, is_commit=True)
    world.transactions.end(producer, NOW, is_commit=True)
    with pytest.raises(KafkaError) as refused:
        world.transactions.end(producer, NOW, is_commit=False)
    assert refused.value.code == ErrorCode.INVALID_TXN_STATE
    assert world.log.next_offset == 2


def test_a_new_producer_aborts_and_fences_the_old_one(world: World) -> None:
    """Its records are skipped, and nothing of it is taken any more."""
    old = world.begun()
    new = ("x", *world.transactions.init("x", 60_000, (-1, -1), NOW))
    assert new[1] == old[1]
    assert new[2] > old[2]
    assert len(world.log.producers.aborted) == 1
    assert refusal(world, old) == ErrorCode.PRODUCER_FENCED
    late = header_at(batch(producer=(*old[1:], 1), is_transactional=True))
    with pytest.raises(KafkaError) as refused:
        world.transactions.check_batch(late, "t", 0)
    assert refused.value.code == ErrorCode.INVALID_PRODUCER_EPOCH


def test_a_batch_outside_of_its_transaction_is_refused(world: World) -> None:
    """No marker would ever end it, and the stable offset would stand for ever."""
    producer = ("x", *world.transactions.init("x", 60_000, (-1, -1), NOW))
    header = header_at(batch(producer=(*producer[1:], 0), is_transactional=True))
    with pytest.raises(KafkaError) as refused:
        world.transactions.check_batch(header, "t", 0)
    assert refused.value.code == ErrorCode.INVALID_TXN_STATE


def test_a_transaction_ends_with_its_time(world: World) -> None:
    """Aborted, and its producer fenced."""
    producer = world.begun()
    world.transactions.tick(NOW + 59_000)
    assert world.log.stable_offset == 0
    world.transactions.tick(NOW + 60_001)
    assert world.log.stable_offset == 2
    assert refusal(world, producer) == ErrorCode.PRODUCER_FENCED


def test_what_was_decided_is_finished_after_a_crash(world: World, disk: SmallDisk) -> None:
    """The decision is stored, then the disk is full, then the broker dies: still committed."""
    producer = world.begun()
    offset = StoredOffset("g", "t", 0, 5, -1, "", NOW)
    world.transactions.commit_offsets(producer, [offset], NOW)
    disk.room = 0
    with pytest.raises(KafkaError):
        world.transactions.end(producer, NOW, is_commit=True)
    assert world.log.stable_offset == 0
    disk.room = None
    world.open()
    world.transactions.start(NOW)
    assert world.log.stable_offset == 2
    assert world.log.producers.aborted == []
    assert world.offsets.of("g")["t", 0].offset == 5
    world.transactions.end(producer, NOW, is_commit=True)
    assert world.log.next_offset == 2


def test_an_open_transaction_goes_on_after_a_crash(world: World) -> None:
    """Nothing was decided: the producer may still commit."""
    producer = world.begun()
    world.open()
    world.transactions.start(NOW)
    world.transactions.end(producer, NOW, is_commit=True)
    assert world.log.stable_offset == 2


def test_an_exhausted_epoch_brings_a_new_producer_id(world: World) -> None:
    """Epochs are 16 bits."""
    first = world.transactions.init("x", 60_000, (-1, -1), NOW)
    world.transactions._by_id["x"].epoch = 32_765
    second = world.transactions.init("x", 60_000, (-1, -1), NOW)
    assert second[0] != first[0]
    assert second[1] == 0


def test_producer_ids_are_never_given_twice(world: World) -> None:
    """Not even after a kill in the middle of a block."""
    before = {world.store.new_producer_id() for _ in range(1_500)}
    world.open()
    assert world.store.new_producer_id() > max(before)
