"""Commands of Kafka clients become requests of the RPCs they stand for, or are refused alike."""

from typing import Any

import pytest

from schemas.codec import COMMAND
from schemas.errors import FailedPrecondition, InvalidArgument, NotFound, Rejected, Unimplemented
from schemas.instants import SECOND
from schemas.temporal import common, service
from topology.checks import CHECKS
from topology.decision import Namespace
from topology.typed_commands import request_of

NAMESPACE = Namespace("id", "ns", 1, 0)
PAYLOAD = {"metadata": {"encoding": b"json/plain"}, "data": b"1"}
START = {"workflow_type": "Order", "task_queue": "orders"}


def _request(kind: str, body: dict[str, Any], **more: Any) -> tuple[str, Any]:
    """Return what becomes of a command that went through Avro."""
    fields = {
        "command_id": b"",
        "namespace": "ns",
        "workflow_id": "w",
        "identity": "me",
        "request_id": "r",
        "body": (f"millrace.{kind}", body),
        **more,
    }
    value = COMMAND.encode(fields)
    return request_of(COMMAND.decode(value), NAMESPACE, size_bytes=len(value), nonce="n")


def test_a_start_has_all_that_was_given() -> None:
    """Every field of the record finds its place."""
    body = {
        **START,
        "input": [PAYLOAD, PAYLOAD],
        "execution_timeout": 3 * SECOND,
        "run_timeout": 2 * SECOND,
        "task_timeout": 1 * SECOND,
        "id_reuse_policy": 2,
        "id_conflict_policy": 2,
        "memo": {"note": PAYLOAD},
        "search_attributes": {"Color": PAYLOAD},
        "header": {"trace": PAYLOAD},
    }
    expected = service.StartWorkflowExecutionRequest(
        namespace="ns",
        workflow_id="w",
        identity="me",
        request_id="r",
        workflow_id_reuse_policy=2,  # type: ignore[arg-type]  # enums travel as ints
        workflow_id_conflict_policy=2,  # type: ignore[arg-type]  # enums travel as ints
    )
    payload = common.Payload(metadata={"encoding": b"json/plain"}, data=b"1")
    expected.workflow_type.name = "Order"
    expected.task_queue.name = "orders"
    expected.input.payloads.extend([payload, payload])
    expected.workflow_execution_timeout.seconds = 3
    expected.workflow_run_timeout.seconds = 2
    expected.workflow_task_timeout.seconds = 1
    expected.memo.fields["note"].CopyFrom(payload)
    expected.search_attributes.indexed_fields["Color"].CopyFrom(payload)
    expected.header.fields["trace"].CopyFrom(payload)
    assert _request("StartWorkflow", body) == ("StartWorkflowExecution", expected)


def test_what_is_left_out_stays_unset() -> None:
    """A start with nothing but its type and queue is that of a gRPC caller who gives no more."""
    _, request = _request("StartWorkflow", START)
    assert [field.name for field, _ in request.ListFields()] == [
        "namespace",
        "workflow_id",
        "workflow_type",
        "task_queue",
        "identity",
        "request_id",
    ]


@pytest.mark.parametrize("kind", ["StartWorkflow", "SignalWithStart"])
def test_a_start_without_a_request_id_counts_each_time(kind: str) -> None:
    """Its place in the topic is its request id."""
    body = START if kind == "StartWorkflow" else {"start": START, "signal_name": "s"}
    _, request = _request(kind, body, request_id="")
    assert request.request_id == "n"
    _, signal = _request("SignalWorkflow", {"signal_name": "s"}, request_id="")
    assert signal.request_id == ""


def test_the_other_kinds() -> None:
    """Each is the request of its RPC, for the workflow id of the command."""
    method, signal = _request(
        "SignalWorkflow",
        {"signal_name": "paid", "input": [PAYLOAD], "header": {"trace": PAYLOAD}},
    )
    assert (method, signal.signal_name) == ("SignalWorkflowExecution", "paid")
    assert signal.workflow_execution.workflow_id == "w"
    assert (len(signal.input.payloads), len(signal.header.fields)) == (1, 1)
    method, both = _request(
        "SignalWithStart", {"start": START, "signal_name": "paid", "signal_input": [PAYLOAD]}
    )
    assert (method, both.workflow_type.name) == ("SignalWithStartWorkflowExecution", "Order")
    assert len(both.signal_input.payloads) == 1
    method, cancel = _request("CancelWorkflow", {"reason": "enough"})
    assert (method, cancel.reason) == ("RequestCancelWorkflowExecution", "enough")
    method, end = _request("TerminateWorkflow", {"reason": "enough", "details": [PAYLOAD]})
    assert (method, end.reason, end.identity) == ("TerminateWorkflowExecution", "enough", "me")
    method, done = _request("CompleteActivity", {"activity_id": "a", "result": [PAYLOAD]})
    assert (method, done.workflow_id) == ("RespondActivityTaskCompletedById", "w")
    method, beat = _request("HeartbeatActivity", {"activity_id": "a", "details": [PAYLOAD]})
    assert (method, len(beat.details.payloads)) == ("RecordActivityTaskHeartbeatById", 1)
    method, failed = _request(
        "FailActivity",
        {"activity_id": "a", "message": "no", "type": "Oh", "non_retryable": True},
    )
    assert method == "RespondActivityTaskFailedById"
    assert failed.failure.message == "no"
    assert failed.failure.application_failure_info.type == "Oh"
    assert failed.failure.application_failure_info.non_retryable
    method, canceled = _request(
        "FailActivity",
        {"activity_id": "a", "message": "", "canceled": True, "details": [PAYLOAD]},
    )
    assert (method, canceled.activity_id) == ("RespondActivityTaskCanceledById", "a")
    assert len(canceled.details.payloads) == 1


