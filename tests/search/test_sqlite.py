"""What only the SQLite store has: files, transactions, plans that read a page and not a table."""

import sqlite3
import threading
from pathlib import Path

import pytest

from schemas.errors import Unavailable
from search import sql_plan, sql_schema
from search.attributes import Attribute, ValueType
from search.document import Document
from search.query.resolve import Names, list_query, resolve
from search.settings import SqliteSettings
from search.sql_reading import Reading
from search.sqlite import SqliteStore
from search.store import Batch, Cursor
from tests.search.test_store import EVERYTHING, run
from tests.support.search_samples import CUSTOM, NAMESPACE

NAMES = Names(CUSTOM)


def test_everything_is_there_after_opening_again(tmp_path: Path) -> None:
    """Runs, cursors, and the numbers given to spaces and attributes."""
    first = SqliteStore(tmp_path)
    first.write(Batch([run(1)], cursors={0: Cursor(1)}), first.position().generation)
    first.close()
    again = SqliteStore(tmp_path)
    again.write(Batch([run(2)]), again.position().generation)
    assert again.count(NAMESPACE, EVERYTHING) == 2
    assert {0: Cursor(1)} == dict(again.position().cursors)
    again.close()


def test_a_failed_batch_leaves_nothing_not_even_its_cursor(tmp_path: Path) -> None:
    """A batch and its cursors are one transaction."""
    store = SqliteStore(tmp_path)
    generation = store.position().generation
    too_long = run(2, history_length=2**70)
    with pytest.raises(OverflowError):
        store.write(Batch([run(1), too_long], cursors={0: Cursor(1)}), generation)
    assert {} == dict(store.position().cursors)
    store.write(Batch([run(3)]), generation)
    assert [run(3)] == list(store.list(NAMESPACE, EVERYTHING, 9).documents)
    store.close()


def test_a_rebuilt_store_is_the_live_one_after_opening_again(tmp_path: Path) -> None:
    """The pointer is replaced atomically and the old file goes."""
    store = SqliteStore(tmp_path)
    rebuilt = store.beside()
    rebuilt.write(Batch([run(7)]), rebuilt.position().generation)
    store.replace_by(rebuilt)
    store.close()
    assert not (tmp_path / "search-000001.sqlite").exists()
    again = SqliteStore(tmp_path)
    assert again.find([(NAMESPACE, "run-0007")]) == {(NAMESPACE, "run-0007"): run(7)}
    again.close()


def test_a_file_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    """It has no cursors, so all is read again."""
    store = SqliteStore(tmp_path)
    store.write(Batch([run(1)], cursors={0: Cursor(1)}), store.position().generation)
    store.close()
    with sqlite3.connect(tmp_path / "search-000001.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {sql_schema.VERSION + 1}")
    connection.close()
    again = SqliteStore(tmp_path)
    assert {} == dict(again.position().cursors)
    assert again.count(NAMESPACE, EVERYTHING) == 0
    again.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Unavailable, and health does not raise."""
    store = SqliteStore(tmp_path)
    store.close()
    store.close()
    with pytest.raises(Unavailable, match="is closed"):
        store.count(NAMESPACE, EVERYTHING)
    assert not store.health().is_serving


def test_reading_goes_on_while_a_batch_is_written(tmp_path: Path) -> None:
    """A list sees whole batches only."""
    store = SqliteStore(tmp_path)
    generation = store.position().generation
    counts: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            counts.append(store.count(NAMESPACE, list_query("WorkflowId != 'none'", NAMES)))

    reader = threading.Thread(target=read)
    reader.start()
    for first in range(0, 400, 20):
        store.write(Batch([run(first + number) for number in range(20)]), generation)
    done.set()
    reader.join()
    store.close()
    assert all(count % 20 == 0 for count in counts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "WorkflowType = 'Order'",
        "ExecutionStatus = 'Running' AND WorkflowType = 'Order'",
        "Customer = 'a'",
        "WorkflowId = 'order-1'",
        "Amount > 3",
        "Customer != 'a'",
        "ORDER BY StartTime DESC",
    ],
)
def test_a_usual_list_costs_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """SQLite makes about as many steps for a page of many runs as for a page of few."""
    monkeypatch.setattr(sql_plan, "RARE", 60)
    monkeypatch.setattr(sql_plan, "BOUND", 300)
    monkeypatch.setattr(sql_plan, "RANGE_BOUND", 300)
    steps = [_steps_of_a_page(tmp_path / str(count), text, count) for count in (1_500, 6_000)]
    assert steps[1] < 3 * steps[0] + 100


def _steps_of_a_page(folder: Path, text: str, count: int) -> int:
    store = SqliteStore(folder)
    store.write(Batch(_crowd(count)), store.position().generation)
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    with store._live.reading() as reader:
        reader.set_progress_handler(step, 10)
        Reading(reader, NAMESPACE, resolve(text, NAMES)).page(50, ())
    store.close()
    return steps


def _crowd(count: int) -> list[Document]:
    held = {
        "Customer": Attribute(ValueType.KEYWORD, ("a",)),
        "Amount": Attribute(ValueType.INT, (7,)),
    }
    return [run(number, attributes=held if number % 2 else {}) for number in range(count)]


def test_a_folder_has_one_store(tmp_path: Path) -> None:
    """A second one would go on writing to a file that the first has replaced."""
    store = SqliteStore(tmp_path)
    with pytest.raises(Unavailable, match="is in use"):
        SqliteStore(tmp_path)
    store.close()
    SqliteStore(tmp_path).close()


def test_a_query_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """It is Unavailable, and the next one is answered."""
    store = SqliteStore(tmp_path, SqliteSettings(query_timeout_s=0.0, readers_count=1))
    store.write(Batch(_crowd(10_000)), store.position().generation)
    with pytest.raises(Unavailable, match="interrupted"):
        store.count(NAMESPACE, resolve("Customer = 'a' AND TaskQueue IS NULL", NAMES))
    assert len(store.list(NAMESPACE, EVERYTHING, 5).documents) == 5
    store.close()


def test_what_a_killed_rebuild_left_is_removed(tmp_path: Path) -> None:
    """The live index is as it was, and nothing else is in the folder at the next start."""
    store = SqliteStore(tmp_path)
    store.write(Batch([run(1)]), store.position().generation)
    beside = store.beside()
    beside.write(Batch([run(2)]), beside.position().generation)
    beside.close()  # and never swapped in: killed
    store.close()
    again = SqliteStore(tmp_path)
    assert again.list(NAMESPACE, EVERYTHING, 9).documents == (run(1),)
    assert {path.name for path in tmp_path.glob("*.sqlite")} == {"search-000001.sqlite"}
    again.close()
