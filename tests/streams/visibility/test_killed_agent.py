"""Kill -9 at every k-th write: the index equals a fold of the log, on both stores."""

import asyncio
import pickle
import sys
from pathlib import Path

import pytest

from search.document import Document
from search.sqlite import SqliteStore
from streams.attributes import SearchAttributes
from streams.log.ports import Record
from tests.search.conftest import BOTH
from tests.streams.visibility.killed_agent import AFTER, BEFORE, opened
from tests.streams.visibility.log_of import records_of
from tests.streams.visibility.test_node import CUSTOM, follow, listed, upsert
from tests.support.core import Desk
from tests.support.core_words import complete
from tests.support.millrace_server import PROJECT

RUNS = 8


@pytest.fixture
def busy() -> Desk:
    """Runs that start, upsert twice and close, one inside the other."""
    made = Desk()
    made.know_attributes(SearchAttributes(), CUSTOM)
    for number in range(RUNS):
        made.start(f"w{number}", queue=f"q{number}")
    for number in range(RUNS):
        made.step(upsert("one"), upsert("two"), complete(), queue=f"q{number}")
    return made


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", BOTH)
async def test_v1_kill_9_at_every_kth_write(
    busy: Desk, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """Before it and after it; the next life goes on from the cursor in the store."""
    url = request.getfixturevalue("elastic_url") if kind == "elastic" else ""
    records = records_of(busy)
    expected = await whole(tmp_path, records)
    log = tmp_path / "log"
    log.write_bytes(pickle.dumps(records))
    command = [sys.executable, "-m", "tests.streams.visibility.killed_agent"]
    line = [*command, str(log), str(tmp_path), *([url] if url else [])]
    pipe = asyncio.subprocess.PIPE
    agents = await asyncio.create_subprocess_exec(*line, cwd=PROJECT, stdout=pipe)
    said, _ = await agents.communicate()
    assert agents.returncode == 0
    rounds = int(said)
    assert rounds > 3
    for at in range(1, rounds + 1):
        for when in (BEFORE, AFTER):
            store = opened(tmp_path, url, f"{when}-{at}")
            store.refresh()
            assert expected == listed(store), (when, at)
            store.close()


async def whole(folder: Path, records: list[Record]) -> dict[str, Document]:
    """Return the fold of a log."""
    store = SqliteStore(folder / "whole")
    await follow(store, records, size=100)
    found = listed(store)
    store.close()
    return found
