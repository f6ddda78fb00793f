"""Cancellation of a workflow: asked for once --> in the history; the workflow decides the rest.

Asking again, or asking a closed run, succeeds and writes nothing (golden cancel_request).
"""

from msgspec.structs import replace

from schemas import event_types as on
from schemas.errors import NotFound
from schemas.temporal import history, service
from topology.turn import Turn
from topology.workflow import execution, workflow_task
from topology.workflow.state import Run


def request_cancel(turn: Turn, request: service.RequestCancelWorkflowExecutionRequest) -> None:
    """Ask a run to end."""
    row = execution.locate(turn, request.workflow_execution).execution
    first_run_id = request.first_execution_run_id
    if first_run_id and row.first_run_id != first_run_id:
        raise NotFound("workflow execution not found")
    if row.status == execution.RUNNING and not row.is_cancel_requested:
        event = turn.event(on.WORKFLOW_EXECUTION_CANCEL_REQUESTED)
        given = event.workflow_execution_cancel_requested_event_attributes
        given.cause = request.reason
        given.identity = request.identity
        event.links.extend(request.links)
        turn.record(event)
        execution.end_backoff(turn)
        workflow_task.schedule_if_idle(turn)
    turn.reply("done", service.RequestCancelWorkflowExecutionResponse().SerializeToString())


def on_cancel_requested(run: Run, _event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowExecutionCancelRequested: not again."""
    return replace(run, execution=replace(run.execution, is_cancel_requested=True))
