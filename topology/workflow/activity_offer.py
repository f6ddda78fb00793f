"""Offers of activities, and the answer that a poll gets when it has one.

The answer is built from the stored Scheduled event; nothing of it is kept in the state twice.
"""

from schemas.instants import timestamp_of
from schemas.temporal import history, service
from topology import tokens
from topology.decision import Rows
from topology.effects import OfferTask
from topology.tokens import Token
from topology.turn import Turn
from topology.workflow import activity_deadlines, histories, keys, priorities
from topology.workflow.state import Activity, Execution


def offer(turn: Turn, activity: Activity) -> None:
    """Offer an attempt to the workers of its task queue."""
    row = turn.execution
    turn.request(
        OfferTask(
            namespace_id=row.namespace_id,
            namespace=row.namespace,
            queue=activity.queue,
            kind="activity",
            workflow_id=row.workflow_id,
            run_id=row.run_id,
            scheduled_event_id=activity.scheduled_event_id,
            attempt=activity.attempt,
            stamp=activity.stamp,
            scheduled_at=activity.scheduled_at,
            expires_at=activity_deadlines.offer_expires_at(activity),
            priority=priorities.level(row.priority, activity.priority),
        )
    )


def poll_answer(row: Execution, activity: Activity, rows: Rows) -> bytes:
    """Return the PollActivityTaskQueueResponse of a started attempt."""
    given = _scheduled(row, activity, rows)
    answer = service.PollActivityTaskQueueResponse(
        task_token=_token(row, activity),
        workflow_namespace=row.namespace,
        activity_id=activity.activity_id,
        attempt=activity.attempt,
        scheduled_time=timestamp_of(activity.first_scheduled_at),
        current_attempt_scheduled_time=timestamp_of(activity.scheduled_at),
        started_time=timestamp_of(activity.started_at),
        schedule_to_close_timeout=given.schedule_to_close_timeout,
        start_to_close_timeout=given.start_to_close_timeout,
        heartbeat_timeout=given.heartbeat_timeout,
        retry_policy=given.retry_policy,
    )
    answer.workflow_type.name = row.workflow_type
    answer.workflow_execution.workflow_id = row.workflow_id
    answer.workflow_execution.run_id = row.run_id
    answer.activity_type.CopyFrom(given.activity_type)
    for field in ("header", "input"):
        if given.HasField(field):
            getattr(answer, field).CopyFrom(getattr(given, field))
    priority = priorities.merged(row.priority, activity.priority)
    if priority is not None:
        answer.priority.CopyFrom(priority)
    if activity.heartbeat_details:
        answer.heartbeat_details.ParseFromString(activity.heartbeat_details)
    return answer.SerializeToString()


def _scheduled(
    row: Execution, activity: Activity, rows: Rows
) -> history.ActivityTaskScheduledEventAttributes:
    batch_id = activity.scheduled_batch_id
    batch = rows.get(keys.batch_key(row.run_id, batch_id))
    assert batch is not None, f"expected batch {batch_id} of run {row.run_id}, found none"
    event = histories.event_of(batch, activity.scheduled_event_id - batch_id)
    return event.activity_task_scheduled_event_attributes


def _token(row: Execution, activity: Activity) -> bytes:
    return tokens.pack(
        Token(
            namespace_id=row.namespace_id,
            workflow_id=row.workflow_id,
            run_id=row.run_id,
            kind="activity",
            scheduled_event_id=activity.scheduled_event_id,
            attempt=activity.attempt,
            started_event_id=0,
            stamp=activity.stamp,
            activity_id=activity.activity_id,
            heartbeat_timeout=activity.heartbeat_timeout,
        )
    )
