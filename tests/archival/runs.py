"""Closed runs for the tests: histories of every size, with every kind of id."""

from collections.abc import Sequence

from archival.run import ClosedRun, RunKey
from schemas.temporal import enums, history, workflow

STARTED_AT = 1_770_000_000
"""Seconds since 1970 at which the sample runs start."""
STRANGE = (
    "a/b",
    "..",
    ".",
    "../../etc/passwd",
    "/absolute",
    "with blank ",
    "a%2Fb",
    "%",
    "%~",
    "quote'\"`",
    "zażółć-日本語-🙂",
    "tab\tand\nline",
    "a+b=c&d?e#f",
    "nul\x00",
    "ü" * 1_000,
    "/" * 1_000,
    "x" * 1_000,
    "history/a",
)
"""Ids of every kind."""


def key_of(workflow_id: str = "order-1", number: int = 0, namespace_id: str = "ns") -> RunKey:
    """Return the key of the run of this number."""
    return RunKey(namespace_id, workflow_id, f"00000000-0000-4000-8000-{number:012}")


def closed_run(
    key: RunKey | None = None,
    *,
    events: int = 12,
    padding: int = 0,
    closed_after: int = 60,
    type_name: str = "order",
) -> ClosedRun:
    """Return a closed run of so many events, each padded by so many bytes."""
    key = key or key_of()
    batches = batches_of(events, padding=padding, closed_after=closed_after)
    execution = workflow.WorkflowExecutionInfo()
    execution.execution.workflow_id, execution.execution.run_id = key.workflow_id, key.run_id
    execution.type.name = type_name
    execution.start_time.seconds = STARTED_AT
    execution.execution_time.seconds = STARTED_AT
    execution.close_time.CopyFrom(batches[-1].events[-1].event_time)
    execution.execution_duration.seconds = closed_after
    execution.status = enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
    execution.history_length = events
    execution.task_queue = "queue"
    execution.memo.fields["note"].data = b'"memo"'
    attribute = execution.search_attributes.indexed_fields["CustomerId"]
    attribute.data = b'"c-7"'
    attribute.metadata["encoding"] = b"json/plain"
    attribute.metadata["type"] = b"Keyword"
    return ClosedRun(
        namespace="shop", key=key, execution=execution, batches=batches, last_event_id=events
    )


def batches_of(
    events: int, *, padding: int = 0, closed_after: int = 60
) -> Sequence[history.History]:
    """Return the batches of a history: one event, then two at a time."""
    batches = [history.History()]
    for number in range(1, events + 1):
        if number > 1 and number % 2 == 0:
            batches.append(history.History())
        event = batches[-1].events.add(event_id=number, task_id=1_000 + number)
        event.event_time.seconds = STARTED_AT + closed_after * number // events
        event.event_type = enums.EventType.EVENT_TYPE_MARKER_RECORDED
        marker = event.marker_recorded_event_attributes
        marker.marker_name = f"marker-{number}"
        marker.details["padding"].payloads.add(data=b"x" * padding)
    last = batches[-1].events[-1]
    last.ClearField("marker_recorded_event_attributes")
    last.event_type = enums.EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    last.workflow_execution_completed_event_attributes.result.payloads.add(data=b'"done"')
    last.event_time.nanos = 123_456_789
    return batches
