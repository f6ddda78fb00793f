"""What a request must be before it becomes a command, with Temporal's exact texts.

Each check raises InvalidArgument. Lengths count UTF-8 bytes, as Temporal's do. What needs state
to decide (a closed run, a taken id) is checked by the core, not here.
"""

import re
import uuid
from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message

from schemas.errors import FailedPrecondition, Internal, InvalidArgument, Unimplemented
from schemas.instants import SECOND, span_of
from schemas.temporal import common, enums, errordetails, service, taskqueue
from topology.decision import Namespace
from topology.workflow import cron

ID_BYTES = 1_000
BLOB_BYTES = 2 * 1024 * 1024
MIN_LONG_POLL_S = 2.0
_FAIRNESS_KEY_BYTES = 64
_LINKS = 10
_LINK_BYTES = 4_000
_RESERVED_QUEUES = "/_sys/"
_TIMEOUT_PREFIX = "TemporalTimeout:"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_Reuse = enums.WorkflowIdReusePolicy
_Conflict = enums.WorkflowIdConflictPolicy

_State = enums.NamespaceState
_REGISTERED = _State.NAMESPACE_STATE_REGISTERED
_OPEN = (_REGISTERED, _State.NAMESPACE_STATE_DEPRECATED)
_STATES = {
    int(_State.NAMESPACE_STATE_UNSPECIFIED): "Unspecified",
    int(_State.NAMESPACE_STATE_REGISTERED): "Registered",
    int(_State.NAMESPACE_STATE_DEPRECATED): "Deprecated",
    int(_State.NAMESPACE_STATE_DELETED): "Deleted",
}

M = TypeVar("M", bound=Message)
StartRequest = (
    service.StartWorkflowExecutionRequest | service.SignalWithStartWorkflowExecutionRequest
)


def parse(kind: type[M], request: bytes) -> M:
    """Parse a request message."""
    try:
        return kind.FromString(request)
    except DecodeError as error:
        raise Internal(f"grpc: error unmarshalling request: {error}") from error


def is_longer(text: str, limit_bytes: int) -> bool:
    """Whether a text has more bytes than allowed."""
    return len(text) * 4 > limit_bytes and len(text.encode()) > limit_bytes


def check_length(name: str, text: str) -> None:
    """Check the length of an id or name."""
    if is_longer(text, ID_BYTES):
        raise InvalidArgument(f"{name} length exceeds limit.")


def check_state(namespace: Namespace, *, is_starting: bool) -> None:
    """Check that a namespace takes requests; a start needs one that takes new workflows."""
    allowed = (_REGISTERED,) if is_starting else _OPEN
    if namespace.state in allowed:
        return
    detail = errordetails.NamespaceInvalidStateFailure(namespace=namespace.name)
    detail.state = namespace.state  # type: ignore[assignment]  # enums travel as ints
    detail.allowed_states.extend(allowed)
    must = " or ".join(_STATES[each] for each in allowed)
    raise FailedPrecondition(
        f"Namespace has invalid state: {_STATES.get(namespace.state)}. Must be {must}.", detail
    )


def check_workflow_id(workflow_id: str) -> None:
    """Check a workflow id."""
    if not workflow_id:
        raise InvalidArgument("WorkflowId is not set on request.")
    check_length("WorkflowId", workflow_id)


def check_run_id(run_id: str) -> None:
    """Check a run id; an empty one means the current run."""
    if not run_id or _UUID.fullmatch(run_id):
        return
    try:
        uuid.UUID(run_id)
    except ValueError:
        raise InvalidArgument("Invalid RunId.") from None


def check_execution(execution: common.WorkflowExecution) -> None:
    """Check the workflow id and run id that a request is about."""
    if not execution.workflow_id:
        raise InvalidArgument("WorkflowId is not set on request.")
    check_run_id(execution.run_id)


def check_workflow_type(name: str) -> None:
    """Check the workflow type of a start."""
    if not name:
        raise InvalidArgument("WorkflowType is not set on request.")
    check_length("WorkflowType", name)


def check_task_queue(queue: taskqueue.TaskQueue) -> None:
    """Check a task queue's name, and its normal name where it is sticky."""
    if not queue.name:
        raise InvalidArgument("missing task queue name")
    _check_queue_name(queue.name)
    if queue.normal_name and is_longer(queue.normal_name, ID_BYTES):
        raise InvalidArgument("taskQueue length exceeds limit")


def _check_queue_name(name: str) -> None:
    if is_longer(name, ID_BYTES):
        raise InvalidArgument("taskQueue length exceeds limit")
    if name.startswith(_RESERVED_QUEUES):
        raise InvalidArgument(
            f"task queue name cannot start with reserved prefix {_RESERVED_QUEUES}"
        )


def check_signal_name(name: str) -> None:
    """Check the name of a signal."""
    if not name:
        raise InvalidArgument("SignalName is not set on request.")
    check_length("SignalName", name)


def duration_fault(duration: Duration) -> str:
    """Return what is wrong with a duration, or nothing."""
    if duration.seconds > 0 > duration.nanos or duration.seconds < 0 < duration.nanos:
        return "duration has seconds and nanos with different signs"
    if duration.seconds < 0 or duration.nanos < 0:
        return "negative duration"
    return ""


def check_timeouts(request: StartRequest) -> None:
    """Check the three timeouts of a start."""
    for name, duration in (
        ("WorkflowExecutionTimeoutSeconds", request.workflow_execution_timeout),
        ("WorkflowRunTimeoutSeconds", request.workflow_run_timeout),
        ("WorkflowTaskTimeoutSeconds", request.workflow_task_timeout),
    ):
        _check_duration(name, duration)


