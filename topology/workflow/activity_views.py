"""How DescribeWorkflowExecution shows a pending activity."""

from schemas.instants import duration_of, timestamp_of
from schemas.temporal import activity as activities
from schemas.temporal import enums, workflow
from topology.workflow import retry
from topology.workflow.state import Activity

_State = enums.PendingActivityState


def pending_view(activity: Activity) -> workflow.PendingActivityInfo:
    """Return an activity as Describe shows it."""
    view = workflow.PendingActivityInfo(
        activity_id=activity.activity_id,
        state=_state_of(activity),
        attempt=activity.attempt,
        maximum_attempts=activity.retry.maximum_attempts,
        scheduled_time=timestamp_of(activity.scheduled_at),
        last_worker_identity=activity.identity,
    )
    view.activity_type.name = activity.activity_type
    if activity.heartbeat_at:
        view.last_heartbeat_time.CopyFrom(timestamp_of(activity.heartbeat_at))
        view.heartbeat_details.ParseFromString(activity.heartbeat_details)
    if activity.started_at:
        view.last_started_time.CopyFrom(timestamp_of(activity.started_at))
    if activity.last_completed_at:
        view.last_attempt_complete_time.CopyFrom(timestamp_of(activity.last_completed_at))
    if activity.expires_at:
        view.expiration_time.CopyFrom(timestamp_of(activity.expires_at))
    if activity.last_failure:
        view.last_failure.ParseFromString(activity.last_failure)
    if view.state == _State.PENDING_ACTIVITY_STATE_SCHEDULED:
        _show_interval(activity, view)
    if activity.priority:
        view.priority.ParseFromString(activity.priority)
    _show_options(activity, view.activity_options)
    return view


def _state_of(activity: Activity) -> enums.PendingActivityState.ValueType:
    if activity.cancel_requested_event_id:
        return _State.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
    if activity.phase == "started":
        return _State.PENDING_ACTIVITY_STATE_STARTED
    return _State.PENDING_ACTIVITY_STATE_SCHEDULED


def _show_interval(activity: Activity, view: workflow.PendingActivityInfo) -> None:
    """Show the backoff that runs, or the one that would follow this attempt."""
    if activity.phase == "backing_off":
        view.next_attempt_schedule_time.CopyFrom(timestamp_of(activity.scheduled_at))
        interval = activity.scheduled_at - activity.last_completed_at
    else:
        interval = retry.interval_of(activity.retry, activity.attempt)
    view.current_retry_interval.CopyFrom(duration_of(interval))


def _show_options(activity: Activity, options: activities.ActivityOptions) -> None:
    options.task_queue.name = activity.queue
    options.task_queue.normal_name = activity.queue
    options.schedule_to_close_timeout.CopyFrom(duration_of(activity.schedule_to_close_timeout))
    options.schedule_to_start_timeout.CopyFrom(duration_of(activity.schedule_to_start_timeout))
    options.start_to_close_timeout.CopyFrom(duration_of(activity.start_to_close_timeout))
    options.heartbeat_timeout.CopyFrom(duration_of(activity.heartbeat_timeout))
    if activity.priority:
        options.priority.ParseFromString(activity.priority)
    policy = options.retry_policy
    policy.initial_interval.CopyFrom(duration_of(activity.retry.initial_interval))
    policy.backoff_coefficient = activity.retry.backoff_coefficient
    policy.maximum_interval.CopyFrom(duration_of(activity.retry.maximum_interval))
    policy.maximum_attempts = activity.retry.maximum_attempts
