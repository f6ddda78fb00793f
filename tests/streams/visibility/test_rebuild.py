"""A rebuilt index equals a fold of the whole log, whatever happens while it is built."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from schemas.errors import NotTheOwner, Unavailable
from search.attributes import Attribute, ValueType
from search.document import Document
from search.query.expressions import Query
from search.sqlite import SqliteStore
from search.store import Batch, Superseded
from streams.log.partition import Scanned
from streams.log.ports import CommandBatch, Record
from streams.visibility import rebuild as rebuilding
from streams.visibility.node import VisibilityNode
from streams.visibility.rebuild import Origin, Rebuild
from tests.streams.visibility.log_of import CLAIMED, OneLog, records_of
from tests.streams.visibility.test_node import CUSTOM, desk, follow, listed
from tests.support.core import Desk, Partition
from topology.own_work import ScanRuns

__all__ = ["desk"]


class Owner:
    """The owner of the one partition: at each scan some more of the log is accepted."""

    def __init__(self, desk: Desk, records: Sequence[Record], *, at: int, step: int) -> None:
        self.failures: list[Exception] = []
        self._desk = desk
        self._records = records
        self._partition = Partition()
        self._folded = 0
        self._step = step
        self._accept(at)

    async def scan(self, _partition: int, after: str, limit: int) -> Scanned:
        """Some runs, as `HistoryNode.scan`."""
        if self.failures:
            raise self.failures.pop(0)
        ask = ScanRuns(after, limit)
        rows = self._partition.core.read("ScanRuns", ask, "", self._partition.rows)
        seq, offset = self._folded + 1, max(2 * self._folded - 1, 0)
        self._accept(self._step)
        return Scanned(offset, *CLAIMED, seq, rows)

    def _accept(self, count: int) -> None:
        for decided_at, changes in self._desk.log[self._folded : self._folded + count]:
            self._partition.rows.write(self._partition.core.fold(changes, decided_at=decided_at))
            self._folded += 1

    # -- the log, by now whole

    def end(self, _partition: int) -> int:
        """Of the log."""
        return len(self._records)

    def read(self, _partition: int, start: int, end: int) -> Iterator[Sequence[Record]]:
        """Three records at a time."""
        for at in range(start, end, 3):
            yield self._records[at : min(at + 3, end)]

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store whose index is of no use: one run that never was."""
    store = SqliteStore(tmp_path / "live")
    wrong = Document("ns", "w", "wrong", 1, "T", 1, 1, 1)
    store.write(Batch([wrong]), store.position().generation)
    yield store
    store.close()


def rebuild_of(store: SqliteStore, owner: Owner, log: OneLog) -> Rebuild:
    """Return a rebuild of a store from an owner."""
    topic = "events"
    origin = Origin(owner.scan, lambda: owner, lambda: log.topic_id(topic), 1)
    return Rebuild(store, origin)


def whole(records: Sequence[Record], folder: Path) -> SqliteStore:
    """Return an empty store to follow the log into."""
    assert records
    return SqliteStore(folder / "whole")


def plain(documents: dict[str, Document]) -> dict[str, Document]:
    """Return documents without their versions, which depend on when a row was read."""
    return {
        run_id: msgspec.structs.replace(document, version=0)
        for run_id, document in documents.items()
    }


@pytest.mark.parametrize("at", [0, 1, 3, 5, 9, 1_000])
@pytest.mark.parametrize("step", [0, 1, 4])
async def test_it_equals_a_fold_of_the_log(
    desk: Desk,
    live: SqliteStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    at: int,
    step: int,
) -> None:
    """Wherever the rows were when it began, and however much came while they were copied."""
    monkeypatch.setattr(rebuilding, "_SCAN_COUNT", 2)
    records = records_of(desk)
    expected = whole(records, tmp_path)
    await follow(expected, records, size=100)
    rebuild = rebuild_of(live, Owner(desk, records, at=at, step=step), OneLog(records))
    await rebuild.run()
    assert rebuild.progress.error == ""
    assert plain(listed(expected)) == plain(listed(live))
    expected.close()


async def test_the_agent_goes_on_where_the_rebuilt_index_is(
    desk: Desk, live: SqliteStore, tmp_path: Path
) -> None:
    """What it read before and had not written is not lost, and not written twice."""
    records = records_of(desk)
    expected = whole(records, tmp_path)
    await follow(expected, records, size=100)
    node = VisibilityNode(live, OneLog(records))
    await node.start()
    node.assigned({0}, 1)
    node.submit(CommandBatch("events", 0, 0, records[:5]))
    await node.caught_up()
    await rebuild_of(live, Owner(desk, records, at=0, step=0), OneLog(records[:5])).run()
    node.submit(CommandBatch("events", 0, 5, records[5:]))
    await node.caught_up()
    left = [each for each in records if each.offset >= node.position("events", 0)]
    if left:
        node.submit(CommandBatch("events", 0, left[0].offset, left))
        await node.caught_up()
    await node.stop()
    assert plain(listed(expected)) == plain(listed(live))
    expected.close()


async def test_it_gives_back_attributes_that_the_index_lacks(desk: Desk, live: SqliteStore) -> None:
    """What a run has and its record has not: the rows know it."""
    records = records_of(desk)
    await follow(live, records, size=100)
    poor = [
        msgspec.structs.replace(each, version=1_000, attributes={})
        for each in listed(live).values()
    ]
    live.write(Batch(poor), live.position().generation)
    assert not any(each.attributes for each in listed(live).values())
    await rebuild_of(live, Owner(desk, records, at=1_000, step=0), OneLog(records)).run()
    held = [each.attributes for each in listed(live).values() if each.attributes]
    assert {"CustomKeywordField": Attribute(ValueType.KEYWORD, ("two",))} in held
    assert set(CUSTOM) == {name for attributes in held for name in attributes}


async def test_an_owner_that_moves_is_asked_again(
    desk: Desk, live: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until there is one."""
    monkeypatch.setattr(rebuilding, "_RETRY_S", 0)
    records = records_of(desk)
    owner = Owner(desk, records, at=1_000, step=0)
    owner.failures = [NotTheOwner("moved"), NotTheOwner("moved")]
    rebuild = rebuild_of(live, owner, OneLog(records))
    await rebuild.run()
    assert rebuild.progress.phase == "done"
    assert rebuild.progress.runs_count == 6


async def test_a_rebuild_that_fails_leaves_the_live_index(
    desk: Desk, live: SqliteStore, tmp_path: Path
) -> None:
    """As it was, and nothing of its own."""
    records = records_of(desk)
    owner = Owner(desk, records, at=1_000, step=0)
    owner.failures = [Unavailable("Kafka is away")]
    before = live.position()
    rebuild = rebuild_of(live, owner, OneLog(records))
    await rebuild.run()
    assert (rebuild.progress.phase, rebuild.progress.error) == ("failed", "Kafka is away")
    assert before == live.position()
    assert live.count("ns", Query()) == 1
    files = {path.name.partition("-0")[2] for path in (tmp_path / "live").glob("*.sqlite")}
    assert files == {"00001.sqlite"}


async def test_two_writers_never_mix(live: SqliteStore) -> None:
    """A write to the former generation is refused, so no change goes astray."""
    before = live.position().generation
    live.replace_by(live.beside())
    with pytest.raises(Superseded):
        live.write(Batch([]), before)
