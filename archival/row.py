"""A closed run as the lake keeps it: what it is searched by, and what is shown of it.

Times are exact ns since 1970. `execution` is Temporal's own message, so that a list shows a run as
the live one did; the other fields are for searching and for those who read the Parquet files.
"""

import msgspec

from archival.proto_json import to_json
from archival.record import Record, attribute_texts, duration_of_run
from archival.run import RunKey, Written
from schemas.instants import instant_of
from schemas.temporal import enums, workflow

Position = tuple[int, int, str]
"""Where a run stands in a list: closed at, started at, run id, all descending."""

_encoder = msgspec.json.Encoder()


class ArchivedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one namespace."""

    namespace: str
    workflow_id: str
    run_id: str
    workflow_type: str
    status: str  # as in queries: Completed, Failed ...
    started_at: int
    closed_at: int
    execution_at: int | None = None
    execution_duration: int | None = None  # ns
    history_length: int = 0
    history_size_bytes: int = 0
    state_transition_count: int = 0
    task_queue: str = ""
    parent_workflow_id: str = ""
    parent_run_id: str = ""
    root_workflow_id: str = ""
    root_run_id: str = ""
    memo: str = ""  # JSON
    search_attributes: dict[str, str] = {}
    history_uri: str = ""
    close_version: int = 0
    objects_count: int = 0  # of the archived history; 0: only the record is archived
    archived_bytes: int = 0
    history_sha256: bytes = b""  # of the archived history's objects, one behind the other
    execution: bytes = b""  # serialized temporal.api.workflow.v1.WorkflowExecutionInfo

    @property
    def position(self) -> Position:
        """Where it stands in a list."""
        return self.closed_at, self.started_at, self.run_id

    def shown(self) -> workflow.WorkflowExecutionInfo:
        """Return what a list shows of it."""
        shown = workflow.WorkflowExecutionInfo()
        shown.ParseFromString(self.execution)
        return shown

    def key(self, namespace_id: str) -> RunKey:
        """Return which run it is."""
        return RunKey(namespace_id, self.workflow_id, self.run_id)


def row_of(record: Record, written: Written | None = None) -> ArchivedRun:
    """Return the row of a run; `written` is its archived history, where there is one."""
    execution = record.execution
    has_memo = bool(execution.memo.fields)
    return ArchivedRun(
        namespace=record.namespace,
        workflow_id=record.key.workflow_id,
        run_id=record.key.run_id,
        workflow_type=record.workflow_type,
        status=status_name(execution.status),
        started_at=record.started_at,
        closed_at=record.closed_at,
        execution_at=instant_of(execution.execution_time)
        if execution.HasField("execution_time")
        else None,
        execution_duration=duration_of_run(execution),
        history_length=execution.history_length,
        history_size_bytes=execution.history_size_bytes,
        state_transition_count=execution.state_transition_count,
        task_queue=execution.task_queue,
        parent_workflow_id=execution.parent_execution.workflow_id,
        parent_run_id=execution.parent_execution.run_id,
        root_workflow_id=execution.root_execution.workflow_id,
        root_run_id=execution.root_execution.run_id,
        memo=_encoder.encode(to_json(execution.memo)).decode() if has_memo else "",
        search_attributes=attribute_texts(execution.search_attributes),
        history_uri=record.history_uri,
        close_version=written.version if written else 0,
        objects_count=written.blobs_count if written else 0,
        archived_bytes=written.size_bytes if written else 0,
        history_sha256=written.sha256 if written else b"",
        execution=execution.SerializeToString(deterministic=True),
    )


def status_name(status: int) -> str:
    """Return a status as queries spell it."""
    kinds = enums.WorkflowExecutionStatus
    name = kinds.Name(status) if status in kinds.values() else ""  # type: ignore[arg-type]  # enums are ints
    words = name.removeprefix("WORKFLOW_EXECUTION_STATUS_").split("_")
    return "".join(word.capitalize() for word in words)
