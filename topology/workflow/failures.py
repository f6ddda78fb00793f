"""Failures that the server itself makes, and failures cut to size (temporal-core 6, 25)."""

from typing import Final

from schemas.temporal import failure
from topology.workflow import limits
from topology.workflow.retry import timeout_name

SOURCE: Final = "Server"
TOO_LARGE: Final = "Failure exceeds size limit."
_DEPTH_MAX: Final = 20


def timed_out(timeout_type: int, message: str = "") -> failure.Failure:
    """Return the failure of an activity that took too long."""
    made = failure.Failure(message=message or f"activity {timeout_name(timeout_type)} timeout")
    made.source = SOURCE
    made.timeout_failure_info.timeout_type = timeout_type  # type: ignore[assignment]  # enums travel as ints
    return made


def of_server(message: str, *, is_final: bool) -> failure.Failure:
    """Return a failure with ServerFailureInfo; a final one is not retried."""
    made = failure.Failure(message=message)
    made.server_failure_info.non_retryable = is_final
    return made


def within_event(given: failure.Failure) -> failure.Failure:
    """Return a failure that fits an event: one too large is cut, wrapped and final."""
    if given.ByteSize() <= limits.BLOB_BYTES_MAX:
        return given
    wrapped = of_server(TOO_LARGE, is_final=True)
    wrapped.cause.CopyFrom(_cut(given, limits.BLOB_BYTES_CUT, _DEPTH_MAX))
    return wrapped


def within_row(given: failure.Failure) -> failure.Failure:
    """Return a retried failure that fits the state: one too large is cut and wrapped."""
    if given.ByteSize() <= limits.FAILURE_BYTES_MAX:
        return given
    wrapped = of_server(TOO_LARGE, is_final=False)
    wrapped.cause.CopyFrom(_cut(given, limits.FAILURE_BYTES_CUT, _DEPTH_MAX))
    return wrapped


def _cut(given: failure.Failure, size: int, depth: int) -> failure.Failure:
    """Return the most telling parts of a failure in about so many bytes."""
    made = failure.Failure()
    match given.WhichOneof("failure_info"):
        case "application_failure_info":
            application = given.application_failure_info
            made.application_failure_info.non_retryable = application.non_retryable
            made.application_failure_info.type, size = _head(application.type, size)
            size -= 8
        case "server_failure_info":
            server = given.server_failure_info
            made.server_failure_info.non_retryable = server.non_retryable
            size -= 4
    made.source, size = _head(given.source, size)
    made.message, size = _head(given.message, size)
    made.stack_trace, size = _head(given.stack_trace, size)
    if given.HasField("cause") and size > 4 and depth > 0:
        made.cause.CopyFrom(_cut(given.cause, size - 4, depth - 1))
    return made


def _head(text: str, size: int) -> tuple[str, int]:
    """Return the beginning of a text that fits so many bytes, and the bytes left."""
    head = text.encode()[: max(size, 0)].decode(errors="ignore")
    return head, size - len(head.encode()) - (4 if head else 0)
