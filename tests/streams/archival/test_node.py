"""The archival node: the archive equals a fold of the log, whatever fails on the way."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest
from msgspec.structs import replace

from archival.archive import Archive
from archival.archiver import Outcome
from archival.files import Disk
from archival.opening import open_archive
from archival.run import ClosedRun, RunKey
from schemas.errors import NotTheOwner, Unavailable
from streams.archival.node import ArchivalNode
from streams.log.ports import CommandBatch
from streams.metrics import Metrics
from tests.archival.runs import closed_run
from tests.archival.test_crashes import Countdown, Crash, CrashingDisk
from tests.streams.archival.owner import SETTINGS, Calls, Folders, archiving, folded, running
from tests.support.core import NAMESPACE, Desk
from tests.support.core_words import activity, complete, vals
from tests.support.waiting import until
from topology.decision import Namespace
from topology.own_work import Backlog, ReadBacklog

OTHER = replace(NAMESPACE, id="00000000-0000-4000-8000-00000000000e", name="other")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """Where to archive."""
    return (tmp_path / "archive").as_uri()


def close(desk: Desk, namespace: Namespace, workflow_id: str = "w", *, steps: int = 0) -> str:
    """Run a workflow with some activities to its end; return its run id."""
    desk.be_in(namespace)
    run_id = desk.start(workflow_id)
    for number in range(steps):
        desk.step(activity(str(number)))
        desk.finish_activity(desk.poll_activity(), *vals("x" * 300).payloads)
    desk.step(complete())
    return run_id


def backlog(desk: Desk) -> Backlog:
    """Return what waits at the owner."""
    return msgspec.msgpack.decode(desk.read("Backlog", ReadBacklog()), type=Backlog)


def is_clear(desk: Desk) -> Callable[[], bool]:
    """Whether nothing waits any more."""
    return lambda: not backlog(desk).waiting


def stored(archive: Archive, run_id: str, namespace_id: str = NAMESPACE.id) -> list[object]:
    """Return the archived history of a run."""
    key = RunKey(namespace_id, "w", run_id)
    return [event for batch in archive.history(key) for event in batch.events]


def check_whole(desk: Desk, uri: str) -> None:
    """Check that each closed run is archived, once and as the log has it."""
    archive = open_archive(uri, SETTINGS)
    runs = folded(desk)
    listed = list(archive.lake(NAMESPACE.id).rows())
    assert sorted(runs) == sorted(each.run_id for each in listed)
    for run_id, events in runs.items():
        assert stored(archive, run_id) == events
    for row in listed:
        assert row.history_length == len(runs[row.run_id])
    archive.close()


async def test_v5_closed_runs_are_archived_and_reported(uri: str) -> None:
    """Each once, with its history; the owner hears of it, and nothing waits any more."""
    desk = Desk()
    space = archiving(uri)
    for _ in range(5):
        close(desk, space, steps=2)
    calls = Calls(desk)
    async with running(calls, Folders(), space) as node:
        await until("all to be archived", is_clear(desk))
        assert node.counts.archived.value == 5
    assert calls.asked["Archived"] == 5
    check_whole(desk, uri)
    desk.check()


async def test_v5_news_of_the_log_let_it_look_at_once(uri: str) -> None:
    """What closes later is archived when the partition is heard of, not after some seconds."""
    desk = Desk()
    space = archiving(uri)
    calls = Calls(desk)
    async with running(calls, Folders(), space) as node:
        await until("the node to follow", lambda: node.wants("events", 0))
        assert node.position("events", 0) == 7
        close(desk, space)
        node.submit(CommandBatch("events", 0, 7, [], 9))
        assert node.position("events", 0) == 9
        await until("it to be archived", is_clear(desk))
    check_whole(desk, uri)


async def test_v5_killed_at_every_step_it_goes_on(tmp_path: Path) -> None:
    """Killed at the k-th write to the disk or report: the archive equals a fold of the log."""
    is_killed = True
    k = 0
    while is_killed:
        k += 1
        desk = Desk()
        uri = (tmp_path / str(k)).as_uri()
        space = archiving(uri)
        for steps in (0, 3):
            close(desk, space, steps=steps)
        is_killed = await _die(desk, uri, k)
        async with running(Calls(desk), Folders(), space):
            await until("all to be archived", is_clear(desk))
        check_whole(desk, uri)
    assert k > 20


async def _die(desk: Desk, uri: str, k: int) -> bool:
    """Run until the k-th step, which kills; False: there are not so many."""
    step = Countdown(k)
    calls, archives = Calls(desk), Folders()
    archives.disks[uri] = CrashingDisk(step)

    def report(method: str) -> None:
        if method == "Archived":
            step()

    calls.before = calls.after = report
    async with running(calls, archives, archiving(uri)) as node:
        clear = asyncio.ensure_future(until("all to be archived", is_clear(desk)))
        await asyncio.wait({clear, node.failed}, return_when=asyncio.FIRST_COMPLETED)
        clear.cancel()
        if not node.failed.done():
            return False
        assert isinstance(node.failed.exception(), Crash)
        return True


class FullDisk(Disk):
    """A disk that takes nothing while it is full."""

    is_full = True

    def create(self, path: Path, mode: int) -> BinaryIO:
        """See Disk."""
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().create(path, mode)


async def test_an_archive_that_is_away_holds_up_its_namespace_only(tmp_path: Path) -> None:
    """Its runs wait, counted; the other's are archived; once it is back, nothing is lost."""
    desk = Desk()
    near, far = (tmp_path / "near").as_uri(), (tmp_path / "far").as_uri()
    here, there = archiving(near), archiving(far, OTHER)
    close(desk, there)
    close(desk, here)
    archives = Folders()
    disk = archives.disks[far] = FullDisk()
    async with running(Calls(desk), archives, here, there) as node:
        await until("the other to be archived", lambda: backlog(desk).waiting == {OTHER.id: 1})
        await until("several tries", lambda: node.counts.failures.value > 2)
        await until("the backlog to be shown", lambda: _shown(node) == [1.0])
        disk.is_full = False
        await until("all to be archived", is_clear(desk))
        await until("the backlog to be shown", lambda: _shown(node) == [0.0])
    assert node.counts.set_aside.value == 0
    desk.check()


