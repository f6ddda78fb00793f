"""The worker commands about activities: ScheduleActivityTask and RequestCancelActivityTask.

Temporal's defaults and checks (temporal-core 2.6). A cancel of an activity that no worker has
ends it at once; of one that runs, it only asks: its worker hears of it with its next heartbeat.
"""

from typing import NamedTuple

from schemas import event_types as on
from schemas.instants import duration_of, span_of
from schemas.temporal import command, common, enums, history
from topology.turn import Turn
from topology.workflow import activity_end, activity_offer, limits, retry
from topology.workflow.bad_command import BadCommand, check_blob
from topology.workflow.facts import ActivityStarted
from topology.workflow.state import Activity

Wanted = command.ScheduleActivityTaskCommandAttributes

_Cause = enums.WorkflowTaskFailedCause

_BAD_SCHEDULE = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES
_DUPLICATE_ID = _Cause.WORKFLOW_TASK_FAILED_CAUSE_SCHEDULE_ACTIVITY_DUPLICATE_ID
_TOO_MANY = _Cause.WORKFLOW_TASK_FAILED_CAUSE_PENDING_ACTIVITIES_LIMIT_EXCEEDED
_BAD_CANCEL = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES

_NORMAL = enums.TaskQueueKind.TASK_QUEUE_KIND_NORMAL
_RESERVED_PREFIX = "/_sys/"
_NOT_STARTED = b'"ACTIVITY_ID_NOT_STARTED"'


class Timeouts(NamedTuple):
    """The four timeouts of an activity; 0: none."""

    schedule_to_close: int
    schedule_to_start: int
    start_to_close: int
    heartbeat: int


def schedule(
    turn: Turn, attributes: Wanted, worker_command: command.Command, completed_id: int
) -> None:
    """Schedule an activity and offer its first attempt; raises BadCommand."""
    if not worker_command.HasField("schedule_activity_task_command_attributes"):
        raise BadCommand(
            _BAD_SCHEDULE,
            "ScheduleActivityTaskCommandAttributes is not set on ScheduleActivityTaskCommand.",
        )
    policy = retry.with_defaults(attributes.retry_policy)
    _check_names(attributes, policy)
    timeouts = _timeouts_of(attributes, run_timeout=turn.execution.run_timeout)
    _check_room(turn, attributes)
    event = turn.event(on.ACTIVITY_TASK_SCHEDULED)
    given = event.activity_task_scheduled_event_attributes
    given.activity_id = attributes.activity_id
    given.activity_type.CopyFrom(attributes.activity_type)
    given.task_queue.name = attributes.task_queue.name
    given.task_queue.kind = _NORMAL
    for field in ("header", "input", "priority"):
        if attributes.HasField(field):
            getattr(given, field).CopyFrom(getattr(attributes, field))
    given.schedule_to_close_timeout.CopyFrom(duration_of(timeouts.schedule_to_close))
    given.schedule_to_start_timeout.CopyFrom(duration_of(timeouts.schedule_to_start))
    given.start_to_close_timeout.CopyFrom(duration_of(timeouts.start_to_close))
    given.heartbeat_timeout.CopyFrom(duration_of(timeouts.heartbeat))
    given.retry_policy.CopyFrom(policy)
    given.workflow_task_completed_event_id = completed_id
    given.use_workflow_build_id = attributes.use_workflow_build_id
    _copy_metadata(worker_command, event)
    scheduled_event_id = turn.record(event)
    if not is_eager(turn, attributes):
        activity_offer.offer(turn, turn.state.activities[scheduled_event_id])


def is_eager(turn: Turn, attributes: Wanted) -> bool:
    """Whether the worker gets the first attempt with the answer to its completion."""
    return attributes.request_eager_execution and turn.limits.eager_activities


def start_eager(turn: Turn, attributes: Wanted, *, identity: str) -> Activity | None:
    """Start an activity just scheduled for the one who asks; None: it was cancelled meanwhile."""
    for pending in turn.state.activities.values():
        if pending.activity_id == attributes.activity_id and pending.phase == "scheduled":
            event_id = pending.scheduled_event_id
            turn.record(ActivityStarted(event_id, turn.new_id(), identity, turn.now))
            return turn.state.activities[event_id]
    return None


