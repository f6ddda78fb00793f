"""What a request must be before it becomes a command, RPC by RPC: the same for every way in.

gRPC and Kafka clients hear the same refusals in the same order. The rules themselves stand in
`validation.py`; `size_bytes` is the size of the serialized request.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from schemas.errors import InvalidArgument, NotFound
from schemas.temporal import service
from topology.validation import (
    BLOB_BYTES,
    StartRequest,
    check_blob,
    check_delay_and_cron,
    check_execution,
    check_id_policies,
    check_length,
    check_links,
    check_memo,
    check_no_fail_policy,
    check_on_conflict,
    check_priority,
    check_retry_policy,
    check_run_id,
    check_signal_name,
    check_task_queue,
    check_timeouts,
    check_unbuilt,
    check_workflow_id,
    check_workflow_type,
)

_DEFAULT_REASON = "terminated by user via frontend"
_DEFAULT_IDENTITY = "frontend-service"


def check_start(request: service.StartWorkflowExecutionRequest, size_bytes: int) -> None:
    """Check a StartWorkflowExecution."""
    _check_any_start(request, size_bytes)
    check_on_conflict(request)
    check_unbuilt(request)
    if size_bytes > BLOB_BYTES:
        check_blob(request.input)


def check_signal_with_start(
    request: service.SignalWithStartWorkflowExecutionRequest, size_bytes: int
) -> None:
    """Check a SignalWithStartWorkflowExecution."""
    check_signal_name(request.signal_name)
    _check_any_start(request, size_bytes)
    check_no_fail_policy(request)
    if size_bytes > BLOB_BYTES:
        check_blob(request.input)
        check_blob(request.signal_input)


def _check_any_start(request: StartRequest, size_bytes: int) -> None:
    """Check what both ways to start have in common."""
    check_workflow_id(request.workflow_id)
    if request.HasField("retry_policy"):
        check_retry_policy(request.retry_policy)
    check_delay_and_cron(request)
    check_workflow_type(request.workflow_type.name)
    check_task_queue(request.task_queue)
    check_timeouts(request)
    check_length("RequestId", request.request_id)
    check_id_policies(request)
    if request.HasField("priority"):
        check_priority(request.priority)
    check_links(request.links)
    if size_bytes > BLOB_BYTES:
        check_memo(request.memo)


def check_signal(request: service.SignalWorkflowExecutionRequest, size_bytes: int) -> None:
    """Check a SignalWorkflowExecution."""
    check_execution(request.workflow_execution)
    check_signal_name(request.signal_name)
    check_length("RequestId", request.request_id)
    check_links(request.links)
    if size_bytes > BLOB_BYTES:
        check_blob(request.input)


def check_cancel(request: service.RequestCancelWorkflowExecutionRequest, _size_bytes: int) -> None:
    """Check a RequestCancelWorkflowExecution."""
    check_execution(request.workflow_execution)
    check_links(request.links)


def check_terminate(request: service.TerminateWorkflowExecutionRequest, _size_bytes: int) -> None:
    """Check a TerminateWorkflowExecution."""
    check_execution(request.workflow_execution)
    check_links(request.links)


def check_delete(request: service.DeleteWorkflowExecutionRequest, _size_bytes: int) -> None:
    """Check a DeleteWorkflowExecution."""
    check_execution(request.workflow_execution)


def with_default_reason(request: service.TerminateWorkflowExecutionRequest) -> bool:
    """Give a termination Temporal's reason and name where it has none; True: it had not."""
    if request.reason and request.identity:
        return False
    request.reason = request.reason or _DEFAULT_REASON
    request.identity = request.identity or _DEFAULT_IDENTITY
    return True


class ActivityRequest(Protocol):
    """A request that names an activity by ids."""

    @property
    def namespace(self) -> str:
        """Namespace name."""
        ...

    @property
    def workflow_id(self) -> str:
        """Workflow id; empty: a standalone activity."""
        ...

    @property
    def run_id(self) -> str:
        """Run id; empty: the current run."""
        ...

    @property
    def activity_id(self) -> str:
        """Activity id."""
        ...

    @property
    def identity(self) -> str:
        """Who answers."""
        ...


def check_activity_ids(request: ActivityRequest) -> None:
    """Check the ids of an activity; there are no standalone ones yet."""
    if not request.activity_id:
        raise InvalidArgument("ActivityId is not set on request.")
    if not request.workflow_id:
        raise NotFound(f"activity not found for ID: {request.activity_id}")
    check_run_id(request.run_id)


def check_activity_end(request: ActivityRequest, _size_bytes: int) -> None:
    """Check what ends an attempt of an activity."""
    check_activity_ids(request)
    check_length("Identity", request.identity)


def _check_heartbeat(request: ActivityRequest, _size_bytes: int) -> None:
    check_activity_ids(request)


Check = Callable[[Any, int], None]

CHECKS: Mapping[str, Check] = {
    "StartWorkflowExecution": check_start,
    "SignalWithStartWorkflowExecution": check_signal_with_start,
    "SignalWorkflowExecution": check_signal,
    "RequestCancelWorkflowExecution": check_cancel,
    "TerminateWorkflowExecution": check_terminate,
    "DeleteWorkflowExecution": check_delete,
    "RespondActivityTaskCompletedById": check_activity_end,
    "RespondActivityTaskFailedById": check_activity_end,
    "RespondActivityTaskCanceledById": check_activity_end,
    "RecordActivityTaskHeartbeatById": _check_heartbeat,
}
"""The RPCs that Kafka clients may ask for."""