BROKEN = {"manifests/0999999999999.json": b"{"}
"""A lake that somebody has written something else into."""
ODD = {"manifests/0999999999999.json": b'{"number": 1, "segments": [{"key": "k"}]}'}
"""And one that holds something that is not what it says."""


@pytest.mark.parametrize("lake", [BROKEN, ODD])
async def test_a_damaged_archive_does_not_end_the_node(
    tmp_path: Path, lake: dict[str, bytes]
) -> None:
    """Its runs wait until somebody has repaired it; other namespaces are archived."""
    desk = Desk()
    near, far = (tmp_path / "near").as_uri(), (tmp_path / "far").as_uri()
    here, there = archiving(near), archiving(far, OTHER)
    close(desk, there)
    close(desk, here)
    folder = tmp_path / "far" / "millrace" / OTHER.id
    for name, body in lake.items():
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(body)
    async with running(Calls(desk), Folders(), here, there) as node:
        await until("the other to be archived", lambda: backlog(desk).waiting == {OTHER.id: 1})
        await until("several tries", lambda: node.counts.failures.value > 2)
        for name in lake:
            (folder / name).unlink()
        await until("all to be archived", is_clear(desk))
    assert not node.failed.done()
    desk.check()


class RaisingArchives(Folders):
    """Archives that raise what nobody foresaw, for a while."""

    left = 3

    async def archive(
        self, history_uri: str, visibility_uri: str, runs: list[ClosedRun]
    ) -> list[Outcome]:
        """See Archives."""
        if self.left:
            self.left -= 1
            raise ValueError("not what was expected")
        return await super().archive(history_uri, visibility_uri, runs)


async def test_a_bug_in_an_archive_costs_a_batch_only(uri: str) -> None:
    """It is tried again later; the node goes on."""
    desk = Desk()
    space = archiving(uri)
    close(desk, space)
    async with running(Calls(desk), RaisingArchives(), space) as node:
        await until("all to be archived", is_clear(desk))
        assert not node.failed.done()
    check_whole(desk, uri)


class StuckDisk(Disk):
    """A disk that does not answer until it is freed."""

    def __init__(self) -> None:
        self.freed = threading.Event()

    def create(self, path: Path, mode: int) -> BinaryIO:
        """See Disk."""
        self.freed.wait()
        return super().create(path, mode)


async def test_an_archive_that_hangs_holds_up_its_namespace_only(tmp_path: Path) -> None:
    """What closes elsewhere is archived meanwhile."""
    desk = Desk()
    near, far = (tmp_path / "near").as_uri(), (tmp_path / "far").as_uri()
    here, there = archiving(near), archiving(far, OTHER)
    close(desk, there)
    archives = Folders()
    disk = archives.disks[far] = StuckDisk()
    async with running(Calls(desk), archives, here, there) as node:
        await until("the node to follow", lambda: node.wants("events", 0))
        for _ in range(2):
            close(desk, here)
            node.submit(CommandBatch("events", 0, 7, [], 9))
            await until("it to be archived", lambda: backlog(desk).waiting == {OTHER.id: 1})
        disk.freed.set()
        await until("all to be archived", is_clear(desk))
    assert node.counts.failures.value == 0
    desk.check()


def _shown(node: ArchivalNode) -> list[float]:
    """Return the backlog of each partition, as metrics show it."""
    metrics = Metrics()
    node.counts.show(metrics)
    name = "millrace_streams_archival_backlog_runs"
    families = [family for family in metrics.collect() if family.name == name]
    return [sample.value for family in families for sample in family.samples]


