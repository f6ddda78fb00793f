"""Errors carry Temporal's code and detail."""

from google.rpc.status_pb2 import Status

from schemas.errors import (
    Code,
    InvalidArgument,
    NamespaceNotFound,
    NotFound,
    ResourceExhausted,
    WorkflowAlreadyStarted,
)
from schemas.temporal import errordetails


def test_not_found_has_its_detail() -> None:
    """NOT_FOUND of a workflow carries a NotFoundFailure."""
    status = Status.FromString(NotFound("gone").status())
    assert (Code.NOT_FOUND, "gone") == (status.code, status.message)
    assert status.details[0].Is(errordetails.NotFoundFailure.DESCRIPTOR)


def test_invalid_argument_has_no_detail() -> None:
    """INVALID_ARGUMENT is only a text."""
    status = Status.FromString(InvalidArgument("bad").status())
    assert (Code.INVALID_ARGUMENT, 0) == (status.code, len(status.details))


def test_unknown_namespace_names_it() -> None:
    """SDKs branch on the detail's type, people read the text."""
    error = NamespaceNotFound("nowhere")
    assert error.message == "Namespace nowhere is not found."
    assert error.detail == errordetails.NamespaceNotFoundFailure(namespace="nowhere")


def test_already_started_tells_the_run() -> None:
    """SDKs read the run id of the run that is there."""
    error = WorkflowAlreadyStarted("there", start_request_id="r", run_id="1")
    assert error.detail == errordetails.WorkflowExecutionAlreadyStartedFailure(
        start_request_id="r", run_id="1"
    )


def test_resource_exhausted_has_cause_and_scope() -> None:
    """Limits say which one was reached."""
    detail = ResourceExhausted("busy", cause=5, scope=1).detail
    assert isinstance(detail, errordetails.ResourceExhaustedFailure)
    assert (5, 1) == (detail.cause, detail.scope)