def test_a_termination_without_reason_has_temporals() -> None:
    """As over gRPC."""
    _, request = _request("TerminateWorkflow", {}, identity="")
    assert request.reason == "terminated by user via frontend"
    assert request.identity == "frontend-service"


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("StartWorkflow", {**START, "workflow_type": ""}, "WorkflowType is not set on request."),
        ("StartWorkflow", {**START, "task_queue": ""}, "missing task queue name"),
        (
            "StartWorkflow",
            {**START, "run_timeout": -1},
            "An invalid WorkflowRunTimeoutSeconds is set on request. cause: negative duration",
        ),
        ("SignalWorkflow", {"signal_name": ""}, "SignalName is not set on request."),
        ("SignalWorkflow", {"signal_name": "s", "run_id": "x"}, "Invalid RunId."),
        ("CancelWorkflow", {"run_id": "x"}, "Invalid RunId."),
        ("TerminateWorkflow", {"run_id": "x"}, "Invalid RunId."),
        ("CompleteActivity", {"activity_id": ""}, "ActivityId is not set on request."),
        ("StartWorkflow", {**START, "input": [{**PAYLOAD, "data": bytes(3 << 20)}]}, "Blob data"),
        ("SignalWorkflow", {"signal_name": "s" * 2_000}, "SignalName length exceeds limit."),
    ],
)
def test_refusals_are_those_of_the_frontend(kind: str, body: dict[str, Any], message: str) -> None:
    """The same rules, the same texts."""
    with pytest.raises(InvalidArgument, match=message):
        _request(kind, body)


def test_an_empty_workflow_id_is_refused() -> None:
    """Whatever is asked."""
    with pytest.raises(InvalidArgument, match="WorkflowId is not set on request"):
        _request("StartWorkflow", START, workflow_id="")
    with pytest.raises(NotFound, match="activity not found for ID: a"):
        _request("CompleteActivity", {"activity_id": "a"}, workflow_id="")


def test_a_deprecated_namespace_takes_no_start() -> None:
    """As over gRPC; what runs there may be signalled."""
    deprecated = Namespace("id", "ns", 2, 0)

    def ask(kind: str, body: dict[str, Any]) -> None:
        fields = {"namespace": "ns", "workflow_id": "w", "identity": "", "request_id": ""}
        value = COMMAND.encode({**fields, "command_id": b"", "body": (f"millrace.{kind}", body)})
        request_of(COMMAND.decode(value), deprecated, size_bytes=0, nonce="n")

    with pytest.raises(FailedPrecondition, match="Namespace has invalid state: Deprecated"):
        ask("StartWorkflow", START)
    ask("SignalWorkflow", {"signal_name": "s"})


def _grpc(method: str, request: bytes, **more: Any) -> tuple[str, Any]:
    return _request("GrpcRequest", {"method": method, "request": request}, **more)


def test_a_grpc_request_is_passed_on_with_what_the_command_says() -> None:
    """Names that it leaves out are the command's."""
    request = service.SignalWorkflowExecutionRequest(signal_name="s")
    method, found = _grpc("SignalWorkflowExecution", request.SerializeToString())
    assert method == "SignalWorkflowExecution"
    assert (found.namespace, found.workflow_execution.workflow_id) == ("ns", "w")
    assert (found.identity, found.request_id) == ("me", "r")


def test_a_workflow_is_deleted_by_a_grpc_request() -> None:
    """There is no typed command for it."""
    method, found = _grpc("DeleteWorkflowExecution", b"")
    assert method == "DeleteWorkflowExecution"
    assert (found.namespace, found.workflow_execution.workflow_id) == ("ns", "w")


def test_a_grpc_request_must_agree_with_its_command() -> None:
    """Otherwise it would be decided where its workflow id is not."""
    request = service.StartWorkflowExecutionRequest(workflow_id="other")
    with pytest.raises(InvalidArgument, match="expected the request's workflow_id to be"):
        _grpc("StartWorkflowExecution", request.SerializeToString())
    request = service.StartWorkflowExecutionRequest(namespace="other")
    with pytest.raises(InvalidArgument, match="expected the request's namespace to be"):
        _grpc("StartWorkflowExecution", request.SerializeToString())


@pytest.mark.parametrize(
    "method", ["RegisterNamespace", "RespondWorkflowTaskCompleted", "StartChild", "FireDue", "Eat"]
)
def test_what_clients_may_not_ask_is_unimplemented(method: str) -> None:
    """Namespaces, workers' answers by token, and what only nodes say."""
    assert method not in CHECKS
    with pytest.raises(Unimplemented, match=f"method {method} is not served on `commands`"):
        _grpc(method, b"")


def test_broken_bytes_are_refused() -> None:
    """A request that does not parse is the caller's fault."""
    with pytest.raises(Rejected, match="found broken bytes"):
        _grpc("StartWorkflowExecution", b"\xff\xff")