class Counting(Folders):
    """Archives that note how many runs they were given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def archive(
        self, history_uri: str, visibility_uri: str, runs: list[ClosedRun]
    ) -> list[Outcome]:
        """See Archives."""
        self.sizes.append(len(runs))
        return await super().archive(history_uri, visibility_uri, runs)


async def test_a_backlog_is_worked_off_in_bounded_parts(uri: str) -> None:
    """However much waits after an outage, so much is in memory at once, and none is left out."""
    desk = Desk()
    space = archiving(uri)
    for _ in range(20):
        close(desk, space)
    archives = Counting()
    disk = archives.disks[uri] = FullDisk()
    settings = replace(SETTINGS, batch_runs_count=3)
    async with running(Calls(desk), archives, space, settings=settings) as node:
        await until("some tries", lambda: node.counts.failures.value > 9)
        assert backlog(desk).waiting == {NAMESPACE.id: 20}
        disk.is_full = False
        await until("all to be archived", is_clear(desk))
    assert max(archives.sizes) == 3
    check_whole(desk, uri)


async def test_a_poison_run_is_set_aside_and_the_rest_goes_on(uri: str) -> None:
    """With its reason, at its owner; when somebody has it tried again it is archived."""
    desk = Desk()
    space = archiving(uri)
    poison = close(desk, space)
    archive = open_archive(uri, SETTINGS)
    _occupy(archive, poison)
    rest = [close(desk, space) for _ in range(3)]
    async with running(Calls(desk), Folders(), space) as node:
        await until("the rest to be archived", is_clear(desk))
        assert node.counts.archived.value == len(rest)
        (aside,) = backlog(desk).set_aside
        assert (aside.run_id, aside.reason) == (poison, "history was mutated")
        assert desk.run(poison).execution.awaits_archive
    for run_id in rest:
        assert stored(archive, run_id) == folded(desk)[run_id]
    archive.close()
    desk.check()


def _occupy(archive: Archive, run_id: str) -> None:
    """Put another history where this run's belongs."""
    archive.archive_history(closed_run(RunKey(NAMESPACE.id, "w", run_id)))


async def test_a_long_history_is_never_whole_in_memory(uri: str) -> None:
    """It is asked for in parts while it is written."""
    desk = Desk()
    space = archiving(uri)
    close(desk, space, steps=12)
    calls = Calls(desk)
    settings = replace(SETTINGS, batch_bytes=1_000)
    async with running(calls, Folders(), space, settings=settings):
        await until("it to be archived", is_clear(desk))
    assert calls.asked["ClosedRun"] >= 1
    check_whole(desk, uri)


async def test_an_owner_that_is_lost_in_the_middle_is_asked_again(uri: str) -> None:
    """Neither the run nor its archive is to blame: nothing is set aside or passed over."""
    desk = Desk()
    space = archiving(uri)
    close(desk, space, steps=12)
    calls = Calls(desk)
    left = {"Waiting": 1, "ClosedRun": 1, "Archived": 1}

    def fail(method: str) -> None:
        if left.get(method, 0):
            left[method] -= 1
            raise NotTheOwner("moved") if method != "Archived" else Unavailable("no log")

    calls.before = fail
    settings = replace(SETTINGS, batch_bytes=1_000)
    async with running(calls, Folders(), space, settings=settings) as node:
        await until("it to be archived", is_clear(desk))
        assert node.counts.failures.value == node.counts.set_aside.value == 0
    assert left == {"Waiting": 0, "ClosedRun": 0, "Archived": 0}
    check_whole(desk, uri)


async def test_paused_it_archives_nothing_and_counts_the_backlog(uri: str) -> None:
    """What closes meanwhile waits at its owner, for as long as it takes."""
    desk = Desk()
    space = archiving(uri)
    close(desk, space)
    settings = replace(SETTINGS, state="paused")
    async with running(Calls(desk), Folders(), space, settings=settings) as node:
        await until("the backlog to be shown", lambda: _shown(node) == [1.0])
        assert node.counts.archived.value == 0
    async with running(Calls(desk), Folders(), space):
        await until("it to be archived", is_clear(desk))
    check_whole(desk, uri)


async def test_where_nobody_archives_nothing_is_asked_or_read() -> None:
    """A server without archives does not pay for them."""
    calls = Calls(Desk())
    async with running(calls, Folders(), NAMESPACE) as node:
        await asyncio.sleep(0)
        assert not node.wants("events", 0)
        with pytest.raises(NotTheOwner):
            node.position("events", 0)
    assert not calls.asked


async def test_a_partition_that_moved_away_is_left_alone(uri: str) -> None:
    """Another node has it now."""
    desk = Desk()
    space = archiving(uri)
    async with running(Calls(desk), Folders(), space) as node:
        await until("the node to follow", lambda: node.wants("events", 0))
        node.assigned(set(), 2)
        assert not node.wants("events", 0)
        close(desk, space)
        node.submit(CommandBatch("events", 0, 7, [], 9))
    assert backlog(desk).waiting == {NAMESPACE.id: 1}
