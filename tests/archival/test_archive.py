"""Archives of both kinds: what is written is read back, once, by whoever wrote it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archival.archive import Archive
from archival.archiver import Archiver
from archival.files import FileStore
from archival.query import Hints, Matching
from archival.run import Damaged, Refused, RunKey
from archival.settings import ArchivalSettings
from archival.uri import parse_uri
from schemas.errors import InvalidArgument, NotFound
from schemas.temporal import history
from tests.archival.conftest import Opened
from tests.archival.runs import STRANGE, batches_of, closed_run, key_of


@pytest.fixture
def archiver(archive: Archive) -> Archiver:
    """An archiver that writes all to one archive."""
    return Archiver(archive, archive)


def test_a_run_is_read_back_whole(archive: Archive, archiver: Archiver) -> None:
    """History, record and lake say what was archived."""
    run = closed_run(events=41, padding=300)
    row = archiver.archive(run)
    assert list(run.batches) == list(archive.history(run.key))
    assert run.execution == archive.lake("ns").list().runs[0].shown()
    record = archive.describe(run.key)
    assert (run.key, "shop", "order") == (record.key, record.namespace, record.workflow_type)
    assert run.execution.memo == record.execution.memo
    assert row == archive.lake("ns").list().runs[0]


def test_pages_end_between_batches_and_go_on_behind_them(
    archive: Archive, archiver: Archiver
) -> None:
    """Pages of any size, read one by one, are the history."""
    run = closed_run(events=41, padding=300)
    archiver.archive(run)
    for size in (1, 7, 40, 41, 1_000):
        page = archive.history_page(run.key, size)
        read = list(page.batches)
        while page.token:
            assert sum(len(one.events) for one in page.batches) >= size
            page = archive.history_page(run.key, size, page.token)
            read += page.batches
        assert list(run.batches) == read


def test_archiving_again_changes_nothing(opened: Opened) -> None:
    """The second time, by another process, finds everything there."""
    run = closed_run(events=41, padding=300)
    first = Archiver(opened(), opened()).archive(run)
    again = opened()
    before = {one.key: again.store.get(one.key) for one in again.store.list("ns")}
    assert first == Archiver(again, again).archive(run)
    assert before == {one.key: again.store.get(one.key) for one in again.store.list("ns")}
    assert [first] == list(again.lake("ns").rows())


def test_another_blob_size_goes_on_with_the_objects_that_are_there(opened_s3: Opened) -> None:
    """Two archivers of different settings make one history, cut as the first began."""
    run = closed_run(events=41, padding=300)
    ours = opened_s3()
    ours.archive_history(run)
    names = [one.key for one in ours.store.list("ns/history/")]
    ours.store.delete(names[len(names) // 2 :])
    other = Archive(ours.uri, ours.store, ArchivalSettings(blob_bytes=5_000))
    written = other.archive_history(run)
    assert list(run.batches) == list(other.history(run.key))
    assert len([*other.store.list("ns/history/")]) == written.blobs_count
    other.close()


def test_no_run_is_not_found(archive: Archive) -> None:
    """What was never archived is answered in Temporal's words."""
    with pytest.raises(NotFound, match="requested workflow history does not exist"):
        archive.history_page(key_of(), 10)
    with pytest.raises(NotFound):
        archive.describe(key_of())
    assert [] == list(archive.lake("ns").rows())


@pytest.mark.parametrize("token", [b"x", b"{", b"[]", b'{"BatchIdx":-1}'])
def test_a_foreign_token_is_refused(archive: Archive, archiver: Archiver, token: bytes) -> None:
    """With Temporal's words."""
    archiver.archive(closed_run())
    with pytest.raises(InvalidArgument, match="next page token is corrupted"):
        archive.history_page(key_of(), 10, token)


def changed(kind: str) -> list[history.History]:
    """Return a history that is not what the run claims."""
    batches = list(batches_of(12))
    match kind:
        case "short":
            return batches[:-1]
        case "long":
            return [*batches, history.History(events=[history.HistoryEvent(event_id=13)])]
        case "hole":
            return [*batches[:2], *batches[3:]]
        case "version":
            batches[-1].events[-1].version = 7
            return batches
        case _:
            return []


@pytest.mark.parametrize("kind", ["short", "long", "hole", "version", "empty"])
def test_a_history_that_is_not_the_runs_is_refused(
    archive: Archive, archiver: Archiver, kind: str
) -> None:
    """A poison run comes back with its reason, the others are archived, and nothing is shown."""
    good, bad = closed_run(key_of(number=1)), closed_run(key_of(number=2))
    batches = changed(kind)
    bad = type(bad)(bad.namespace, bad.key, bad.execution, batches, bad.last_event_id)
    first, second = archiver.archive_all([bad, good])
    assert first.is_refused
    assert "history was mutated" == str(first.error)
    assert second.is_archived
    assert [good.key.run_id] == [row.run_id for row in archive.lake("ns").rows()]
    with pytest.raises((NotFound, Damaged)):
        list(archive.history(bad.key))


