"""Limits of a run and of what is asked of it (temporal-core 5.3), with Temporal's defaults."""

from typing import Final

import msgspec

from schemas.instants import MINUTE, SECOND
from schemas.temporal import enums
from topology.workflow.state import Execution

_Reason = enums.SuggestContinueAsNewReason

TASK_TIMEOUT_DEFAULT: Final = 10 * SECOND
TASK_TIMEOUT_MAX: Final = 120 * SECOND
TASK_RETRY_MAX_INTERVAL: Final = 10 * MINUTE
TASK_HEARTBEATS_MAX: Final = 30 * MINUTE
"""So long a worker may ask for more time for a workflow task without a command."""
BLOB_BYTES_MAX: Final = 2 * 1024 * 1024
BLOB_BYTES_CUT: Final = 512 * 1024  # what is left of a failure above the maximum
FAILURE_BYTES_MAX: Final = 4 * 1024
FAILURE_BYTES_CUT: Final = 2 * 1024  # what is left of a retried failure above the maximum
ID_LENGTH_MAX: Final = 1_000
BUFFERED_EVENTS_MAX: Final = 100
BUFFERED_BYTES_MAX: Final = 2 * 1024 * 1024


class Limits(msgspec.Struct, frozen=True):
    """Limits that a server's settings may change (Temporal's dynamic configuration)."""

    retention_min_s: int = 3_600
    """Shortest retention that a namespace may have, seconds."""
    suggest_events_count: int = 4_096
    """Events from which on a workflow is told to continue as new."""
    suggest_history_bytes: int = 4 * 1024 * 1024
    """Bytes of history from which on it is told so."""
    history_events_max_count: int = 51_200
    """Events beyond which a run is terminated."""
    history_max_bytes: int = 50 * 1024 * 1024
    """Bytes of history beyond which a run is terminated."""
    signals_max_count: int = 10_000
    """Signals that one run takes."""
    pending_activities_max_count: int = 2_000
    """Activities that one run may have at a time."""
    pending_children_max_count: int = 2_000
    """Children that one run may have at a time."""
    pending_signals_max_count: int = 2_000
    """Signals to other workflows that one run may have under way."""
    pending_cancels_max_count: int = 2_000
    """Cancel requests to other workflows that one run may have under way."""
    eager_activities: bool = False
    """Whether a worker may get an activity with the answer to the task that scheduled it."""


def excess_of(row: Execution, limits: Limits) -> str:
    """Return why a run must be terminated, in Temporal's words; or nothing."""
    if row.history_bytes > limits.history_max_bytes:
        return "Workflow history size exceeds limit."
    if row.next_event_id - 1 > limits.history_events_max_count:
        return "Workflow history count exceeds limit."
    return ""


def reasons_to_continue_as_new(row: Execution, limits: Limits) -> tuple[int, ...]:
    """Return why the workflow should continue as new (SuggestContinueAsNewReason), if at all."""
    reasons: list[int] = []
    if row.history_bytes >= limits.suggest_history_bytes:
        reasons.append(_Reason.SUGGEST_CONTINUE_AS_NEW_REASON_HISTORY_SIZE_TOO_LARGE)
    if row.next_event_id > limits.suggest_events_count:
        reasons.append(_Reason.SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_HISTORY_EVENTS)
    return tuple(reasons)
