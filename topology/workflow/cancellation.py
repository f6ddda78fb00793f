"""Cancellation of a workflow: asked for once --> in the history; the workflow decides the rest.

Asking again, or asking a closed run, succeeds and writes nothing (golden cancel_request).
"""

from collections.abc import Iterable

from msgspec.structs import replace

from schemas import event_types as on
from schemas.errors import NotFound
from schemas.temporal import common, history, service
from topology.turn import Turn
from topology.workflow import execution, workflow_task
from topology.workflow.state import Run


def request_cancel(turn: Turn, request: service.RequestCancelWorkflowExecutionRequest) -> None:
    """Ask a run to end."""
    row = execution.locate(turn, request.workflow_execution).execution
    first_run_id = request.first_execution_run_id
    if first_run_id and row.first_run_id != first_run_id:
        raise NotFound("workflow execution not found")
    receive(turn, cause=request.reason, identity=request.identity, links=request.links)
    turn.reply("done", service.RequestCancelWorkflowExecutionResponse().SerializeToString())


def receive(
    turn: Turn,
    *,
    cause: str,
    identity: str,
    external: tuple[str, str, int] | None = None,
    links: Iterable[common.Link] = (),
) -> None:
    """Record a cancel request for the run in focus, unless it is closed or was asked before.

    `external` names another workflow that asks: workflow id, run id, initiated event id.
    """
    row = turn.execution
    if row.status != execution.RUNNING or row.is_cancel_requested:
        return
    event = turn.event(on.WORKFLOW_EXECUTION_CANCEL_REQUESTED)
    given = event.workflow_execution_cancel_requested_event_attributes
    given.cause = cause
    given.identity = identity
    if external is not None:
        sender = given.external_workflow_execution
        sender.workflow_id, sender.run_id, given.external_initiated_event_id = external
    event.links.extend(links)
    turn.record(event)
    execution.end_backoff(turn)
    workflow_task.schedule_if_idle(turn)


def on_cancel_requested(run: Run, _event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowExecutionCancelRequested: not again."""
    return replace(run, execution=replace(run.execution, is_cancel_requested=True))
