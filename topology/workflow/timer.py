"""Timer: none --start--> pending --fire--> none, pending --cancel--> none.

Every rule about timers lives here; who wakes them does not. A cancel wins over a firing that the
workflow has not seen yet: the buffered TimerFired is taken back.
"""

from typing import Final

from msgspec.structs import replace

from schemas import event_types as on
from schemas.instants import MILLISECOND, duration_of, instant_of, span_of
from schemas.temporal import command, enums, history
from topology.turn import Turn
from topology.workflow import buffering, limits
from topology.workflow.bad_command import BadCommand
from topology.workflow.retry import SPAN_MAX
from topology.workflow.state import Run, Timer

_Cause = enums.WorkflowTaskFailedCause

_BAD_START = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_TIMER_ATTRIBUTES
_BAD_CANCEL = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_TIMER_ATTRIBUTES
_DUPLICATE_ID = _Cause.WORKFLOW_TASK_FAILED_CAUSE_START_TIMER_DUPLICATE_ID

_ZERO_SPAN: Final = 500 * MILLISECOND
"""After so long a timer of no length fires: in Temporal it waits for the next look at timers."""


# -- ask


def start(
    turn: Turn,
    attributes: command.StartTimerCommandAttributes,
    worker_command: command.Command,
    completed_id: int,
) -> None:
    """Start a timer; raises BadCommand."""
    if not worker_command.HasField("start_timer_command_attributes"):
        raise BadCommand(_BAD_START, "StartTimerCommandAttributes is not set on StartTimerCommand.")
    timer_id = attributes.timer_id
    _check_id(timer_id, _BAD_START, "StartTimerCommand")
    span = span_of(attributes.start_to_fire_timeout)
    if span < 0:
        raise BadCommand(
            _BAD_START,
            "An invalid StartToFireTimeout is set on StartTimerCommand: negative duration. "
            f"TimerId={timer_id}",
        )
    if timer_id in turn.state.timers:
        raise BadCommand(_DUPLICATE_ID, _refusal("add-timer-started-event", timer_id))
    event = turn.event(on.TIMER_STARTED)
    given = event.timer_started_event_attributes
    given.timer_id = timer_id
    given.start_to_fire_timeout.CopyFrom(duration_of(min(span, SPAN_MAX)))
    given.workflow_task_completed_event_id = completed_id
    _copy_metadata(worker_command, event)
    turn.record(event)


def fire_due(turn: Turn) -> bool:
    """Fire all timers that are due, in order; tell whether there were any."""
    due = sorted(
        (each.fires_at, each.started_event_id, each.timer_id)
        for each in turn.state.timers.values()
        if each.fires_at <= turn.now
    )
    for _, started_event_id, timer_id in due:
        event = turn.event(on.TIMER_FIRED)
        event.timer_fired_event_attributes.timer_id = timer_id
        event.timer_fired_event_attributes.started_event_id = started_event_id
        turn.record(event)
    return bool(due)


def cancel(
    turn: Turn,
    attributes: command.CancelTimerCommandAttributes,
    worker_command: command.Command,
    completed_id: int,
) -> None:
    """Cancel a timer, or take its unseen firing back; raises BadCommand."""
    if not worker_command.HasField("cancel_timer_command_attributes"):
        raise BadCommand(
            _BAD_CANCEL, "CancelTimerCommandAttributes is not set on CancelTimerCommand."
        )
    timer_id = attributes.timer_id
    _check_id(timer_id, _BAD_CANCEL, "CancelTimerCommand")
    pending = turn.state.timers.get(timer_id)
    started_event_id = pending.started_event_id if pending else buffering.drop_fired(turn, timer_id)
    if not started_event_id:
        raise BadCommand(_BAD_CANCEL, _refusal("add-timer-canceled-event", timer_id))
    event = turn.event(on.TIMER_CANCELED)
    given = event.timer_canceled_event_attributes
    given.timer_id = timer_id
    given.started_event_id = started_event_id
    given.workflow_task_completed_event_id = completed_id
    given.identity = turn.ask.request.identity
    _copy_metadata(worker_command, event)
    turn.record(event)


def due_at(timer: Timer) -> int:
    """Return when a timer fires."""
    return timer.fires_at


# -- fold


def on_started(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """TimerStarted: it is pending."""
    given = event.timer_started_event_attributes
    span = span_of(given.start_to_fire_timeout) or _ZERO_SPAN
    fires_at = instant_of(event.event_time) + span
    timer = Timer(given.timer_id, event.event_id, fires_at)
    return replace(run, timers={**run.timers, timer.timer_id: timer})


def on_closed(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """TimerFired, TimerCanceled: it is no longer pending."""
    is_fired = event.event_type == on.TIMER_FIRED
    given = (
        event.timer_fired_event_attributes if is_fired else event.timer_canceled_event_attributes
    )
    timers = {each: timer for each, timer in run.timers.items() if each != given.timer_id}
    return replace(run, timers=timers)


# -- inside


def _check_id(timer_id: str, cause: int, command_name: str) -> None:
    if not timer_id:
        raise BadCommand(cause, f"TimerId is not set on {command_name}.")
    if len(timer_id.encode()) > limits.ID_LENGTH_MAX:
        raise BadCommand(
            cause,
            f"TimerId on {command_name} exceeds length limit. TimerId={timer_id} "
            f"Length={len(timer_id.encode())} Limit={limits.ID_LENGTH_MAX}",
        )


def _refusal(action: str, timer_id: str) -> str:
    return f"invalid history builder state for action: {action}, TimerID: {timer_id}"


def _copy_metadata(worker_command: command.Command, event: history.HistoryEvent) -> None:
    if worker_command.HasField("user_metadata"):
        event.user_metadata.CopyFrom(worker_command.user_metadata)
