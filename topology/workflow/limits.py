"""Limits of a run and of what is asked of it (temporal-core 5.3), with Temporal's defaults."""

from typing import Final

from schemas.instants import MINUTE, SECOND
from topology.workflow.state import Execution

TASK_TIMEOUT_DEFAULT: Final = 10 * SECOND
TASK_TIMEOUT_MAX: Final = 120 * SECOND
TASK_RETRY_MAX_INTERVAL: Final = 10 * MINUTE
SIGNALS_MAX: Final = 10_000
BLOB_BYTES_MAX: Final = 2 * 1024 * 1024
BLOB_BYTES_CUT: Final = 512 * 1024  # what is left of a failure above the maximum
FAILURE_BYTES_MAX: Final = 4 * 1024
FAILURE_BYTES_CUT: Final = 2 * 1024  # what is left of a retried failure above the maximum
ID_LENGTH_MAX: Final = 1_000
PENDING_MAX: Final = 2_000
BUFFERED_EVENTS_MAX: Final = 100
BUFFERED_BYTES_MAX: Final = 2 * 1024 * 1024
HISTORY_EVENTS_SUGGEST: Final = 4_096
HISTORY_BYTES_SUGGEST: Final = 4 * 1024 * 1024


def suggests_continue_as_new(row: Execution) -> bool:
    """Whether the history is long enough to tell the workflow so."""
    return row.next_event_id > HISTORY_EVENTS_SUGGEST or row.history_bytes >= HISTORY_BYTES_SUGGEST
