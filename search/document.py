"""The searchable record of a run: what a store keeps, finds it by and shows of it.

Times are exact ns since 1970. An empty string, and None, mean that the run lacks the attribute.
A document replaces the one before it whole; the version, rising within a run, says which is newer.
"""

import msgspec

from search.attributes import NAMESPACE_DIVISION, Attribute, Value
from search.query.values import STATUS_NAMES


class Document(msgspec.Struct, frozen=True, array_like=True):
    """One run. Fields are only ever added at the end: older records lack them."""

    namespace_id: str
    workflow_id: str
    run_id: str
    version: int  # rises with every change of the run, at least 1
    workflow_type: str
    status: int  # temporal.api.enums.v1.WorkflowExecutionStatus
    started_at: int
    execution_at: int  # when the first workflow task may start
    closed_at: int | None = None
    task_queue: str = ""
    parent_workflow_id: str = ""
    parent_run_id: str = ""
    root_workflow_id: str = ""
    root_run_id: str = ""
    history_length: int | None = None  # this and the next three are known when it has closed
    history_bytes: int | None = None
    state_transition_count: int | None = None
    execution_duration: int | None = None  # ns
    memo: bytes = b""  # serialized temporal.api.common.v1.Memo
    attributes: dict[str, Attribute] = {}  # custom and predefined ones, by name
    extra: bytes = b""  # serialized WorkflowExecutionInfo with what else is to be shown

    @property
    def division(self) -> str | None:
        """Its namespace division: there is at most one."""
        held = self.attributes.get(NAMESPACE_DIVISION)
        return str(held.values[0]) if held else None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Document)


def pack(document: Document) -> bytes:
    """Return a document as a store keeps it."""
    return _encoder.encode(document)


def unpack(packed: bytes) -> Document:
    """Return a kept document."""
    return _decoder.decode(packed)


def system_values(document: Document) -> dict[str, Value]:
    """Return the values of the system attributes that a run has, by name."""
    values: dict[str, Value | None] = {
        "WorkflowId": document.workflow_id,
        "RunId": document.run_id,
        "WorkflowType": document.workflow_type,
        "ExecutionStatus": STATUS_NAMES[document.status],
        "StartTime": document.started_at,
        "ExecutionTime": document.execution_at,
        "CloseTime": document.closed_at,
        "TaskQueue": document.task_queue or None,
        "ParentWorkflowId": document.parent_workflow_id or None,
        "ParentRunId": document.parent_run_id or None,
        "RootWorkflowId": document.root_workflow_id or None,
        "RootRunId": document.root_run_id or None,
        "HistoryLength": document.history_length,
        "HistorySizeBytes": document.history_bytes,
        "StateTransitionCount": document.state_transition_count,
        "ExecutionDuration": document.execution_duration,
    }
    return {name: value for name, value in values.items() if value is not None}
