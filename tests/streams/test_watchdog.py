"""A consumer that silently stopped is found; whatever else stands still is not one."""

import pytest

from streams.watchdog import PATIENCE_LOOKS, Stalled, Watchdog

HERE = ("commands", 0)


class Scene:
    """A consumer's positions and a topic's end, set by the tests."""

    def __init__(self) -> None:
        self.positions = {HERE: 5}
        self.end_offset = 9
        self.is_wanted = True
        self.watchdog = Watchdog(lambda: self.positions, lambda *_: self.is_wanted, end=self.end)

    async def end(self, topic: str, partition: int) -> int:
        """Return the end."""
        assert (topic, partition) == HERE
        return self.end_offset

    async def look(self, times: int = PATIENCE_LOOKS) -> None:
        """Look so often: once less than a stall takes."""
        for _ in range(times):
            await self.watchdog.look()


async def test_a_stalled_partition_is_found() -> None:
    """It is wanted, it has records, and its position stands."""
    scene = Scene()
    await scene.look()
    said = "commands-0 to be read on to 9, found it at 5 in 4 looks, 10 s apart"
    with pytest.raises(Stalled, match=said):
        await scene.look(1)


async def test_a_partition_at_its_end_is_idle() -> None:
    """And its patience begins with the first record, which may have come this very moment."""
    scene = Scene()
    scene.end_offset = 5
    await scene.look(10)
    scene.end_offset = 6
    await scene.look(PATIENCE_LOOKS - 1)
    scene.end_offset = 5
    await scene.look(1)
    scene.end_offset = 6
    await scene.look(PATIENCE_LOOKS - 1)


async def test_a_position_that_moves_is_progress() -> None:
    """However far the end is."""
    scene = Scene()
    await scene.look()
    scene.positions = {HERE: 6}
    await scene.look()


async def test_what_is_not_wanted_may_stand() -> None:
    """Back-pressure is ours; patience begins when it ends."""
    scene = Scene()
    await scene.look()
    scene.is_wanted = False
    await scene.look(1)
    scene.is_wanted = True
    await scene.look()


async def test_what_was_lost_is_not_watched() -> None:
    """Another node reads it now, or the group is assigned anew; then patience begins anew."""
    scene = Scene()
    await scene.look()
    scene.positions = {}
    await scene.look(1)
    scene.positions = {HERE: 5}
    await scene.look()
