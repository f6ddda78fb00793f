"""Signal: asked for --> in the history, once for each request id.

A signal needs no answer from the workflow; it is an event, and wakes the workflow up.
"""

from msgspec.structs import replace

from schemas import event_types as on
from schemas.errors import InvalidArgument, ResourceExhausted
from schemas.temporal import common, enums, history, service
from topology.turn import Turn
from topology.workflow import execution, keys, workflow_task
from topology.workflow.facts import RequestTaken
from topology.workflow.state import Run

_BUSY = enums.ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW
_NAMESPACE = enums.ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE

SignalRequest = (
    service.SignalWorkflowExecutionRequest | service.SignalWithStartWorkflowExecutionRequest
)


def send(turn: Turn, request: service.SignalWorkflowExecutionRequest) -> None:
    """Signal an open run."""
    execution.locate_open(turn, request.workflow_execution)
    receive(turn, request)
    turn.reply("done", service.SignalWorkflowExecutionResponse().SerializeToString())


def receive(
    turn: Turn, request: SignalRequest, *, sender: common.WorkflowExecution | None = None
) -> None:
    """Record a signal for the run in focus, unless its request id was there before."""
    row = turn.execution
    if is_taken(turn, request.request_id):
        return
    if row.is_closing and row.task is not None and row.task.is_started:
        raise ResourceExhausted(
            "workflow operation can not be applied because workflow is closing",
            cause=_BUSY,
            scope=_NAMESPACE,
        )
    if row.signal_count >= turn.limits.signals_max_count:
        raise InvalidArgument("exceeded workflow execution limit for signal events")
    if request.request_id:
        turn.record(RequestTaken(request.request_id))
    event = turn.event(on.WORKFLOW_EXECUTION_SIGNALED)
    given = event.workflow_execution_signaled_event_attributes
    given.signal_name = request.signal_name
    if isinstance(request, service.SignalWorkflowExecutionRequest):
        if request.HasField("input"):
            given.input.CopyFrom(request.input)
    else:
        if request.HasField("signal_input"):
            given.input.CopyFrom(request.signal_input)
        execution.end_backoff(turn)
    if request.HasField("header"):
        given.header.CopyFrom(request.header)
    given.identity = request.identity
    if sender is not None:
        given.external_workflow_execution.CopyFrom(sender)
    event.links.extend(request.links)
    turn.record(event)
    workflow_task.schedule_if_idle(turn)


def is_taken(turn: Turn, request_id: str) -> bool:
    """Whether a request id was used for something in the run in focus."""
    if not request_id:
        return False
    return turn.rows.get(keys.request_key(turn.execution.run_id, request_id)) is not None


def on_signaled(run: Run, _event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowExecutionSignaled: one more."""
    row = run.execution
    return replace(run, execution=replace(row, signal_count=row.signal_count + 1))


def on_request_taken(run: Run, fact: RequestTaken) -> Run:
    """RequestTaken: a row remembers the request id."""
    key = keys.request_key(run.execution.run_id, fact.request_id)
    return replace(run, fresh_rows=(*run.fresh_rows, (key, b"\x01")))
