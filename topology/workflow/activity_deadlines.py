"""When a pending activity needs attention: a pure function of its row.

scheduled      schedule-to-start, schedule-to-close
started        start-to-close, heartbeat, schedule-to-close
backing_off    the end of the backoff, schedule-to-close
"""

from typing import Final, NamedTuple

from schemas.temporal import enums
from topology.workflow.state import Activity

_Timeout = enums.TimeoutType

BACKOFF: Final = 0
"""Not a timeout: the next attempt may be offered."""
START_TO_CLOSE: Final = _Timeout.TIMEOUT_TYPE_START_TO_CLOSE
SCHEDULE_TO_START: Final = _Timeout.TIMEOUT_TYPE_SCHEDULE_TO_START
SCHEDULE_TO_CLOSE: Final = _Timeout.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
HEARTBEAT: Final = _Timeout.TIMEOUT_TYPE_HEARTBEAT


class Deadline(NamedTuple):
    """What is due when; of two at the same instant the smaller kind comes first."""

    due_at: int
    kind: int  # BACKOFF, or temporal.api.enums.v1.TimeoutType


def next_deadline(activity: Activity) -> Deadline | None:
    """Return the first thing that becomes due; None: nothing ever does."""
    return min(_deadlines(activity), default=None)


def due_at(activity: Activity) -> int:
    """Return when an activity needs attention; 0: never."""
    deadline = next_deadline(activity)
    return deadline.due_at if deadline else 0


def offer_expires_at(activity: Activity) -> int:
    """Return when an offer of the attempt to workers is over; 0: never."""
    until = (
        activity.scheduled_at + activity.schedule_to_start_timeout
        if activity.schedule_to_start_timeout
        else 0
    )
    return min(filter(None, (until, activity.expires_at)), default=0)


def _deadlines(activity: Activity) -> list[Deadline]:
    found: list[Deadline] = []
    if activity.expires_at:
        found.append(Deadline(activity.expires_at, SCHEDULE_TO_CLOSE))
    match activity.phase:
        case "backing_off":
            found.append(Deadline(activity.scheduled_at, BACKOFF))
        case "scheduled":
            if timeout := activity.schedule_to_start_timeout:
                found.append(Deadline(activity.scheduled_at + timeout, SCHEDULE_TO_START))
        case "started":
            if timeout := activity.start_to_close_timeout:
                found.append(Deadline(activity.started_at + timeout, START_TO_CLOSE))
            if timeout := activity.heartbeat_timeout:
                alive_at = max(activity.started_at, activity.heartbeat_at)
                found.append(Deadline(alive_at + timeout, HEARTBEAT))
    return found
