"""A consumer that silently stopped is found; whatever else stands still is not one."""

import pytest

from streams.watchdog import PATIENCE_S, Stalled, Watchdog

HERE = ("commands", 0)


class Scene:
    """A consumer's positions, a topic's end, and a clock, set by the tests."""

    def __init__(self) -> None:
        self.positions = {HERE: 5}
        self.end_offset = 9
        self.is_wanted = True
        self.at = 0.0
        self.watchdog = Watchdog(
            lambda: self.positions, lambda *_: self.is_wanted, end=self.end, clock=self
        )

    async def end(self, topic: str, partition: int) -> int:
        """Return the end."""
        assert (topic, partition) == HERE
        return self.end_offset

    def now(self) -> int:
        """Return nothing anybody asks for."""
        return 0

    def monotonic(self) -> float:
        """Return the time."""
        return self.at

    async def look_later(self) -> None:
        """Look, wait for longer than patience lasts, and look again."""
        await self.watchdog.look()
        self.at += PATIENCE_S
        await self.watchdog.look()


async def test_a_stalled_partition_is_found() -> None:
    """It is wanted, it has records, and its position stands."""
    with pytest.raises(Stalled, match="commands-0 to be read on to 9, found it at 5 for 30 s"):
        await Scene().look_later()


async def test_a_partition_at_its_end_is_idle() -> None:
    """And its patience begins anew with the first record."""
    scene = Scene()
    scene.end_offset = 5
    await scene.look_later()
    scene.end_offset = 6
    scene.at += 1
    await scene.watchdog.look()


async def test_a_position_that_moves_is_progress() -> None:
    """However far the end is."""
    scene = Scene()
    await scene.watchdog.look()
    scene.at += PATIENCE_S
    scene.positions = {HERE: 6}
    await scene.watchdog.look()


async def test_what_is_not_wanted_may_stand() -> None:
    """Back-pressure is ours; patience begins when it ends."""
    scene = Scene()
    await scene.watchdog.look()
    scene.is_wanted = False
    scene.at += PATIENCE_S
    await scene.watchdog.look()
    scene.is_wanted = True
    await scene.watchdog.look()


async def test_what_was_lost_is_not_watched() -> None:
    """Another node reads it now; if it comes back, patience begins anew."""
    scene = Scene()
    await scene.watchdog.look()
    scene.positions = {}
    scene.at += PATIENCE_S
    await scene.watchdog.look()
    scene.positions = {HERE: 5}
    await scene.watchdog.look()
