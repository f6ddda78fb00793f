"""Stopped at every write: the next run of the archiver finishes, and there is one of everything.

The k-th step fails for k = 1, 2, 3, ... until nothing fails any more: the steps of the disk for
files, the store's calls, before and after they took effect, for both.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from archival.archive import Archive
from archival.archiver import Archiver
from archival.files import Disk, FileStore
from archival.run import ClosedRun, Damaged
from archival.settings import ArchivalSettings
from archival.store import Entry, Missing, Store
from archival.uri import parse_uri
from schemas.errors import NotFound
from tests.archival.conftest import SMALL, Opened
from tests.archival.runs import closed_run, key_of

SETTINGS = ArchivalSettings(blob_bytes=2_000, workers_count=1, lake=SMALL)


class Crash(BaseException):
    """The process ends here."""


class Countdown:
    """Crashes at the k-th step, and at every one after it: the process is gone."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> None:
        """Count a step."""
        self.left -= 1
        if self.left <= 0:
            raise Crash


class CrashingDisk(Disk):
    """A disk that stops in the middle of things; a torn write leaves half of its bytes."""

    def __init__(self, step: Countdown) -> None:
        self._step = step

    def create(self, path: Path, mode: int) -> BinaryIO:
        """See Disk."""
        self._step()
        return super().create(path, mode)

    def write(self, file: BinaryIO, piece: bytes) -> None:
        """See Disk."""
        try:
            self._step()
        except Crash:
            super().write(file, piece[: len(piece) // 2])
            file.flush()
            raise
        super().write(file, piece)

    def flush(self, file: BinaryIO) -> None:
        """See Disk."""
        self._step()
        super().flush(file)

    def link(self, source: Path, target: Path) -> None:
        """See Disk."""
        self._step()
        super().link(source, target)

    def mkdir(self, path: Path, mode: int) -> None:
        """See Disk."""
        self._step()
        super().mkdir(path, mode)

    def flush_folder(self, path: Path) -> None:
        """See Disk."""
        self._step()
        super().flush_folder(path)


class CrashingStore:
    """A store whose k-th call is the last, before or after it took effect."""

    def __init__(self, inner: Store, step: Countdown, *, is_after: bool) -> None:
        self._inner = inner
        self._step = step
        self._is_after = is_after

    def _around(self, call: Callable[[], Any]) -> Any:
        if self._is_after:
            made = call()
            self._step()
            return made
        self._step()
        return call()

    def check(self) -> None:
        """See Store."""
        self._inner.check()

    def put_new(self, key: str, body: Iterable[bytes]) -> bool:
        """See Store."""
        return bool(self._around(lambda: self._inner.put_new(key, body)))

    def put(self, key: str, body: Iterable[bytes]) -> None:
        """See Store."""
        self._around(lambda: self._inner.put(key, body))

    def get(self, key: str, start: int = 0, count: int = -1) -> bytes:
        """See Store."""
        return bytes(self._around(lambda: self._inner.get(key, start, count)))

    def read(self, key: str) -> Iterator[bytes]:
        """See Store."""
        return self._inner.read(key)

    def size(self, key: str) -> int | None:
        """See Store."""
        return self._inner.size(key)

    def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Iterator[Entry]:
        """See Store."""
        return self._inner.list(prefix, after=after, limit=limit)

    def folders(self, prefix: str) -> Iterator[str]:
        """See Store."""
        return self._inner.folders(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """See Store."""
        self._around(lambda: self._inner.delete(keys))

    def close(self) -> None:
        """See Store."""
        self._inner.close()


def attempt(archive: Archive, run: ClosedRun) -> bool:
    """Archive a run; say whether it came to its end."""
    archiver = Archiver(archive, archive, SETTINGS)
    try:
        archiver.archive(run)
    except Crash:
        return False
    else:
        return True
    finally:
        archiver.close()


def is_whole_or_none(archive: Archive, run: ClosedRun) -> bool:
    """Whether a reader sees the whole history, or is told that there is none."""
    try:
        return list(archive.history(run.key)) == list(run.batches)
    except (NotFound, Damaged):
        return True


def has_one_of_everything(archive: Archive, run: ClosedRun) -> bool:
    """Whether the run is there, once, and whole."""
    assert list(run.batches) == list(archive.history(run.key))
    assert run.key == archive.describe(run.key).key
    assert [run.key.run_id] == [row.run_id for row in archive.lake("ns").rows()]
    return len(list(archive.records.all("ns"))) == 1


def names_of(archive: Archive) -> list[str]:
    """Return the names of Temporal's layout."""
    return [one.key for one in archive.store.list("") if not one.key.startswith("millrace/")]


def test_files_stopped_at_every_step_of_the_disk(tmp_path: Path) -> None:
    """A rerun makes exactly one record and one history, and no half of one is ever read."""
    run = closed_run(events=9, padding=300)
    uri = parse_uri("file:///x")
    done, steps = False, 0
    while not done:
        steps += 1
        folder = tmp_path / str(steps)
        disk = CrashingDisk(Countdown(steps))
        first = Archive(uri, FileStore(folder, disk=disk), SETTINGS)
        done = attempt(first, run)
        second = Archive(uri, FileStore(folder), SETTINGS)
        assert is_whole_or_none(second, run)
        assert attempt(second, run)
        assert has_one_of_everything(second, run)
        assert len(names_of(second)) == 2
        first.close()
        second.close()
    assert steps > 20


@pytest.mark.slow
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_stores_stopped_at_every_call(opened: Opened, *, is_after: bool) -> None:
    """Before the call or after it, in a folder and in a bucket."""
    archive = opened()
    done, steps = False, 0
    while not done:
        steps += 1
        run = closed_run(key_of(f"wf-{steps}", steps), events=9, padding=300)
        store = CrashingStore(archive.store, Countdown(steps), is_after=is_after)
        done = attempt(Archive(archive.uri, store, SETTINGS), run)
        assert is_whole_or_none(archive, run)
        assert attempt(archive, run)
        assert list(run.batches) == list(archive.history(run.key))
        assert run.key == archive.describe(run.key).key
        assert steps == len(list(archive.records.all("ns")))
        assert steps == len(list(archive.lake("ns").rows()))
    assert steps > 3


def test_merging_stopped_at_every_call_loses_and_doubles_nothing(opened_files: Opened) -> None:
    """Merges of the lake's files; what they leave over is swept."""
    archive = opened_files()
    archiver = Archiver(archive, archive, SETTINGS)
    for number in range(8):
        archiver.archive(closed_run(key_of(number=number)))
    done, steps = False, 0
    while not done:
        steps += 1
        store = CrashingStore(archive.store, Countdown(steps), is_after=steps % 2 == 0)
        other = Archive(archive.uri, store, SETTINGS)
        with contextlib.suppress(Crash):
            done = not other.lake("ns").compact()
        assert 8 == len(list(archive.lake("ns").rows()))
        archiver.archive(closed_run(key_of(number=0)))
    assert archive.lake("ns").sweep(before=2**62) > 0
    assert 8 == len(list(archive.lake("ns").rows()))
    known = {one.key for one in archive.lake("ns").manifest().segments}
    with pytest.raises(Missing):
        archive.store.get("millrace/ns/lake/none")
    assert known == {one.key for one in archive.store.list("millrace/ns/lake/")}
    archiver.close()


def test_a_half_written_file_of_another_archiver_is_replaced(tmp_path: Path) -> None:
    """Temporal's own writes a file in place: a crash leaves a half, a rerun of ours mends it."""
    run = closed_run(events=9)
    archive = Archive(parse_uri("file:///x"), FileStore(tmp_path), SETTINGS)
    assert attempt(archive, run)
    for file in [one for one in tmp_path.rglob("*") if one.suffix in (".history", ".visibility")]:
        whole = file.read_bytes()
        for cut in (0, 1, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:cut])
            if file.suffix == ".history":
                with pytest.raises(Damaged):
                    list(archive.history(run.key))
            assert attempt(archive, run)
            assert whole == file.read_bytes()
    archive.close()


def test_a_history_without_its_last_object_is_not_shown_as_whole(opened_s3: Opened) -> None:
    """A reader of a half-written archive is told so, and the archiver finishes it."""
    run = closed_run(events=31, padding=300)
    archive = opened_s3()
    assert attempt(archive, run)
    names = [one.key for one in archive.store.list("ns/history/")]
    assert len(names) > 3
    for missing in names:
        archive.store.delete([missing])
        with pytest.raises((Damaged, NotFound)):
            list(archive.history(run.key))
        assert attempt(archive, run)
        assert list(run.batches) == list(archive.history(run.key))
    archive.close()
