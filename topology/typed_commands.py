"""Commands of Kafka clients as the RPCs they stand for: Avro fields in, a checked request out.

A record on `commands` is written by hand, from the schema file alone, or carries a gRPC request as
it is. Either way it becomes the request message of one RPC, held to the same rules with the same
texts. This file reads no state and knows no topic.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict, TypeVar, cast

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from schemas.errors import InvalidArgument, Unimplemented
from schemas.instants import SECOND
from schemas.temporal import common, service
from topology import requests
from topology.checks import CHECKS, with_default_reason
from topology.decision import Namespace
from topology.validation import check_state

_GRPC = "millrace.GrpcRequest"

ById = TypeVar("ById", bound=Message)


PayloadFields = TypedDict("PayloadFields", {"metadata": Mapping[str, bytes], "data": bytes})  # noqa: UP013  a class would name a field so
"""millrace.Payload."""


class CommandFields(TypedDict):
    """What counts of millrace.Command on `commands`."""

    namespace: str
    workflow_id: str
    identity: str
    request_id: str
    body: tuple[str, object]


class GrpcFields(TypedDict):
    """millrace.GrpcRequest."""

    method: str
    request: bytes


class StartFields(TypedDict):
    """millrace.StartWorkflow."""

    workflow_type: str
    task_queue: str
    input: Sequence[PayloadFields]
    execution_timeout: int | None
    run_timeout: int | None
    task_timeout: int | None
    id_reuse_policy: int
    id_conflict_policy: int
    memo: Mapping[str, PayloadFields]
    search_attributes: Mapping[str, PayloadFields]
    header: Mapping[str, PayloadFields]


class SignalFields(TypedDict):
    """millrace.SignalWorkflow."""

    run_id: str
    signal_name: str
    input: Sequence[PayloadFields]
    header: Mapping[str, PayloadFields]


class SignalWithStartFields(TypedDict):
    """millrace.SignalWithStart."""

    start: StartFields
    signal_name: str
    signal_input: Sequence[PayloadFields]


class CancelFields(TypedDict):
    """millrace.CancelWorkflow."""

    run_id: str
    reason: str


class TerminateFields(TypedDict):
    """millrace.TerminateWorkflow."""

    run_id: str
    reason: str
    details: Sequence[PayloadFields]


class CompleteFields(TypedDict):
    """millrace.CompleteActivity."""

    run_id: str
    activity_id: str
    result: Sequence[PayloadFields]


class FailFields(TypedDict):
    """millrace.FailActivity."""

    run_id: str
    activity_id: str
    message: str
    type: str
    non_retryable: bool
    details: Sequence[PayloadFields]
    canceled: bool


class HeartbeatFields(TypedDict):
    """millrace.HeartbeatActivity."""

    run_id: str
    activity_id: str
    details: Sequence[PayloadFields]


def request_of(
    command: Mapping[str, object], namespace: Namespace, *, size_bytes: int, nonce: str
) -> tuple[str, Message]:
    """Return the RPC and the request of a millrace.Command of a client; raises Rejected.

    `nonce` is the request id of a start that has none: each such record counts.
    """
    fields = cast("CommandFields", command)
    kind, body = fields["body"]
    if kind == _GRPC:
        method, request = _passed_on(fields, cast("GrpcFields", body))
    else:
        request = _KINDS[kind](fields, body)
        method = type(request).__name__.removesuffix("Request")
    check_state(namespace, is_starting=method in _STARTS)
    if method in _STARTS and not request.request_id:  # type: ignore[attr-defined]  # both have one
        request.request_id = nonce  # type: ignore[attr-defined]  # as above
    if isinstance(request, service.TerminateWorkflowExecutionRequest):
        with_default_reason(request)
    CHECKS[method](request, size_bytes)
    return method, request


_STARTS = ("StartWorkflowExecution", "SignalWithStartWorkflowExecution")


# -- a request as it is


def _passed_on(fields: CommandFields, body: GrpcFields) -> tuple[str, Message]:
    method = body["method"]
    if method not in CHECKS:
        raise Unimplemented(f"method {method} is not served on `commands`")
    request = requests.parse(method, body["request"])
    _agree(request, "namespace", fields["namespace"])
    named = getattr(request, "workflow_execution", None)
    _agree(named if isinstance(named, Message) else request, "workflow_id", fields["workflow_id"])
    for name in ("request_id", "identity"):
        given: str = fields[name]
        if name in request.DESCRIPTOR.fields_by_name and not getattr(request, name):
            setattr(request, name, given)
    return method, request


def _agree(message: Message, name: str, expected: str) -> None:
    """Fill in a name that the command has and the request has not; they must not differ."""
    found = getattr(message, name)
    if found and found != expected:
        raise InvalidArgument(
            f"expected the request's {name} to be the command's, {expected!r}, found {found!r}"
        )
    setattr(message, name, expected)


# -- requests written by hand


def _start(fields: CommandFields, body: object) -> Message:
    request = service.StartWorkflowExecutionRequest()
    _fill_start(request, fields, cast("StartFields", body))
    return request


def _signal_with_start(fields: CommandFields, body: object) -> Message:
    given = cast("SignalWithStartFields", body)
    request = service.SignalWithStartWorkflowExecutionRequest(signal_name=given["signal_name"])
    _fill_start(request, fields, given["start"])
    _add(request.signal_input, given["signal_input"])
    return request


def _fill_start(
    request: service.StartWorkflowExecutionRequest
    | service.SignalWithStartWorkflowExecutionRequest,
    fields: CommandFields,
    body: StartFields,
) -> None:
    request.namespace = fields["namespace"]
    request.workflow_id = fields["workflow_id"]
    request.identity = fields["identity"]
    request.request_id = fields["request_id"]
    request.workflow_type.name = body["workflow_type"]
    request.task_queue.name = body["task_queue"]
    _add(request.input, body["input"])
    for name in ("execution", "run", "task"):
        span: int | None = body[f"{name}_timeout"]  # type: ignore[literal-required]  # one of three names
        if span is not None:
            getattr(request, f"workflow_{name}_timeout").CopyFrom(_duration(span))
    request.workflow_id_reuse_policy = body["id_reuse_policy"]  # type: ignore[assignment]  # enums are ints
    request.workflow_id_conflict_policy = body["id_conflict_policy"]  # type: ignore[assignment]  # enums are ints
    for key, payload in body["memo"].items():
        request.memo.fields[key].CopyFrom(_payload(payload))
    for key, payload in body["search_attributes"].items():
        request.search_attributes.indexed_fields[key].CopyFrom(_payload(payload))
    for key, payload in body["header"].items():
        request.header.fields[key].CopyFrom(_payload(payload))


def _signal(fields: CommandFields, body: object) -> Message:
    given = cast("SignalFields", body)
    request = service.SignalWorkflowExecutionRequest(
        namespace=fields["namespace"],
        workflow_execution=_execution(fields, given["run_id"]),
        signal_name=given["signal_name"],
        identity=fields["identity"],
        request_id=fields["request_id"],
    )
    _add(request.input, given["input"])
    for key, payload in given["header"].items():
        request.header.fields[key].CopyFrom(_payload(payload))
    return request


def _cancel(fields: CommandFields, body: object) -> Message:
    given = cast("CancelFields", body)
    return service.RequestCancelWorkflowExecutionRequest(
        namespace=fields["namespace"],
        workflow_execution=_execution(fields, given["run_id"]),
        identity=fields["identity"],
        request_id=fields["request_id"],
        reason=given["reason"],
    )


def _terminate(fields: CommandFields, body: object) -> Message:
    given = cast("TerminateFields", body)
    request = service.TerminateWorkflowExecutionRequest(
        namespace=fields["namespace"],
        workflow_execution=_execution(fields, given["run_id"]),
        identity=fields["identity"],
        reason=given["reason"],
    )
    _add(request.details, given["details"])
    return request


def _by_id(
    kind: Callable[..., ById],
    fields: CommandFields,
    given: CompleteFields | FailFields | HeartbeatFields,
) -> ById:
    """Return a request of a kind for the activity that a command names."""
    return kind(
        namespace=fields["namespace"],
        workflow_id=fields["workflow_id"],
        run_id=given["run_id"],
        activity_id=given["activity_id"],
        identity=fields["identity"],
    )


def _complete(fields: CommandFields, body: object) -> Message:
    given = cast("CompleteFields", body)
    request = _by_id(service.RespondActivityTaskCompletedByIdRequest, fields, given)
    _add(request.result, given["result"])
    return request


def _fail(fields: CommandFields, body: object) -> Message:
    given = cast("FailFields", body)
    if given["canceled"]:
        return _cancel_activity(fields, given)
    request = _by_id(service.RespondActivityTaskFailedByIdRequest, fields, given)
    request.failure.message = given["message"]
    request.failure.source = "Kafka"
    kind = request.failure.application_failure_info
    kind.type = given["type"]
    kind.non_retryable = given["non_retryable"]
    _add(kind.details, given["details"])
    return request


def _cancel_activity(fields: CommandFields, given: FailFields) -> Message:
    request = _by_id(service.RespondActivityTaskCanceledByIdRequest, fields, given)
    _add(request.details, given["details"])
    return request


def _heartbeat(fields: CommandFields, body: object) -> Message:
    given = cast("HeartbeatFields", body)
    request = _by_id(service.RecordActivityTaskHeartbeatByIdRequest, fields, given)
    _add(request.details, given["details"])
    return request


_KINDS: Mapping[str, Callable[[CommandFields, object], Message]] = {
    "millrace.StartWorkflow": _start,
    "millrace.SignalWithStart": _signal_with_start,
    "millrace.SignalWorkflow": _signal,
    "millrace.CancelWorkflow": _cancel,
    "millrace.TerminateWorkflow": _terminate,
    "millrace.CompleteActivity": _complete,
    "millrace.FailActivity": _fail,
    "millrace.HeartbeatActivity": _heartbeat,
}


# -- parts


def _execution(fields: CommandFields, run_id: str) -> common.WorkflowExecution:
    return common.WorkflowExecution(workflow_id=fields["workflow_id"], run_id=run_id)


def _add(payloads: common.Payloads, given: Sequence[PayloadFields]) -> None:
    """Add payloads to a message; none leaves it unset."""
    for each in given:
        payloads.payloads.add(metadata=each["metadata"], data=each["data"])


def _payload(given: PayloadFields) -> common.Payload:
    return common.Payload(metadata=given["metadata"], data=given["data"])


def _duration(span: int) -> Duration:
    """Return a span (ns) as it is, a negative one with negative parts."""
    seconds, nanos = divmod(abs(span), SECOND)
    sign = -1 if span < 0 else 1
    return Duration(seconds=sign * seconds, nanos=sign * nanos)
