"""The searchable record of a run from its rows: what the fold of its events comes to. Pure."""

import msgspec

from schemas.temporal import common
from search.document import Document
from search.payloads import decode_all, merged
from streams.visibility.indexing import RUNNING
from topology.workflow.scanning import RunRows, execution_of
from topology.workflow.state import Execution


def record_of(rows: RunRows, *, version: int) -> Document:
    """Return the record of a run, as it is at the seq `version` of its partition."""
    row = execution_of(rows.execution)
    attributes = common.SearchAttributes.FromString(rows.search_attributes)
    shown = Document(
        namespace_id=row.namespace_id,
        workflow_id=row.workflow_id,
        run_id=row.run_id,
        version=version,
        workflow_type=row.workflow_type,
        status=row.status,
        started_at=row.started_at,
        execution_at=row.execution_at,
        task_queue=row.queue,
        parent_workflow_id=row.parent_workflow_id,
        parent_run_id=row.parent_run_id,
        root_workflow_id=row.root_workflow_id or row.workflow_id,
        root_run_id=row.root_run_id or row.run_id,
        memo=rows.memo,
        attributes=merged({}, decode_all(attributes)),
    )
    return shown if row.status == RUNNING else _closed(shown, row)


def _closed(document: Document, row: Execution) -> Document:
    measured = {
        "closed_at": row.closed_at,
        "history_length": row.next_event_id - 1,
        "history_bytes": row.history_bytes,
        "state_transition_count": row.transition_count,
        "execution_duration": max(row.closed_at - row.execution_at, 0),
    }
    return msgspec.structs.replace(document, **measured)
