"""Activities: retries, failures, heartbeats, cancellation, timeouts."""

import pytest
from temporalio import exceptions
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType

from tests.end_to_end.workers import fresh, until, working
from tests.end_to_end.workflows import Activities, ActivityTimeout, CancelActivity


async def test_an_activity_is_retried(client: Client) -> None:
    """Until it succeeds; the attempt is counted."""
    async with working(client) as queue:
        result = await client.execute_workflow(
            Activities.run, "succeed_on_third", id=fresh("retry"), task_queue=queue
        )
    assert result == 3


async def test_a_non_retryable_failure_ends_it(client: Client) -> None:
    """With its type and details."""
    async with working(client) as queue:
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(
                Activities.run, "fail_for_good", id=fresh("fail"), task_queue=queue
            )
    activity = failed.value.cause
    assert isinstance(activity, ActivityError)
    cause = activity.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.details) == ("Hopeless", ("detail",))


async def test_the_next_attempt_sees_the_last_heartbeat(client: Client) -> None:
    """Its details are kept over the retry."""
    async with working(client) as queue:
        result = await client.execute_workflow(
            Activities.run, "remember_beats", id=fresh("beats"), task_queue=queue
        )
    assert result == "from the first attempt"


async def test_a_beating_activity_hears_of_its_cancellation(client: Client) -> None:
    """The answer to a heartbeat says so."""
    async with working(client) as queue:
        handle = await client.start_workflow(
            CancelActivity.run, id=fresh("cancel"), task_queue=queue
        )

        async def is_beating() -> bool:
            pending = (await handle.describe()).raw_description.pending_activities
            return bool(pending and pending[0].HasField("heartbeat_details"))

        await until(is_beating, "the activity beats")
        await handle.signal(CancelActivity.cancel_it)
        assert await handle.result() == "CancelledError"


@pytest.mark.parametrize(
    ("which", "kind"),
    [
        ("start_to_close", TimeoutType.START_TO_CLOSE),
        ("schedule_to_close", TimeoutType.SCHEDULE_TO_CLOSE),
        ("schedule_to_start", TimeoutType.SCHEDULE_TO_START),
        ("heartbeat", TimeoutType.HEARTBEAT),
    ],
)
async def test_each_timeout_of_an_activity_fires(
    client: Client, which: str, kind: TimeoutType
) -> None:
    """And says which one it was."""
    async with working(client) as queue:
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(
                ActivityTimeout.run, which, id=fresh("timeout"), task_queue=queue
            )
    activity = failed.value.cause
    assert isinstance(activity, ActivityError)
    assert isinstance(activity.cause, exceptions.TimeoutError)
    assert activity.cause.type == kind