def request_cancel(
    turn: Turn,
    attributes: command.RequestCancelActivityTaskCommandAttributes,
    worker_command: command.Command,
    completed_id: int,
) -> None:
    """Ask for the end of an activity; end it where no worker has it; raises BadCommand."""
    if not worker_command.HasField("request_cancel_activity_task_command_attributes"):
        raise BadCommand(
            _BAD_CANCEL,
            "RequestCancelActivityTaskCommandAttributes is not set on "
            "RequestCancelActivityTaskCommand.",
        )
    scheduled_event_id = attributes.scheduled_event_id
    if scheduled_event_id <= 0:
        raise BadCommand(
            _BAD_CANCEL, "ScheduledEventId is not set on RequestCancelActivityTaskCommand."
        )
    pending = turn.state.activities.get(scheduled_event_id)
    is_refused = (
        pending.cancel_requested_event_id != 0
        if pending
        else not activity_end.is_end_buffered(turn.state, scheduled_event_id)
    )
    if is_refused:
        raise BadCommand(
            _BAD_CANCEL,
            "invalid history builder state for action: add-activitytask-cancel-requested-event, "
            f"ScheduledEventID: {scheduled_event_id}",
        )
    event = turn.event(on.ACTIVITY_TASK_CANCEL_REQUESTED)
    given = event.activity_task_cancel_requested_event_attributes
    given.scheduled_event_id = scheduled_event_id
    given.workflow_task_completed_event_id = completed_id
    _copy_metadata(worker_command, event)
    turn.record(event)
    asked = turn.state.activities.get(scheduled_event_id)
    if asked is not None and asked.phase != "started":
        details = common.Payloads()
        details.payloads.add(metadata={"encoding": b"json/plain"}, data=_NOT_STARTED)
        identity = turn.ask.request.identity
        activity_end.record_canceled(turn, asked, details, identity=identity)


def _check_names(attributes: Wanted, policy: common.RetryPolicy) -> None:
    queue, activity_id = attributes.task_queue.name, attributes.activity_id
    activity_type = attributes.activity_type.name
    if not queue:
        raise BadCommand(_BAD_SCHEDULE, "missing task queue name")
    if len(queue.encode()) > limits.ID_LENGTH_MAX:
        raise BadCommand(_BAD_SCHEDULE, "taskQueue length exceeds limit")
    if queue.startswith(_RESERVED_PREFIX):
        text = f"task queue name cannot start with reserved prefix {_RESERVED_PREFIX}"
        raise BadCommand(_BAD_SCHEDULE, text)
    if not activity_id:
        raise BadCommand(_BAD_SCHEDULE, "activityId is not set")
    if not activity_type:
        raise BadCommand(_BAD_SCHEDULE, "activityType is not set")
    if flaw := retry.flaw_of(policy):
        raise BadCommand(_BAD_SCHEDULE, flaw)
    for name, text in (("activityId", activity_id), ("activityType", activity_type)):
        if (length := len(text.encode())) > limits.ID_LENGTH_MAX:
            raise BadCommand(
                _BAD_SCHEDULE,
                f"{name} exceeds length limit. Length={length} Limit={limits.ID_LENGTH_MAX}",
            )


def _timeouts_of(attributes: Wanted, *, run_timeout: int) -> Timeouts:
    """Return the timeouts, deduced from each other and none longer than the run's."""
    asked = Timeouts(
        schedule_to_close=_span(attributes, "ScheduleToCloseTimeout"),
        schedule_to_start=_span(attributes, "ScheduleToStartTimeout"),
        start_to_close=_span(attributes, "StartToCloseTimeout"),
        heartbeat=_span(attributes, "HeartbeatTimeout"),
    )
    if not asked.schedule_to_close and not asked.start_to_close:
        raise BadCommand(
            _BAD_SCHEDULE,
            "a valid StartToClose or ScheduleToCloseTimeout is not set on "
            f"ScheduleActivityTaskCommand. ActivityId={attributes.activity_id} "
            f"ActivityType={attributes.activity_type.name}",
        )
    total = asked.schedule_to_close
    whole = total or run_timeout  # what the others default to
    limit = min(filter(None, (total, run_timeout, retry.SPAN_MAX)))
    start_to_close = min(asked.start_to_close or whole, limit)
    return Timeouts(
        schedule_to_close=min(whole, limit),
        schedule_to_start=min(asked.schedule_to_start or whole, limit),
        start_to_close=start_to_close,
        heartbeat=min(asked.heartbeat, start_to_close),
    )


def _span(attributes: Wanted, name: str) -> int:
    field = "".join(f"_{each.lower()}" if each.isupper() else each for each in name)[1:]
    span = span_of(getattr(attributes, field))
    if span < 0:
        raise BadCommand(_BAD_SCHEDULE, f"invalid {name}: negative duration")
    return min(span, retry.SPAN_MAX)


def _check_room(turn: Turn, attributes: Wanted) -> None:
    size_bytes = attributes.input.ByteSize()
    check_blob(size_bytes, _BAD_SCHEDULE, "ScheduleActivityTaskCommandAttributes.Input")
    pending = turn.state.activities
    if len(pending) >= turn.limits.pending_activities_max_count:
        raise BadCommand(
            _TOO_MANY,
            f"the number of pending activities, {len(pending)}, "
            f"has reached the per-workflow limit of {turn.limits.pending_activities_max_count}",
        )
    if any(each.activity_id == attributes.activity_id for each in pending.values()):
        raise BadCommand(
            _DUPLICATE_ID,
            "invalid history builder state for action: add-activitytask-scheduled-event, "
            f"ActivityID: {attributes.activity_id}",
        )


def _copy_metadata(worker_command: command.Command, event: history.HistoryEvent) -> None:
    if worker_command.HasField("user_metadata"):
        event.user_metadata.CopyFrom(worker_command.user_metadata)
