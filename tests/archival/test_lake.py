"""The lake: every query as a plain filter over all rows would answer it, in few requests."""

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archival.files import FileStore
from archival.lake import Lake
from archival.query import Filter, Hints, Matching, Page
from archival.row import ArchivedRun
from archival.s3 import S3Store
from archival.settings import LakeSettings, S3Settings
from archival.store import Store
from schemas.errors import InvalidArgument

SMALL = LakeSettings(segment_rows_count=200, fanout_count=4, group_bytes=1)
SECOND = 1_000_000_000
START = 1_770_000_000 * SECOND


def row(number: int, seed: int = 0) -> ArchivedRun:
    """Return a run: many close at one time, over three months."""
    chance = random.Random(number * 1_000 + seed)
    closed_at = START + chance.randrange(40) * 2 * 86_400 * SECOND
    return ArchivedRun(
        namespace="shop",
        workflow_id=f"wf-{number % 50}",
        run_id=str(uuid.UUID(int=chance.getrandbits(128))),
        workflow_type=chance.choice(["order", "refund", "rare" if number % 97 == 0 else "order"]),
        status=chance.choice(["Completed", "Failed"]),
        started_at=closed_at - chance.randrange(3) * SECOND,
        closed_at=closed_at,
        execution_at=chance.choice([None, closed_at - 1]),
        execution_duration=chance.choice([None, 5]),
        search_attributes={"CustomerId": "c", "Ä": '["x"]'} if number % 2 else {},
        history_sha256=bytes([number % 256]) * 32,
        execution=b"\x00\xff",
    )


def newest_first(rows: list[ArchivedRun]) -> list[ArchivedRun]:
    """Return rows in the order of lists."""
    return sorted(rows, key=lambda one: one.position, reverse=True)


def pages(lake: Lake, wanted: Filter, size: int) -> Iterator[Page]:
    """Return all pages."""
    page = lake.list(wanted, size)
    yield page
    while page.token:
        page = lake.list(wanted, size, page.token)
        yield page


def listed(lake: Lake, wanted: Filter, size: int) -> list[ArchivedRun]:
    """Return all runs of all pages."""
    return [run for page in pages(lake, wanted, size) for run in page.runs]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, list[ArchivedRun]]:
    """A lake of 600 runs, some added twice, some merged, some not."""
    lake = Lake(FileStore(tmp_path_factory.mktemp("lake")), "ns", SMALL)
    rows = [row(number) for number in range(600)]
    for at in range(0, 600, 30):
        lake.add(rows[max(0, at - 5) : at + 30])
        if at < 400:
            lake.compact()
    return lake, rows


TYPES = st.sets(st.sampled_from(["order", "refund", "rare", "none"]), min_size=1)
TIMES = st.integers(START - SECOND, START + 81 * 86_400 * SECOND)


@settings(max_examples=60, deadline=None)
@given(
    types=TYPES | st.none(),
    span=st.tuples(TIMES, TIMES) | st.none(),
    column=st.sampled_from(["closed_at", "started_at"]),
    size=st.sampled_from([1, 7, 100, 1_000]),
    budget=st.sampled_from([1, 3, 16]),
)
def test_every_filter_is_answered_as_over_all_rows(
    filled: tuple[Lake, list[ArchivedRun]],
    types: set[str] | None,
    span: tuple[int, int] | None,
    column: str,
    size: int,
    budget: int,
) -> None:
    """Whatever the type, the times, the page, and how early a page must end."""
    lake, rows = filled
    lake = Lake(lake._store, "ns", LakeSettings(group_bytes=1, page_requests_count=budget))
    first, last = sorted(span) if span else (0, 2**62)
    hints = Hints(
        equal={"workflow_type": frozenset(types)} if types else {},
        at_least={column: first} if span else {},
        at_most={column: last} if span else {},
    )
    expected = [
        one
        for one in newest_first(rows)
        if (types is None or one.workflow_type in types) and first <= getattr(one, column) <= last
    ]
    if size == 1:
        page = lake.list(Matching(hints), 1)
        assert expected[: len(page.runs)] == list(page.runs)
        assert page.token or not expected[1:]
        return
    assert expected == listed(lake, Matching(hints), size)


def test_a_filter_that_gives_no_hints_is_answered_too(
    filled: tuple[Lake, list[ArchivedRun]],
) -> None:
    """The caller's own predicate, over every column."""

    class Odd:
        hints = Hints()

        def matches(self, run: ArchivedRun) -> bool:
            return run.search_attributes.get("CustomerId") == "c" and run.status == "Failed"

    lake, rows = filled
    expected = [one for one in newest_first(rows) if Odd().matches(one)]
    assert expected == listed(lake, Odd(), 10)


