"""An event loop whose clock jumps to the next timer: minutes of pauses take no time."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Loop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self._jumped_s = 0.0

    def time(self) -> float:
        """Seconds of the virtual clock."""
        return self._jumped_s

    def _run_once(self) -> None:
        timers = [timer for timer in self._scheduled if not timer._cancelled]  # type: ignore[attr-defined]
        if not self._ready and timers:  # type: ignore[attr-defined]
            self._jumped_s = max(self._jumped_s, min(timer._when for timer in timers))
        super()._run_once()  # type: ignore[misc]


def run_virtually(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario on the virtual clock."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(scenario)