def _check_duration(name: str, duration: Duration) -> None:
    if fault := duration_fault(duration):
        raise InvalidArgument(f"An invalid {name} is set on request. cause: {fault}")


def check_delay_and_cron(request: StartRequest) -> None:
    """Check the start delay and the cron schedule."""
    has_delay = request.HasField("workflow_start_delay")
    if request.cron_schedule and has_delay:
        raise InvalidArgument("CronSchedule and WorkflowStartDelay may not be used together.")
    if has_delay:
        _check_duration("WorkflowStartDelaySeconds", request.workflow_start_delay)
    if request.cron_schedule:
        try:
            cron.parse(request.cron_schedule)
        except cron.BadSchedule as error:
            raise InvalidArgument("invalid CronSchedule.") from error


def check_retry_policy(policy: common.RetryPolicy) -> None:
    """Check a retry policy; fields that are not set have their defaults."""
    if policy.maximum_attempts == 1:
        return
    if fault := duration_fault(policy.initial_interval):
        raise InvalidArgument(f"invalid InitialInterval set on retry policy: {fault}")
    if policy.backoff_coefficient != 0 and policy.backoff_coefficient < 1:
        raise InvalidArgument("BackoffCoefficient cannot be less than 1 on retry policy.")
    if fault := duration_fault(policy.maximum_interval):
        raise InvalidArgument(f"invalid MaximumInterval set on retry policy: {fault}")
    initial = span_of(policy.initial_interval) or SECOND
    if 0 < span_of(policy.maximum_interval) < initial:
        raise InvalidArgument(
            "MaximumInterval cannot be less than InitialInterval on retry policy."
        )
    if policy.maximum_attempts < 0:
        raise InvalidArgument("MaximumAttempts cannot be negative on retry policy.")
    _check_error_types(policy.non_retryable_error_types)


def _check_error_types(types: Sequence[str]) -> None:
    """Check that error types which name a timeout name one that there is."""
    values = enums.TimeoutType.DESCRIPTOR.values
    names = {value.name.removeprefix("TIMEOUT_TYPE_") for value in values}
    for each in types:
        if not each.startswith(_TIMEOUT_PREFIX):
            continue
        value = each.removeprefix(_TIMEOUT_PREFIX)
        shouted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", value).upper()
        if shouted not in names or shouted == "UNSPECIFIED":
            raise InvalidArgument(f"Invalid timeout type value: {value}.")


def check_id_policies(request: StartRequest) -> None:
    """Check that the reuse policy and the conflict policy go together."""
    reuse, conflict = request.workflow_id_reuse_policy, request.workflow_id_conflict_policy
    if reuse == _Reuse.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING and conflict:
        raise InvalidArgument(
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING "
            "cannot be used together with a WorkflowIDConflictPolicy"
        )
    if (
        conflict == _Conflict.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
        and reuse == _Reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
    ):
        raise InvalidArgument(
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE "
            "cannot be used together with WorkflowIdConflictPolicy "
            "WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"
        )


def check_no_fail_policy(request: service.SignalWithStartWorkflowExecutionRequest) -> None:
    """Check that a SignalWithStart does not ask to fail on a running workflow."""
    if request.workflow_id_conflict_policy == _Conflict.WORKFLOW_ID_CONFLICT_POLICY_FAIL:
        raise InvalidArgument(
            "Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL "
            "is not supported for this operation."
        )


def check_on_conflict(request: service.StartWorkflowExecutionRequest) -> None:
    """Check what is to be attached to a running workflow."""
    options = request.on_conflict_options
    if options.attach_completion_callbacks and not options.attach_request_id:
        raise InvalidArgument("attaching request ID is required for attaching completion callbacks")


def check_unbuilt(request: service.StartWorkflowExecutionRequest) -> None:
    """Refuse what would silently not happen."""
    if request.completion_callbacks:
        raise Unimplemented("completion callbacks are not served by this version of Millrace")
    if request.HasField("time_skipping_config"):
        raise Unimplemented("The Time-Skipping feature is not enabled for namespace.")


def check_priority(priority: common.Priority) -> None:
    """Check a priority."""
    if priority.priority_key < 0:
        raise InvalidArgument("priority key can't be negative")
    if is_longer(priority.fairness_key, _FAIRNESS_KEY_BYTES):
        raise InvalidArgument("fairness key length exceeds limit")
    if priority.fairness_weight < 0:
        raise InvalidArgument("must be greater than zero")


def check_links(links: Sequence[common.Link]) -> None:
    """Check how many links there are, and how large."""
    if len(links) > _LINKS:
        raise InvalidArgument(
            f"cannot attach more than {_LINKS} links per request, got {len(links)}"
        )
    for link in links:
        if link.ByteSize() > _LINK_BYTES:
            raise InvalidArgument(
                f"link exceeds allowed size of {_LINK_BYTES}, got {link.ByteSize()}"
            )


def check_blob(blob: Message) -> None:
    """Check the size of an input."""
    if blob.ByteSize() > BLOB_BYTES:
        raise InvalidArgument("Blob data size exceeds limit.")


def check_memo(memo: common.Memo) -> None:
    """Check the size of a memo."""
    if memo.ByteSize() > BLOB_BYTES:
        raise InvalidArgument("Memo size exceeds limit.")


def check_long_poll(time_left_s: float | None) -> float:
    """Check that a task poll has a deadline that leaves time to wait; return that time."""
    if time_left_s is None:
        raise InvalidArgument("Context timeout is not set.")
    if time_left_s < MIN_LONG_POLL_S:
        raise FailedPrecondition("Context timeout is too short.")
    return time_left_s