def test_tokens_go_on_behind_their_run_whatever_comes_in(tmp_path: Path) -> None:
    """New runs, and merges between the pages, move nothing."""
    lake = Lake(FileStore(tmp_path), "ns", SMALL)
    rows = [row(number) for number in range(120)]
    lake.add(rows[:60])
    page = lake.list(size=20)
    seen = list(page.runs)
    behind = page.runs[-1].position
    for at in range(60, 120, 10):
        lake.add(rows[at : at + 10])
        lake.compact()
        page = lake.list(size=20, token=page.token)
        seen += page.runs
        if not page.token:
            break
    assert len({one.run_id for one in seen}) == len(seen)
    assert {one.run_id for one in rows[:60]} <= {one.run_id for one in seen}
    assert all(one.position < behind for one in seen[20:])


@pytest.mark.parametrize("token", [b"x", b"[1]", b'{"a":1}', b'["a","b","c"]'])
def test_a_foreign_token_is_refused(filled: tuple[Lake, list[ArchivedRun]], token: bytes) -> None:
    """In Temporal's words."""
    with pytest.raises(InvalidArgument, match="next page token is corrupted"):
        filled[0].list(token=token)


def test_removed_runs_are_gone_from_lists_and_then_from_files(tmp_path: Path) -> None:
    """At once from lists; from the files when they are written anew."""
    lake = Lake(FileStore(tmp_path), "ns", SMALL)
    rows = [row(number) for number in range(60)]
    lake.add(rows)
    lake.remove([(one.run_id, one.closed_at) for one in rows[:20]])
    assert newest_first(rows[20:]) == list(lake.rows())
    assert lake.manifest().gone
    lake.settle()
    assert newest_first(rows[20:]) == list(lake.rows())
    assert not lake.manifest().gone
    assert 40 == lake.manifest().rows_count
    lake.remove([(one.run_id, one.closed_at) for one in rows])
    lake.settle()
    assert () == lake.manifest().segments


def test_two_writers_and_a_merger_lose_nothing(tmp_path: Path) -> None:
    """Each repeats its change on top of the others'."""
    store = FileStore(tmp_path)
    lakes = [Lake(store, "ns", SMALL) for _ in range(3)]
    rows = [row(number) for number in range(90)]
    for at in range(0, 90, 10):
        for lake in lakes:
            lake.manifest()
        lakes[at % 2].add(rows[at : at + 10])
        lakes[2].compact()
    assert newest_first(rows) == list(Lake(store, "ns", SMALL).rows())


def test_a_manifest_that_was_written_meanwhile_is_built_upon(tmp_path: Path) -> None:
    """The number is taken: the change is made again on what is there."""
    first, second = (Lake(FileStore(tmp_path), "ns", SMALL) for _ in range(2))
    manifests = second._manifests
    latest, asked = manifests.latest, []

    def overtaken() -> object:
        found = latest()
        if not asked:
            asked.append(True)
            first.add([row(1)])
        return found

    manifests.latest = overtaken  # type: ignore[method-assign,assignment]  # overtaken once
    second.add([row(2)])
    assert newest_first([row(1), row(2)]) == list(first.rows())
    assert 2 == first.manifest().number


def test_any_parquet_reader_reads_the_files_as_they_lie(tmp_path: Path) -> None:
    """Folders by month, plain types, times as timestamps."""
    lake = Lake(FileStore(tmp_path), "ns", SMALL)
    rows = [row(number) for number in range(30)]
    lake.add(rows)
    table = pq.read_table(tmp_path / "millrace/ns/lake", partitioning="hive")
    assert 30 == table.num_rows
    assert {"2026-02", "2026-03", "2026-04"} >= set(table["closed_month"].to_pylist())
    closed = {one["run_id"]: one["closed_at"] for one in table.to_pylist()}
    assert {one.run_id: one.closed_at // 1_000 for one in rows} == {
        run_id: int(at.timestamp()) * 1_000_000 for run_id, at in closed.items()
    }
    attributes = {one["run_id"]: dict(one["search_attributes"]) for one in table.to_pylist()}
    assert {one.run_id: one.search_attributes for one in rows} == attributes


def test_a_page_asks_for_little(s3_url: str, bucket: str) -> None:
    """A type and a time range: manifest, footers, groups, however many files there are."""
    store = S3Store(bucket, "p", S3Settings(endpoint=s3_url, path_style=True))
    filling: Store = store
    lake = Lake(filling, "ns", SMALL)
    rows = sorted((row(number) for number in range(400)), key=lambda one: one.position)
    for at in range(0, 400, 40):
        lake.add(rows[at : at + 40])
        while lake.compact():
            pass
    before = store.requests_count
    hints = Hints(
        equal={"workflow_type": frozenset({"refund"})},
        at_least={"closed_at": rows[100].closed_at},
        at_most={"closed_at": rows[350].closed_at},
    )
    page = Lake(store, "ns", SMALL).list(Matching(hints), 10)
    assert 10 == len(page.runs)
    assert store.requests_count - before < 20
    store.close()
