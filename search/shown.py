"""What a list answers of a run: its document as Temporal's WorkflowExecutionInfo."""

from collections.abc import Mapping

from schemas.instants import duration_of, timestamp_of
from schemas.temporal import common, workflow
from search.attributes import PREDEFINED, Attribute, Value, ValueType
from search.document import Document
from search.payloads import encode, encode_all


def shown(document: Document, custom: Mapping[str, int]) -> workflow.WorkflowExecutionInfo:
    """Return what is shown of a run; attributes that its namespace no longer has are left out."""
    answer = workflow.WorkflowExecutionInfo.FromString(document.extra)
    answer.execution.CopyFrom(_execution(document.workflow_id, document.run_id))
    answer.type.name = document.workflow_type
    answer.status = document.status  # type: ignore[assignment]  # enums travel as ints
    answer.task_queue = document.task_queue
    _add_times(answer, document)
    if document.parent_workflow_id:
        parent = _execution(document.parent_workflow_id, document.parent_run_id)
        answer.parent_execution.CopyFrom(parent)
    root = _execution(document.root_workflow_id, document.root_run_id)
    answer.root_execution.CopyFrom(root)
    answer.history_length = document.history_length or 0
    answer.history_size_bytes = document.history_bytes or 0
    answer.state_transition_count = document.state_transition_count or 0
    answer.memo.CopyFrom(common.Memo.FromString(document.memo))
    answer.search_attributes.CopyFrom(encode_all(_kept(document.attributes, custom)))
    return answer


def shown_group(value: Value) -> common.Payload:
    """Return the value of a group of a count."""
    return encode(Attribute(ValueType.KEYWORD, (value,)))


def _add_times(answer: workflow.WorkflowExecutionInfo, document: Document) -> None:
    answer.start_time.CopyFrom(timestamp_of(document.started_at))
    answer.execution_time.CopyFrom(timestamp_of(document.execution_at))
    if document.closed_at is not None:
        answer.close_time.CopyFrom(timestamp_of(document.closed_at))
    if document.execution_duration is not None:
        answer.execution_duration.CopyFrom(duration_of(document.execution_duration))


def _kept(attributes: Mapping[str, Attribute], custom: Mapping[str, int]) -> dict[str, Attribute]:
    return {
        name: attribute
        for name, attribute in attributes.items()
        if name in PREDEFINED or custom.get(name) == attribute.type
    }


def _execution(workflow_id: str, run_id: str) -> common.WorkflowExecution:
    return common.WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
