"""What one partition asks of another: asks that come as forwards (L16).

The class name is the method. A forward about a history event carries it as `event`, serialized;
the sender's engine reads it from its rows when it sends.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from schemas.errors import Unimplemented
from schemas.temporal import enums, history
from topology.effects import Forward, Quote

_encode = msgspec.msgpack.Encoder().encode


class Asked(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """The base of every forward."""

    event: bytes = b""  # serialized HistoryEvent, filled in on the way


class StartChild(Asked, frozen=True, array_like=True, kw_only=True):
    """Parent to child: begin. The event is StartChildWorkflowExecutionInitiated."""

    parent_namespace_id: str
    parent_namespace: str
    parent_workflow_id: str
    parent_run_id: str
    initiated_event_id: int
    root_workflow_id: str
    root_run_id: str
    request_id: str
    priority: bytes = b""  # serialized Priority of the parent


class ChildStarted(Asked, frozen=True, array_like=True, kw_only=True):
    """Child to parent: it runs."""

    parent_run_id: str
    initiated_event_id: int
    run_id: str


class ChildNotStarted(Asked, frozen=True, array_like=True, kw_only=True):
    """Child's id to parent: it does not run; cause is StartChildWorkflowExecutionFailedCause."""

    parent_run_id: str
    initiated_event_id: int
    cause: int


class ChildClosed(Asked, frozen=True, array_like=True, kw_only=True):
    """Child to parent: the last run of its chain closed. The event is the closing one."""

    parent_run_id: str
    initiated_event_id: int
    run_id: str


class ParentClosed(Asked, frozen=True, array_like=True, kw_only=True):
    """Parent to child: the parent closed; policy is ParentClosePolicy."""

    parent_workflow_id: str
    parent_run_id: str
    initiated_event_id: int
    policy: int


class SignalExternal(Asked, frozen=True, array_like=True, kw_only=True):
    """Workflow to workflow: a signal. The event is SignalExternal...Initiated."""

    sender_namespace: str
    sender_workflow_id: str
    sender_run_id: str
    request_id: str


class ExternalSignaled(Asked, frozen=True, array_like=True, kw_only=True):
    """Target to sender: signalled, or why not (a SignalExternal...FailedCause; 0: signalled)."""

    run_id: str
    initiated_event_id: int
    cause: int


class CancelExternal(Asked, frozen=True, array_like=True, kw_only=True):
    """Workflow to workflow: please end. The event is RequestCancelExternal...Initiated."""

    sender_namespace: str
    sender_workflow_id: str
    sender_run_id: str
    request_id: str


class ExternalCancelRequested(Asked, frozen=True, array_like=True, kw_only=True):
    """Target to sender: asked, or why not (a CancelExternal...FailedCause; 0: asked)."""

    run_id: str
    initiated_event_id: int
    cause: int


class NamespaceSwept(Asked, frozen=True, array_like=True, kw_only=True):
    """Partition to the home of a deleted namespace: nothing of it is left there."""

    namespace_id: str
    partition: int
    partitions: int


KINDS: tuple[type[Asked], ...] = (
    StartChild,
    ChildStarted,
    ChildNotStarted,
    ChildClosed,
    ParentClosed,
    SignalExternal,
    ExternalSignaled,
    CancelExternal,
    ExternalCancelRequested,
    NamespaceSwept,
)


def forward(
    asked: Asked, *, namespace: str, workflow_id: str, quote: Quote | None = None
) -> Forward:
    """Return the effect that asks a workflow id."""
    return Forward(namespace, workflow_id, type(asked).__name__, _encode(asked), quote)


def parse(method: str, request: bytes, event: bytes) -> Asked:
    """Read what a forward asks; raises Unimplemented."""
    decode = _decoders.get(method)
    if decode is None:
        raise Unimplemented(f"method {method} is not a forward")
    return replace(decode(request), event=event)


def run_of(asked: Asked) -> str:
    """Return the run that a forward is to; empty: the workflow id's current one, or a new one."""
    match asked:
        case ChildStarted() | ChildNotStarted() | ChildClosed():
            return asked.parent_run_id
        case ExternalSignaled() | ExternalCancelRequested():
            return asked.run_id
        case _:
            return ""


def failure_of(asked: Asked) -> Forward | None:
    """Return what a sender must hear whose forward came to nothing (L13); None: it does not wait.

    SDKs know few causes; the ones that they turn into failures of the workflow's call are taken.
    """
    match asked:
        case StartChild():
            told: Asked = ChildNotStarted(
                parent_run_id=asked.parent_run_id,
                initiated_event_id=asked.initiated_event_id,
                cause=_CHILD_FAILED,
            )
            return forward(
                told, namespace=asked.parent_namespace, workflow_id=asked.parent_workflow_id
            )
        case SignalExternal() | CancelExternal():
            is_signal = isinstance(asked, SignalExternal)
            kind = ExternalSignaled if is_signal else ExternalCancelRequested
            told = kind(
                run_id=asked.sender_run_id,
                initiated_event_id=history.HistoryEvent.FromString(asked.event).event_id,
                cause=_SIGNAL_FAILED if is_signal else _CANCEL_FAILED,
            )
            return forward(
                told, namespace=asked.sender_namespace, workflow_id=asked.sender_workflow_id
            )
        case _:
            return None


_CHILD_FAILED = enums.StartChildWorkflowExecutionFailedCause.Value(
    "START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS"
)
_SIGNAL_FAILED = enums.SignalExternalWorkflowExecutionFailedCause.Value(
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND"
)
_CANCEL_FAILED = enums.CancelExternalWorkflowExecutionFailedCause.Value(
    "CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND"
)

_decoders: dict[str, Callable[[bytes], Asked]] = {
    kind.__name__: msgspec.msgpack.Decoder(kind).decode for kind in KINDS
}
