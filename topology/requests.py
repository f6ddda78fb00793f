"""Which RPCs are commands: name -> request message, parsed once in the engine."""

from google.protobuf.message import DecodeError, Message

from schemas.errors import InvalidArgument, Unimplemented
from schemas.temporal import operator, service

_COMMANDS: dict[str, type[Message]] = {
    name: getattr(service, f"{name}Request")
    for name in (
        "RegisterNamespace",
        "UpdateNamespace",
        "DeprecateNamespace",
        "StartWorkflowExecution",
        "SignalWorkflowExecution",
        "SignalWithStartWorkflowExecution",
        "RequestCancelWorkflowExecution",
        "TerminateWorkflowExecution",
        "DeleteWorkflowExecution",
        "ResetStickyTaskQueue",
        "RespondWorkflowTaskCompleted",
        "RespondWorkflowTaskFailed",
        "RespondActivityTaskCompleted",
        "RespondActivityTaskFailed",
        "RespondActivityTaskCanceled",
        "RecordActivityTaskHeartbeat",
        "RespondActivityTaskCompletedById",
        "RespondActivityTaskFailedById",
        "RespondActivityTaskCanceledById",
        "RecordActivityTaskHeartbeatById",
    )
}

_COMMANDS |= {
    name: getattr(operator, f"{name}Request")
    for name in ("AddSearchAttributes", "RemoveSearchAttributes", "DeleteNamespace")
}


def parse(method: str, request: bytes) -> Message:
    """Parse the request of a command; raises Unimplemented or InvalidArgument."""
    kind = _COMMANDS.get(method)
    if kind is None:
        raise Unimplemented(f"method {method} is not a command")
    try:
        return kind.FromString(request)
    except DecodeError as error:
        raise InvalidArgument(f"expected a {method} request, found broken bytes") from error


def empty_response(method: str) -> bytes:
    """Return the response of a command that answers with nothing in particular."""
    home = service if hasattr(service, f"{method}Response") else operator
    kind: type[Message] = getattr(home, f"{method}Response")
    return kind().SerializeToString()
