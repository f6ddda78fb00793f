"""The workflows of `long_runs.py`."""

import asyncio
from datetime import timedelta

from temporalio import workflow

_TIMERS = 995
"""So many timers a round make 2,000 events, with its workflow tasks."""


@workflow.defn
class Timers:
    """Rounds of timers, then it waits for its end."""

    def __init__(self) -> None:
        self._rounds = 0
        self._is_over = False

    @workflow.run
    async def run(self, rounds: int) -> int:
        """Return the rounds."""
        for _ in range(rounds):
            naps = (workflow.sleep(timedelta(milliseconds=1)) for _ in range(_TIMERS))
            await asyncio.gather(*naps)
            self._rounds += 1
        await workflow.wait_condition(lambda: self._is_over)
        return self._rounds

    @workflow.query
    def rounds(self) -> int:
        """Return the rounds so far."""
        return self._rounds

    @workflow.signal
    def end(self) -> None:
        """End."""
        self._is_over = True


@workflow.defn
class Parent:
    """Starts children at once and waits for all."""

    @workflow.run
    async def run(self, count: int) -> int:
        """Return how many ended."""
        own_id = workflow.info().workflow_id
        ended = await asyncio.gather(
            *(
                workflow.execute_child_workflow(Child.run, id=f"{own_id}/{number}")
                for number in range(count)
            )
        )
        return sum(ended)


@workflow.defn
class Child:
    """Ends at once."""

    @workflow.run
    async def run(self) -> int:
        """Return one."""
        return 1
