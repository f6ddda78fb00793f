"""What is due comes once it is warm (V4)."""

import asyncio

from streams.warmth import rejoin_when_warm
from tests.support.virtual_time import run_virtually


class Group:
    """A group that gives what is due when asked, or keeps it."""

    def __init__(self, due: set[int], *, gives: bool = True) -> None:
        self.due = frozenset(due)
        self.rejoined_at: list[float] = []
        self._gives = gives

    async def rejoin(self) -> None:
        """Count."""
        self.rejoined_at.append(asyncio.get_running_loop().time())
        if self._gives:
            self.due = frozenset()


def test_v4_asks_once_all_that_is_due_is_warm() -> None:
    """Not before, and not again when it got it."""

    async def scenario() -> None:
        group, warm = Group({1, 2}), {1}
        looking = asyncio.ensure_future(rejoin_when_warm(group, lambda: warm))
        await asyncio.sleep(10)
        assert group.rejoined_at == []
        warm.add(2)
        await asyncio.sleep(10)
        assert len(group.rejoined_at) == 1
        looking.cancel()

    run_virtually(scenario())


def test_v4_asks_again_after_a_while_where_nothing_came_of_it() -> None:
    """The leader may have seen another state of affairs."""

    async def scenario() -> None:
        group = Group({1}, gives=False)
        looking = asyncio.ensure_future(rejoin_when_warm(group, lambda: {1}))
        await asyncio.sleep(12)
        looking.cancel()
        assert len(group.rejoined_at) == 3

    run_virtually(scenario())
