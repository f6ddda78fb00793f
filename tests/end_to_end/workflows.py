"""The workflows and activities of the tests; the SDK's sandbox imports this file anew."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

SOON = timedelta(seconds=10)


@activity.defn
async def greet(name: str) -> str:
    """Return a greeting."""
    return f"Hello, {name}!"


@activity.defn
async def succeed_on_third() -> int:
    """Fail twice, then return the attempt."""
    attempt = activity.info().attempt
    if attempt < 3:
        raise ApplicationError(f"attempt {attempt} fails")
    return attempt


@activity.defn
async def fail_for_good() -> None:
    """Fail without another attempt."""
    raise ApplicationError("no use", "detail", type="Hopeless", non_retryable=True)


@activity.defn
async def beat_until_cancelled() -> None:
    """Beat until the server says that the activity is cancelled."""
    while True:
        activity.heartbeat("alive")
        await asyncio.sleep(0.1)


@activity.defn
async def remember_beats() -> str:
    """Beat once and fail; the second attempt returns what the first one said."""
    if activity.info().attempt == 1:
        activity.heartbeat("from the first attempt")
        raise ApplicationError("once more")
    return str(activity.info().heartbeat_details[0])


@activity.defn
async def leave_to_others() -> str:
    """Be ended by somebody who knows the workflow's id and the activity's."""
    activity.raise_complete_async()


@activity.defn
async def hang() -> None:
    """Never end, never beat."""
    await asyncio.Event().wait()


@workflow.defn
class Greet:
    """One activity."""

    @workflow.run
    async def run(self, name: str) -> str:
        """Return what the activity returned."""
        return await workflow.execute_activity(greet, name, start_to_close_timeout=SOON)


@workflow.defn
class Echo:
    """No activity at all."""

    @workflow.run
    async def run(self, word: str) -> str:
        """Return the argument."""
        return word


@workflow.defn
class Fail:
    """Fails."""

    @workflow.run
    async def run(self) -> None:
        """Fail with a type and a detail."""
        raise ApplicationError("as planned", 42, type="Planned")


@workflow.defn
class Activities:
    """Runs an activity by name with quick retries."""

    @workflow.run
    async def run(self, name: str) -> Any:
        """Return what the activity returned."""
        return await workflow.execute_activity(
            name,
            start_to_close_timeout=SOON,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50)),
        )


@workflow.defn
class ActivityTimeout:
    """Runs an activity that hangs, under one short timeout."""

    @workflow.run
    async def run(self, which: str) -> None:
        """Wait for the timeout."""
        short = timedelta(milliseconds=500)
        await workflow.execute_activity(
            hang,
            task_queue="nobody-polls-here" if which == "schedule_to_start" else None,
            start_to_close_timeout=short if which == "start_to_close" else SOON,
            schedule_to_close_timeout=short if which == "schedule_to_close" else None,
            schedule_to_start_timeout=short if which == "schedule_to_start" else None,
            heartbeat_timeout=short if which == "heartbeat" else None,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


@workflow.defn
class CancelActivity:
    """Starts a beating activity and cancels it on a signal."""

    def __init__(self) -> None:
        self._is_told = False

    @workflow.run
    async def run(self) -> str:
        """Return how the activity ended."""
        running = workflow.start_activity(
            beat_until_cancelled,
            start_to_close_timeout=timedelta(seconds=60),
            heartbeat_timeout=timedelta(seconds=5),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.wait_condition(lambda: self._is_told)
        running.cancel()
        try:
            await running
        except ActivityError as error:
            return type(error.__cause__).__name__
        return "completed"

    @workflow.signal
    def cancel_it(self) -> None:
        """Cancel the activity."""
        self._is_told = True


@workflow.defn
class LeaveToOthers:
    """Starts an activity, id `by-hand`, that others end; asks for its end when it is cancelled."""

    @workflow.run
    async def run(self) -> str:
        """Return the activity's result, or how it ended."""
        running = workflow.start_activity(
            leave_to_others,
            activity_id="by-hand",
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        try:
            return await running
        except ActivityError as error:
            return f"{type(error.__cause__).__name__}: {error.__cause__}"


@workflow.defn
class Sleep:
    """One timer."""

    @workflow.run
    async def run(self, seconds: float) -> str:
        """Sleep."""
        await asyncio.sleep(seconds)
        return "awake"


@workflow.defn
class Collect:
    """Collects signals until the last one."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._is_over = False

    @workflow.run
    async def run(self) -> list[str]:
        """Return the words in the order they came."""
        await workflow.wait_condition(lambda: self._is_over)
        return self._words

    @workflow.signal
    def add(self, word: str) -> None:
        """Take a word."""
        self._words.append(word)

    @workflow.signal
    def end(self) -> None:
        """End."""
        self._is_over = True


@workflow.defn
class Answering:
    """Collects signals and answers queries."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._is_over = False

    @workflow.run
    async def run(self) -> int:
        """Return how many words came."""
        await workflow.wait_condition(lambda: self._is_over)
        return len(self._words)

    @workflow.signal
    def add(self, word: str) -> None:
        """Take a word."""
        self._words.append(word)

    @workflow.signal
    def end(self) -> None:
        """End."""
        self._is_over = True

    @workflow.query
    def words(self) -> list[str]:
        """Return the words so far."""
        return self._words

    @workflow.query
    def broken(self) -> str:
        """Fail."""
        raise ApplicationError("no answer", type="Broken")


@workflow.defn
class CleanUp:
    """Waits for its cancellation and cleans up behind it."""

    @workflow.run
    async def run(self) -> str:
        """Return what was cleaned."""
        try:
            await workflow.wait_condition(lambda: False)
        except asyncio.CancelledError:
            return await workflow.execute_activity(greet, "mop", start_to_close_timeout=SOON)
        return "never"


@workflow.defn
class Steps:
    """Many activities one after the other, with a signal between: a run that outlives a crash."""

    def __init__(self) -> None:
        self._allowed = 0

    @workflow.run
    async def run(self, steps: int) -> list[str]:
        """Return all results."""
        results = []
        for step in range(steps):
            await self._allowed_beyond(step)
            results.append(
                await workflow.execute_activity(greet, str(step), start_to_close_timeout=SOON)
            )
        return results

    async def _allowed_beyond(self, step: int) -> None:
        await workflow.wait_condition(lambda: self._allowed > step)

    @workflow.signal
    def allow(self, count: int) -> None:
        """Let it take so many steps."""
        self._allowed = count


WORKFLOWS = [
    Activities,
    ActivityTimeout,
    Answering,
    CancelActivity,
    CleanUp,
    Collect,
    Echo,
    Fail,
    Greet,
    LeaveToOthers,
    Sleep,
    Steps,
]
ACTIVITIES: list[Callable[..., Any]] = [
    beat_until_cancelled,
    fail_for_good,
    greet,
    hang,
    leave_to_others,
    remember_beats,
    succeed_on_third,
]
