"""What befalls nodes: killed, frozen for longer than their session, told to stop. From one seed."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from tests.support.millrace_server import MillraceServer

SESSION_TIMEOUT_S = 6.0
WORST_COUNT = 2
"""So many nodes are in trouble at once at most."""


class Faults:
    """Draws faults for nodes, one after the other and some at once."""

    def __init__(self, nodes: Sequence[MillraceServer], *, seed: int) -> None:
        self._nodes = list(nodes)
        self._random = random.Random(seed)
        self._troubled: dict[MillraceServer, asyncio.Task[None]] = {}
        self.counts: Counter[str] = Counter()
        self.longest_stop_s = 0.0
        self.story: list[str] = []
        """What happened when, in seconds from the beginning."""
        self._began_at = time.monotonic()

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Draw faults until it is over, then until every node runs again.

        Raises AssertionError where a node ended by itself, or not as it was told.
        """
        try:
            while not is_over():
                await self._draw()
                await self._looked(self._random.uniform(0.5, 3.0))
        finally:
            if self._troubled:
                await asyncio.wait(self._troubled.values())
        await self._looked(0)

    async def _draw(self) -> None:
        kind = self._random.choice((self._kill, self._freeze, self._stop))
        node, delay_s = self._random.choice(self._nodes), self._random.random()
        if node in self._troubled or len(self._troubled) >= WORST_COUNT:
            return
        self.counts[kind.__name__.strip("_")] += 1
        self._tell(node, kind.__name__.strip("_"))
        self._troubled[node] = asyncio.create_task(self._befall(kind, node, delay_s))

    async def _befall(
        self,
        kind: Callable[[MillraceServer, float], Awaitable[None]],
        node: MillraceServer,
        share: float,
    ) -> None:
        await kind(node, share)
        self._tell(node, "runs")

    def _tell(self, node: MillraceServer, what: str) -> None:
        passed_s = time.monotonic() - self._began_at
        self.story.append(f"{passed_s:.1f} node {self._nodes.index(node)}: {what}")

    async def _looked(self, seconds: float) -> None:
        """Pass some time, and see how the nodes are."""
        await asyncio.sleep(seconds)
        for node, task in list(self._troubled.items()):
            if task.done():
                del self._troubled[node]
                task.result()
        for node in self._nodes:
            if node not in self._troubled:
                code = node.exit_code
                assert code is None, (
                    f"a node ended by itself with {code}: {node.stderr[-2000:]}; {self.story}"
                )

    async def _kill(self, node: MillraceServer, share: float) -> None:
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(4 * share if share > 0.3 else 0)
        self._tell(node, "started again")
        await asyncio.to_thread(node.start)

    async def _freeze(self, node: MillraceServer, share: float) -> None:
        node.send(signal.SIGSTOP)
        await asyncio.sleep(SESSION_TIMEOUT_S + 1 + 3 * share)
        node.send(signal.SIGCONT)

    async def _stop(self, node: MillraceServer, share: float) -> None:
        began_at = time.monotonic()
        code = await asyncio.to_thread(node.stop)
        self.longest_stop_s = max(self.longest_stop_s, time.monotonic() - began_at)
        assert code == 0, f"expected a node to stop with 0, found {code}: {node.stderr[-2000:]}"
        await asyncio.sleep(2 * share)
        self._tell(node, "started again")
        await asyncio.to_thread(node.start)
