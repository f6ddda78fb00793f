"""A worker for a test, on a task queue of its own."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from tests.end_to_end.workflows import ACTIVITIES, WORKFLOWS

DEADLINE_S = 30.0
_POLL_S = 0.02


def fresh(name: str) -> str:
    """Return an id that no other test has."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def working(
    client: Client, queue: str = "", *, is_caching: bool = True
) -> AsyncIterator[str]:
    """Run a worker of all workflows and activities; yield its task queue.

    A worker that caches runs has a sticky queue; when it is gone, the server waits for it a while.
    """
    queue = queue or fresh("queue")
    worker = Worker(
        client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=ACTIVITIES,
        max_cached_workflows=1000 if is_caching else 0,
        max_heartbeat_throttle_interval=timedelta(milliseconds=200),
    )
    async with worker:
        yield queue


async def until(condition: Callable[[], Awaitable[bool]], claim: str) -> None:
    """Wait for a condition to hold; fail with the claim when it does not in time."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await condition():  # noqa: ASYNC110  # it holds in another process
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise AssertionError(f"expected within {DEADLINE_S:g} s: {claim}") from None
