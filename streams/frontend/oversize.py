"""Answers of workers that are over the blob limit: made to fit, or made a failure (Temporal's way).

A worker could not send a smaller answer, so refusing the call would only make it try again.
"""

from schemas.temporal import failure, service
from streams.frontend.validation import BLOB_BYTES

_CUT_BYTES = 512 * 1024
_DEPTH = 20

Completed = (
    service.RespondActivityTaskCompletedRequest | service.RespondActivityTaskCompletedByIdRequest
)
Failed = service.RespondActivityTaskFailedRequest | service.RespondActivityTaskFailedByIdRequest
Canceled = (
    service.RespondActivityTaskCanceledRequest | service.RespondActivityTaskCanceledByIdRequest
)
Heartbeat = (
    service.RecordActivityTaskHeartbeatRequest | service.RecordActivityTaskHeartbeatByIdRequest
)


def fitting_completion(request: Completed, packed: bytes) -> tuple[str, bytes]:
    """Return the method and request that record a result, or that it is too large."""
    if len(packed) <= BLOB_BYTES or request.result.ByteSize() <= BLOB_BYTES:
        return _name(request), packed
    return _failed_instead(request, "Complete result exceeds size limit.")


def fitting_cancellation(request: Canceled, packed: bytes) -> tuple[str, bytes]:
    """Return the method and request that record a cancellation, or that it is too large."""
    if len(packed) <= BLOB_BYTES or request.details.ByteSize() <= BLOB_BYTES:
        return _name(request), packed
    return _failed_instead(request, "Cancel details exceed size limit.")


def fitting_heartbeat(request: Heartbeat, packed: bytes) -> bytes | None:
    """Return the failure to record instead of a heartbeat that is too large, if it is."""
    if len(packed) <= BLOB_BYTES or request.details.ByteSize() <= BLOB_BYTES:
        return None
    return _failed_instead(request, "Heartbeat details exceed size limit.")[1]


def fitting_failure(request: Failed, packed: bytes) -> tuple[bytes, list[failure.Failure]]:
    """Return the request with what is too large cut, and the failures that tell the worker."""
    told: list[failure.Failure] = []
    if len(packed) <= BLOB_BYTES:
        return packed, told
    if request.last_heartbeat_details.ByteSize() > BLOB_BYTES:
        request.ClearField("last_heartbeat_details")
        told.append(_server_failure("Heartbeat details exceed size limit."))
    if request.failure.ByteSize() > BLOB_BYTES:
        _wrap(request.failure)
        told.append(request.failure)
    return request.SerializeToString(), told


def fitting_task_failure(request: service.RespondWorkflowTaskFailedRequest, packed: bytes) -> bytes:
    """Return the request with a failure that is too large cut."""
    if len(packed) <= BLOB_BYTES or request.failure.ByteSize() <= BLOB_BYTES:
        return packed
    _wrap(request.failure)
    return request.SerializeToString()


def _wrap(found: failure.Failure) -> None:
    """Make a failure the cut cause of one that says so."""
    wrapped = _server_failure("Failure exceeds size limit.")
    wrapped.cause.CopyFrom(cut(found, _CUT_BYTES))
    found.CopyFrom(wrapped)


def cut(found: failure.Failure, limit_bytes: int, depth: int = _DEPTH) -> failure.Failure:
    """Return a failure of at most so many bytes: what it is, then its texts, then its cause."""
    room = _Room(limit_bytes)
    kept = failure.Failure()
    if found.HasField("application_failure_info"):
        info = found.application_failure_info
        kept.application_failure_info.non_retryable = info.non_retryable
        kept.application_failure_info.type = room.take(info.type)
        room.left -= 8
    elif found.HasField("server_failure_info"):
        kept.server_failure_info.non_retryable = found.server_failure_info.non_retryable
        room.left -= 4
    kept.source = room.take(found.source)
    kept.message = room.take(found.message)
    kept.stack_trace = room.take(found.stack_trace)
    if found.HasField("cause") and room.left > 4 and depth > 0:
        kept.cause.CopyFrom(cut(found.cause, room.left - 4, depth - 1))
    return kept


class _Room:
    """How many bytes may still be kept; earlier texts come first."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, text: str) -> str:
        """Return as much of a text as there is room for."""
        packed = text.encode()[: max(self.left, 0)]
        kept = packed.decode(errors="ignore")
        self.left -= len(kept.encode()) + (4 if kept else 0)
        return kept


def _server_failure(message: str) -> failure.Failure:
    made = failure.Failure(message=message)
    made.server_failure_info.non_retryable = True
    return made


def _name(request: Completed | Canceled) -> str:
    return request.DESCRIPTOR.name.removesuffix("Request")


def _failed_instead(request: Completed | Canceled | Heartbeat, message: str) -> tuple[str, bytes]:
    """Return the method and request that fail the activity of a request."""
    instead: Failed
    if isinstance(
        request,
        service.RespondActivityTaskCompletedRequest
        | service.RespondActivityTaskCanceledRequest
        | service.RecordActivityTaskHeartbeatRequest,
    ):
        instead = service.RespondActivityTaskFailedRequest(task_token=request.task_token)
    else:
        instead = service.RespondActivityTaskFailedByIdRequest(
            workflow_id=request.workflow_id,
            run_id=request.run_id,
            activity_id=request.activity_id,
        )
    instead.namespace = request.namespace
    instead.identity = request.identity
    instead.failure.CopyFrom(_server_failure(message))
    return instead.DESCRIPTOR.name.removesuffix("Request"), instead.SerializeToString()
