"""Short words for what workflows and workers say, so that core tests read as sentences."""

import json
from typing import Any

from google.protobuf.duration_pb2 import Duration

from schemas.instants import duration_of
from schemas.temporal import command, common, enums, failure

QUICK = {"initial_interval": duration_of(200_000_000), "backoff_coefficient": 1.0}
"""A retry policy that hardly waits."""


def sec(seconds: float) -> Duration:
    """Return a span of so many seconds."""
    return duration_of(round(seconds * 1_000_000_000))


def val(value: object) -> common.Payload:
    """Return a JSON payload."""
    return common.Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())


def vals(*values: object) -> common.Payloads:
    """Return JSON payloads."""
    return common.Payloads(payloads=[val(value) for value in values])


def worker_command(kind: str, *, summary: object = None, **attributes: Any) -> command.Command:
    """Return a worker command; kind as in COMMAND_TYPE_<KIND>, in lower case."""
    fields: dict[str, Any] = {f"{kind}_command_attributes": attributes}
    made = command.Command(**fields)
    made.command_type = enums.CommandType.Value(f"COMMAND_TYPE_{kind.upper()}")
    if summary is not None:
        made.user_metadata.summary.CopyFrom(val(summary))
    return made


def activity(activity_id: str = "1", queue: str = "tq", **more: Any) -> command.Command:
    """Return ScheduleActivityTask."""
    fields: dict[str, Any] = {
        "activity_id": activity_id,
        "activity_type": {"name": "say"},
        "task_queue": {"name": queue},
        "input": vals("hi"),
        "start_to_close_timeout": sec(10),
    }
    return worker_command("schedule_activity_task", **(fields | more))


def cancel_activity(scheduled_event_id: int) -> command.Command:
    """Return RequestCancelActivityTask."""
    return worker_command("request_cancel_activity_task", scheduled_event_id=scheduled_event_id)


def timer(timer_id: str, seconds: float, **more: Any) -> command.Command:
    """Return StartTimer."""
    fields = {"timer_id": timer_id, "start_to_fire_timeout": sec(seconds)}
    return worker_command("start_timer", **(fields | more))


def cancel_timer(timer_id: str) -> command.Command:
    """Return CancelTimer."""
    return worker_command("cancel_timer", timer_id=timer_id)


def marker(name: str) -> command.Command:
    """Return RecordMarker."""
    return worker_command("record_marker", marker_name=name)


def complete(*result: object) -> command.Command:
    """Return CompleteWorkflowExecution."""
    fields = {"result": vals(*result)} if result else {}
    return worker_command("complete_workflow_execution", **fields)


def fail(message: str = "boom", **more: Any) -> command.Command:
    """Return FailWorkflowExecution."""
    return worker_command("fail_workflow_execution", failure=failed(message, **more))


def failed(
    message: str = "act failed", kind: str = "Oops", *, is_final: bool = False, **more: Any
) -> failure.Failure:
    """Return an application failure of a worker."""
    made = failure.Failure(message=message, source="Worker")
    made.application_failure_info.CopyFrom(
        failure.ApplicationFailureInfo(type=kind, non_retryable=is_final, **more)
    )
    return made
