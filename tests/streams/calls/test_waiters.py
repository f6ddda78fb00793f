"""Who waits is counted, bounded, and can be ended."""

import asyncio

import pytest

from schemas.errors import ResourceExhausted
from streams.calls.waiters import Waiters


async def _wait(waiters: Waiters, kind: str = "poll", namespace: str = "default") -> str:
    with waiters.waiting(kind, namespace):
        await asyncio.get_running_loop().create_future()
    return "ended"


async def _begun(waiters: Waiters, *, namespace: str = "default") -> asyncio.Task[str]:
    task = asyncio.create_task(_wait(waiters, namespace=namespace))
    await asyncio.sleep(0)
    return task


async def test_c3_waits_are_counted_by_kind() -> None:
    """Counts rise and fall with the waits."""
    waiters = Waiters(limit=2)
    tasks = [await _begun(waiters), await _begun(waiters, namespace="other")]
    assert waiters.counts() == {"poll": 2}
    waiters.end_all()
    assert await asyncio.gather(*tasks) == ["ended", "ended"]
    assert waiters.counts() == {}


async def test_c3_limit_holds_for_each_namespace_and_kind() -> None:
    """A full namespace does not keep another one out, and a place that is left is free again."""
    waiters = Waiters(limit=1)
    first = await _begun(waiters)
    with pytest.raises(ResourceExhausted):
        await _wait(waiters)
    other = await _begun(waiters, namespace="other")
    first.cancel()
    await asyncio.wait([first])
    again = await _begun(waiters)
    waiters.end_all()
    assert await asyncio.gather(other, again) == ["ended", "ended"]


async def test_c7_cancellation_by_the_client_goes_on() -> None:
    """Only a planned stop is swallowed."""
    waiters = Waiters(limit=1)
    task = await _begun(waiters)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_c7_client_who_leaves_during_the_stop_is_still_cancelled() -> None:
    """Both at once: the client's cancellation counts."""
    waiters = Waiters(limit=1)
    task = await _begun(waiters)
    waiters.end_all()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_c7_wait_that_comes_during_the_stop_ends_at_once() -> None:
    """Its client has not heard yet that it should go elsewhere."""
    waiters = Waiters(limit=1)
    waiters.end_all()
    assert await _wait(waiters) == "ended"
    assert waiters.counts() == {}


async def test_c7_error_inside_is_not_swallowed() -> None:
    """A wait that fails as it is ended fails."""
    waiters = Waiters(limit=1)

    async def failing() -> None:
        with waiters.waiting("poll", "default"):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                raise ValueError from None

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    waiters.end_all()
    with pytest.raises(ValueError, match=r"^$"):
        await task
