"""The visibility node: the index equals a fold of the log, whatever fails on the way."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.temporal import common, workflow
from search.document import Document
from search.query.expressions import Query
from search.shown import shown
from search.sqlite import SqliteStore
from search.store import Batch, Store
from streams.attributes import SearchAttributes
from streams.log.ports import CommandBatch, Record
from streams.metrics import Metrics
from streams.visibility.lag import Lag
from streams.visibility.node import VisibilityNode
from tests.streams.frontend.stubs import StubClock
from tests.streams.visibility.log_of import Failing, OneLog, records_of
from tests.support.core import NAMESPACE, Desk
from tests.support.core_words import complete, fail, timer, val, worker_command

CUSTOM = {"CustomKeywordField": 2}


@pytest.fixture
def desk() -> Desk:
    """Runs that start, upsert twice and close, one that stays open, a chain of two."""
    made = Desk()
    made.know_attributes(SearchAttributes(), CUSTOM)
    for name in ("done", "failed", "open"):
        made.start(name, queue=name, memo={"fields": {"m": val(name)}})
    upserts = [upsert("one"), upsert("two")]
    made.step(*upserts, complete(), queue="done")
    made.step(*upserts, fail(), queue="failed")
    made.step(*upserts, timer("t", 60), queue="open")
    made.start("chain", queue="chain")
    made.step(worker_command("continue_as_new_workflow_execution"), queue="chain")
    made.start("terminated", queue="none")
    made.terminate("terminated")
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty SQLite store."""
    made = SqliteStore(tmp_path)
    yield made
    made.close()


def upsert(value: str) -> object:
    """Return a worker command that upserts a value."""
    fields = {"indexed_fields": {"CustomKeywordField": val(value)}}
    return worker_command("upsert_workflow_search_attributes", search_attributes=fields)


async def follow(store: Store, records: list[Record], *, size: int) -> None:
    """Feed a log to a node in batches, from where the store's cursor says; wait for the end."""
    node = VisibilityNode(store, OneLog(records))
    await node.start()
    node.assigned({0}, 1)
    try:
        left = [each for each in records if each.offset >= node.position("events", 0)]
        for at in range(0, len(left), size):
            some = left[at : at + size]
            node.submit(CommandBatch("events", 0, some[0].offset, some))
            await node.caught_up()
    finally:
        await node.stop()


def listed(store: Store) -> dict[str, Document]:
    """Return all runs of a store, by run id."""
    page = store.list(NAMESPACE.id, Query(), 1_000)
    return {document.run_id: document for document in page.documents}


async def test_v1_the_list_agrees_with_describe(desk: Desk, store: SqliteStore) -> None:
    """For every run, in all that a list shows of it, zombies' records notwithstanding."""
    await follow(store, records_of(desk), size=3)
    documents = listed(store)
    assert len(documents) == 6
    for name in ("done", "failed", "open", "chain", "terminated"):
        described = desk.described(name).workflow_execution_info
        document = documents[described.execution.run_id]
        found = shown(document, CUSTOM)
        assert seen(described, is_closed=document.closed_at is not None) == seen(found)


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_a_deleted_run_is_not_found(desk: Desk, store: SqliteStore, size: int) -> None:
    """Whether it was in the index before, or began and went in one batch; it stays away."""
    gone = [
        desk.described(name).workflow_execution_info.execution.run_id for name in ("done", "open")
    ]
    desk.delete("done")
    desk.delete("open")
    desk.pass_time(1)
    assert desk.expire() == gone[1:]
    records = records_of(desk)
    await follow(store, records, size=size)
    assert len(listed(store)) == 4
    assert not set(gone) & set(listed(store))
    late = Document(
        namespace_id=NAMESPACE.id,
        workflow_id="done",
        run_id=gone[0],
        version=3,
        workflow_type="Flow",
        status=1,
        started_at=1,
        execution_at=1,
    )
    store.write(Batch([late]), store.position().generation)
    assert not set(gone) & set(listed(store))


def seen(
    shown: workflow.WorkflowExecutionInfo, *, is_closed: bool = True
) -> workflow.WorkflowExecutionInfo:
    """Return what lists show: no first run id; sizes of closed runs only."""
    kept = workflow.WorkflowExecutionInfo()
    kept.CopyFrom(shown)
    kept.first_run_id = ""
    kept.memo.SetInParent()
    kept.search_attributes.SetInParent()
    if not is_closed:
        kept.history_length = kept.history_size_bytes = kept.state_transition_count = 0
    return kept


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 5, 8])
async def test_v1_killed_at_the_kth_write(
    desk: Desk, tmp_path: Path, at: int, *, is_done: bool
) -> None:
    """The next life goes on from the cursor; the index equals a fold of the log."""
    records = records_of(desk)
    whole = SqliteStore(tmp_path / "whole")
    await follow(whole, records, size=2)
    store = SqliteStore(tmp_path / "killed")
    failing = Failing(store, at, is_done=is_done)
    task = asyncio.create_task(follow(failing, records, size=2))  # type: ignore[arg-type]
    await asyncio.wait({task, failing.died}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    await asyncio.wait({task})
    await follow(store, records, size=2)
    assert listed(whole) == listed(store)
    whole.close()
    store.close()


@pytest.mark.parametrize("change", ["another topic", "lost tail", "another record"])
async def test_l6_an_index_of_another_log_is_begun_anew(
    desk: Desk, store: SqliteStore, change: str
) -> None:
    """Nothing of the old one is left, and the log that is there is followed from its beginning."""
    records = records_of(desk)
    await follow(store, records, size=100)
    log = OneLog(records)
    match change:
        case "another topic":
            log.id = "another"
        case "lost tail":
            log.records = records[:5]
        case _:
            log.records = [*records[:-2], records[0]._replace(offset=records[-2].offset)]
    node = VisibilityNode(store, log)
    await node.start()
    node.assigned({0}, 1)
    assert node.position("events", 0) == 0
    assert listed(store) == {}
    await node.stop()


async def test_what_is_not_in_the_store_is_its_lag(desk: Desk, store: SqliteStore) -> None:
    """In records, and as the age of the oldest change."""
    records = records_of(desk)
    log = OneLog(records)
    node = VisibilityNode(store, log)
    await node.start()
    node.assigned({0}, 1)
    lag = Lag(node, log, desk_clock(desk), Metrics())
    await lag.look()
    assert {0: len(records)} == lag.records()
    node.submit(CommandBatch("events", 0, 0, records))
    assert lag.seconds() > 0
    await node.caught_up()
    assert {0: 0} == lag.records()
    assert lag.seconds() == 0
    await node.stop()


def desk_clock(desk: Desk) -> StubClock:
    """Return a clock that shows the desk's time."""
    clock = StubClock()
    clock.now = lambda: desk.now  # type: ignore[method-assign]  # it stands still
    return clock


def test_memo_survives(desk: Desk) -> None:
    """A sanity check of the desk itself: the memo is there."""
    memo = desk.described("open").workflow_execution_info.memo
    assert common.Memo(fields={"m": val("open")}) == memo
