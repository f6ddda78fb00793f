"""Rows of what is deleted: erased in bounded steps, after a crash too, never under the outbox."""

import pytest

from streams.log.erasing import PREFIX, Erasing
from streams.log.outbox_rows import OutboxRows
from tests.simulation.stores import Disk, SimStore
from tests.support.core import MemoryRows
from topology.core import Core

RUNS = [f"00000000-0000-7000-8000-{number:012x}" for number in range(5)]
OTHER = "00000000-0000-7000-8000-ffffffffffff"


class Scene:
    """A store with deleted runs of so many rows of each kind, and one that is there."""

    def __init__(self, rows_count: int = 3) -> None:
        self.disk = Disk()
        self.store = SimStore(self.disk, lambda: True, self._count)
        self.outbox = OutboxRows()
        self.writes = 0
        for run_id in (*RUNS, OTHER):
            for kind in ("r", "q", "h"):
                self.store.write(
                    {f"{kind}{run_id}{n:04}".encode(): b"v" for n in range(rows_count)}
                )
        self.writes = 0

    def _count(self) -> None:
        self.writes += 1

    def begin(self) -> Erasing:
        """Return what a new owner has."""
        return Erasing(self.store, Core(MemoryRows()), self.outbox)

    def delete(self, erasing: Erasing, seq: int, *runs: str) -> None:
        """Delete runs as a transition does."""
        rows: dict[bytes, bytes | None] = {PREFIX + run_id.encode(): b"" for run_id in runs}
        self.store.write(rows)
        erasing.put(seq, rows)

    def left(self) -> set[str]:
        """Return the runs that have rows."""
        return {key[1:37].decode() for key in self.disk.keys}


@pytest.mark.parametrize("rows_count", [3, 256, 700])
def test_rows_of_deleted_runs_go_and_no_others(rows_count: int) -> None:
    """However many they are."""
    scene = Scene(rows_count)
    erasing = scene.begin()
    scene.delete(erasing, 7, *RUNS)
    while erasing.may_step():
        erasing.step(2)
    assert scene.left() == {OTHER}
    assert len(scene.disk.keys) == 3 * rows_count


def test_a_step_is_bounded() -> None:
    """So many runs at a time, whatever waits."""
    scene = Scene()
    erasing = scene.begin()
    scene.delete(erasing, 7, *RUNS)
    erasing.step(2)
    assert scene.left() == {*RUNS[2:], OTHER}


def test_a_large_run_costs_few_writes() -> None:
    """Its rows go by a mark for each kind, not one by one."""
    scene = Scene(5_000)
    erasing = scene.begin()
    scene.delete(erasing, 7, RUNS[0])
    scene.writes = 0
    erasing.step(1)
    assert RUNS[0] not in scene.left()
    assert scene.writes == 4  # three marks, and that it is done


def test_a_crash_loses_nothing() -> None:
    """A new life finds what the former one had not erased."""
    scene = Scene()
    erasing = scene.begin()
    scene.delete(erasing, 7, *RUNS)
    erasing.step(1)
    again = scene.begin()
    again.load(9)
    assert again.is_waiting()
    again.step(10)
    assert scene.left() == {OTHER}
    assert not again.is_waiting()


def test_l15_nothing_goes_that_an_effect_may_quote() -> None:
    """While the outbox has a row of the deletion or of what was before, its rows stay."""
    scene = Scene()
    erasing = scene.begin()
    rows: dict[bytes, bytes | None] = {}
    for seq in (5, 9):
        scene.outbox.put(seq, [], rows)
        scene.outbox.on_accepted(seq)
    scene.delete(erasing, 7, RUNS[0])
    assert erasing.is_waiting()
    assert not erasing.may_step()
    scene.outbox.delete(5, rows)
    assert erasing.may_step()
    erasing.step(1)
    assert RUNS[0] not in scene.left()
