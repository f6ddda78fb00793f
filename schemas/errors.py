"""Whose fault it is: the errors that cross layers.

`Rejected` is the caller's fault (its children mirror Temporal's service errors, code and detail
included), `Unavailable` is the environment's (retried in shells with jitter and a bound), and an
`AssertionError` is ours: it stops what it happens in. Messages say what was expected and found.
"""

from enum import IntEnum

from google.protobuf.message import Message

from schemas.temporal import any_message, errordetails, failure, rpc_status


class Code(IntEnum):
    """gRPC status codes, by number."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ServiceError(Exception):
    """An error a caller sees: a gRPC code, a message, and at most one detail message."""

    code: Code = Code.UNKNOWN

    def __init__(self, message: str, detail: Message | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def status(self) -> bytes:
        """Return the serialized google.rpc.Status (the `grpc-status-details-bin` trailer)."""
        status = rpc_status.Status(code=int(self.code), message=self.message)
        if self.detail is not None:
            packed = any_message.Any()
            packed.Pack(self.detail)
            status.details.append(packed)
        return bytes(status.SerializeToString())


class Rejected(ServiceError):
    """The caller asked for what cannot be; nothing was recorded."""


class InvalidArgument(Rejected):
    """The request itself is wrong."""

    code = Code.INVALID_ARGUMENT


class NotFound(Rejected):
    """What was asked for is not there (any more)."""

    code = Code.NOT_FOUND

    def __init__(self, message: str, detail: Message | None = None) -> None:
        super().__init__(message, detail or errordetails.NotFoundFailure())


class AlreadyExists(Rejected):
    """What was to be made is there."""

    code = Code.ALREADY_EXISTS


class NamespaceNotFound(Rejected):
    """The namespace does not exist."""

    code = Code.NOT_FOUND

    def __init__(self, namespace: str) -> None:
        detail = errordetails.NamespaceNotFoundFailure(namespace=namespace)
        super().__init__(f"Namespace {namespace} is not found.", detail)


class NamespaceAlreadyExists(Rejected):
    """The namespace name is taken."""

    code = Code.ALREADY_EXISTS

    def __init__(self, message: str = "Namespace already exists.") -> None:
        super().__init__(message, errordetails.NamespaceAlreadyExistsFailure())


class WorkflowAlreadyStarted(Rejected):
    """The workflow id is in use, or its reuse policy forbids another run."""

    code = Code.ALREADY_EXISTS

    def __init__(self, message: str, *, start_request_id: str, run_id: str) -> None:
        detail = errordetails.WorkflowExecutionAlreadyStartedFailure(
            start_request_id=start_request_id, run_id=run_id
        )
        super().__init__(message, detail)


class FailedPrecondition(Rejected):
    """The state of things does not allow it."""

    code = Code.FAILED_PRECONDITION


class WorkflowNotReady(FailedPrecondition):
    """The workflow cannot be asked (yet)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, errordetails.WorkflowNotReadyFailure())


class QueryFailed(InvalidArgument):
    """The worker could not answer a query; `cause` is what it said."""

    def __init__(self, message: str, cause: failure.Failure | None = None) -> None:
        super().__init__(message, errordetails.QueryFailedFailure(failure=cause))


class PermissionDenied(Rejected):
    """The caller may not."""

    code = Code.PERMISSION_DENIED

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message, errordetails.PermissionDeniedFailure(reason=reason))


class ResourceExhausted(Rejected):
    """A limit is reached; `cause` and `scope` are Temporal's enums."""

    code = Code.RESOURCE_EXHAUSTED

    def __init__(self, message: str, *, cause: int = 0, scope: int = 0) -> None:
        detail = errordetails.ResourceExhaustedFailure()
        detail.cause = cause  # type: ignore[assignment]  # enums travel as ints
        detail.scope = scope  # type: ignore[assignment]  # enums travel as ints
        super().__init__(message, detail)


class Unimplemented(Rejected):
    """Not there yet; the message names what was asked."""

    code = Code.UNIMPLEMENTED


class Stale(Rejected):
    """A wake-up or offer that belongs to something gone; dropped and counted, never answered."""

    code = Code.ABORTED


class Unavailable(ServiceError):
    """The environment's fault: the same request may succeed later."""

    code = Code.UNAVAILABLE


class NotTheOwner(Unavailable):
    """The partition belongs to another node, or to nobody yet; nothing was appended."""


class OutcomeUnknown(Unavailable):
    """Something may have been appended; ask again under the same command id."""


class DeadlineExceeded(ServiceError):
    """The caller's time is up."""

    code = Code.DEADLINE_EXCEEDED


class Internal(ServiceError):
    """A bug of ours, answered as such (L13)."""

    code = Code.INTERNAL
