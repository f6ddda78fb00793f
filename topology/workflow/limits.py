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
SIGNALS_MAX: Final = 10_000
BLOB_BYTES_MAX: Final = 2 * 1024 * 1024
BLOB_BYTES_CUT: Final = 512 * 1024  # what is left of a failure above the maximum
FAILURE_BYTES_MAX: Final = 4 * 1024
FAILURE_BYTES_CUT: Final = 2 * 1024  # what is left of a retried failure above the maximum
ID_LENGTH_MAX: Final = 1_000
PENDING_MAX: Final = 2_000
BUFFERED_EVENTS_MAX: Final = 100
BUFFERED_BYTES_MAX: Final = 2 * 1024 * 1024


class Limits(msgspec.Struct, frozen=True):
    """Limits that a server's settings may change (Temporal's dynamic configuration)."""

    suggest_events_count: int = 4_096
    """Events from which on a workflow is told to continue as new."""
    suggest_history_bytes: int = 4 * 1024 * 1024
    """Bytes of history from which on it is told so."""


def reasons_to_continue_as_new(row: Execution, limits: Limits) -> tuple[int, ...]:
    """Return why the workflow should continue as new (SuggestContinueAsNewReason), if at all."""
    reasons: list[int] = []
    if row.history_bytes >= limits.suggest_history_bytes:
        reasons.append(_Reason.SUGGEST_CONTINUE_AS_NEW_REASON_HISTORY_SIZE_TOO_LARGE)
    if row.next_event_id > limits.suggest_events_count:
        reasons.append(_Reason.SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_HISTORY_EVENTS)
    return tuple(reasons)