def test_a_run_without_a_type_or_a_close_time_is_refused(archiver: Archiver) -> None:
    """With Temporal's words."""
    for field, text in (("type", "WorkflowTypeName"), ("close_time", "CloseTime")):
        run = closed_run()
        run.execution.ClearField(field)  # type: ignore[arg-type]  # a field's name
        with pytest.raises(Refused, match=f"field {text} is empty"):
            archiver.archive(run)


def test_ids_of_every_kind_are_read_back_and_never_mixed(archive: Archive) -> None:
    """Each strange id has its own history and record, whatever part of the key it is."""
    archiver = Archiver(archive, archive)
    keys = [key_of(one, number) for number, one in enumerate(STRANGE)]
    runs = [
        closed_run(key, events=3 + at, type_name=key.workflow_id) for at, key in enumerate(keys)
    ]
    assert [True] * len(runs) == [one.is_archived for one in archiver.archive_all(runs)]
    for run in runs:
        assert list(run.batches) == list(archive.history(run.key))
        assert run.key == archive.describe(run.key).key
    listed = {row.workflow_id: row.workflow_type for row in archive.lake("ns").rows()}
    assert {one: one for one in STRANGE} == listed


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ids=st.lists(st.text(max_size=1_000), min_size=3, max_size=6, unique=True))
def test_any_namespace_and_workflow_ids_stay_inside_the_folder(
    tmp_path: Path, ids: list[str]
) -> None:
    """No file outside, none mixed: whatever text Hypothesis finds."""
    folder = tmp_path / os.urandom(8).hex()
    (folder / "archive").mkdir(parents=True)
    archive = Archive(parse_uri("file:///x"), FileStore(folder / "archive"))
    runs = [
        closed_run(RunKey(namespace_id or "n", workflow_id or "w", f"run-{at}"), events=2 + at)
        for at, (namespace_id, workflow_id) in enumerate(zip(ids, reversed(ids), strict=True))
    ]
    archiver = Archiver(archive, archive)
    assert [None] * len(runs) == [one.error for one in archiver.archive_all(runs)]
    for run in runs:
        assert list(run.batches) == list(archive.history(run.key))
        assert run.key == archive.describe(run.key).key
        listed = [row.run_id for row in archive.lake(run.key.namespace_id).rows()]
        assert [run.key.run_id] == listed
    assert ["archive"] == [one.name for one in folder.iterdir()]
    archiver.close()
    archive.close()


def test_a_deleted_run_is_gone_and_the_others_stay(archive: Archive, archiver: Archiver) -> None:
    """From lists, by its id, and from the store; deleting again is no matter."""
    runs = [closed_run(key_of(f"wf-{number}", number)) for number in range(3)]
    archiver.archive_all(runs)
    record = archive.describe(runs[1].key)
    for _ in range(2):
        archiver.delete_all([record])
    with pytest.raises(NotFound):
        archive.history_page(runs[1].key, 10)
    assert {"wf-0", "wf-2"} == {row.workflow_id for row in archive.lake("ns").rows()}
    assert list(runs[2].batches) == list(archive.history(runs[2].key))


def test_a_deleted_namespace_leaves_nothing(archive: Archive, archiver: Archiver) -> None:
    """Neither of Temporal's layout nor of ours; another namespace stays."""
    other = closed_run(key_of(namespace_id="other"))
    archiver.archive(other)
    before = [one.key for one in archive.store.list("")]
    archiver.archive_all([closed_run(key_of(number=number)) for number in range(3)])
    assert [*archive.delete_namespace("ns")]
    assert before == [one.key for one in archive.store.list("")]
    assert [] == list(archive.lake("ns").rows())
    assert list(other.batches) == list(archive.history(other.key))


def test_the_runs_of_a_workflow_id_are_listed(archive: Archive, archiver: Archiver) -> None:
    """All of them, of any id, newest first, page by page; nobody else's."""
    runs = [
        closed_run(key_of(workflow_id, number), closed_after=60 + number)
        for number, workflow_id in enumerate(["a/b", "a", "a/b", "b", "a/b", "a"])
    ]
    archiver.archive_all(runs)
    for workflow_id in ("a/b", "a", "none"):
        wanted = Matching(Hints(equal={"workflow_id": frozenset({workflow_id})}))
        expected = [one.key.run_id for one in reversed(runs) if one.key.workflow_id == workflow_id]
        page = archive.list("ns", wanted, 2)
        found = list(page.runs)
        while page.token:
            page = archive.list("ns", wanted, 2, page.token)
            found += page.runs
        assert expected == [one.run_id for one in found]


class Broken:
    """A history whose bytes nobody can read."""

    def __iter__(self) -> Iterator[history.History]:
        raise ValueError("expected a varint")


def test_a_run_that_breaks_our_code_is_set_aside(archive: Archive, archiver: Archiver) -> None:
    """With what it broke on; the others go on."""
    good, bad = closed_run(key_of(number=1)), closed_run(key_of(number=2))
    bad = type(bad)(bad.namespace, bad.key, bad.execution, Broken(), bad.last_event_id)
    outcomes = archiver.archive_all([bad, good])
    assert [True, False] == [one.is_refused for one in outcomes]
    assert "ValueError: expected a varint" == str(outcomes[0].error)
    assert list(good.batches) == list(archive.history(good.key))
