"""Which run a read names: by its run id, or the newest one of a workflow id.

For reads of stored rows only; what a turn is about is found by `execution.locate`.
"""

from schemas.errors import NotFound
from schemas.temporal import common
from topology.decision import Rows
from topology.workflow import keys
from topology.workflow import rows as run_rows
from topology.workflow.state import Run


def locate(
    rows: Rows, namespace_id: str, execution: common.WorkflowExecution, *, run_id: str = ""
) -> Run:
    """Read the run that a request names (no run id: the newest one); raises NotFound."""
    run_id = run_id or execution.run_id or _newest(rows, namespace_id, execution.workflow_id)
    return _checked(run_rows.load(rows, run_id), namespace_id, execution.workflow_id, run_id)


def locate_row(
    rows: Rows, namespace_id: str, execution: common.WorkflowExecution, *, run_id: str = ""
) -> Run:
    """Read the run that a request names, but nothing of it than its execution."""
    run_id = run_id or execution.run_id or _newest(rows, namespace_id, execution.workflow_id)
    return _checked(run_rows.load_row(rows, run_id), namespace_id, execution.workflow_id, run_id)


def _newest(rows: Rows, namespace_id: str, workflow_id: str) -> str:
    found = rows.get(keys.current_key(namespace_id, workflow_id))
    if found is None:
        raise NotFound(f"workflow not found for ID: {workflow_id}")
    return run_rows.unpack_current(found).run_id


def _checked(run: Run | None, namespace_id: str, workflow_id: str, run_id: str) -> Run:
    if (
        run is None
        or run.execution.workflow_id != workflow_id
        or run.execution.namespace_id != namespace_id
    ):
        raise NotFound(
            f'workflow execution not found for workflow ID "{workflow_id}" and run ID "{run_id}"'
        )
    return run
