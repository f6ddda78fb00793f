"""StartWorkflowExecution and SignalWithStart: who may begin a run, and what else may happen.

The workflow id may be free, running or closed; the conflict policy decides over a running one,
the reuse policy over a closed one (temporal-core 2.8). The same request id is the same start.
"""

from schemas.errors import WorkflowAlreadyStarted
from schemas.instants import span_of
from schemas.temporal import common, enums, service
from topology.decision import ReplyBody, Rows
from topology.turn import Turn
from topology.workflow import execution, histories, signal, workflow_task
from topology.workflow.execution import RUNNING
from topology.workflow.state import Current

_Reuse = enums.WorkflowIdReusePolicy
_Conflict = enums.WorkflowIdConflictPolicy
_Status = enums.WorkflowExecutionStatus

_UNSUCCESSFUL = frozenset(
    {
        _Status.WORKFLOW_EXECUTION_STATUS_FAILED,
        _Status.WORKFLOW_EXECUTION_STATUS_CANCELED,
        _Status.WORKFLOW_EXECUTION_STATUS_TERMINATED,
        _Status.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
    }
)
_TERMINATED_BY_START = "TerminateIfRunning WorkflowIdReusePolicy"
_SERVER = "history-service"
_EAGER_TASK = service.StartWorkflowExecutionResponse.DESCRIPTOR.fields_by_name[
    "eager_workflow_task"
].number


def start(turn: Turn, request: service.StartWorkflowExecutionRequest) -> None:
    """Begin a run, or answer with the one that is there."""
    current = turn.current
    if current is None:
        return _begin(turn, request)
    if current.request_id == request.request_id:
        return _reply_started(turn, current.run_id, current.status)
    if current.status != RUNNING:
        _check_reuse(current, turn.ask.workflow_id, request.workflow_id_reuse_policy)
        return _begin(turn, request)
    return _start_over(turn, request, current)


def signal_with_start(turn: Turn, request: service.SignalWithStartWorkflowExecutionRequest) -> None:
    """Signal the running run, or begin one with the signal as its second event."""
    current = turn.current
    is_terminating = (
        _conflict_of(request) == _Conflict.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    )
    if current is not None and current.status == RUNNING and not is_terminating:
        turn.focus(current.run_id)
        signal.receive(turn, request)
        return _reply_signaled(turn, current.run_id, is_new=False)
    if current is not None and current.request_id == request.request_id:
        return _reply_signaled(turn, current.run_id, is_new=True)
    run_id = turn.new_run_id()
    if current is not None and current.status == RUNNING:
        _terminate(turn, current.run_id, run_id)
    elif current is not None:
        _check_reuse(current, turn.ask.workflow_id, request.workflow_id_reuse_policy)
    execution.open_run(turn, request, run_id=run_id)
    signal.receive(turn, request)
    return _reply_signaled(turn, run_id, is_new=True)


def start_reply(turn_namespace: str, workflow_id: str, run_id: str, *, status: int) -> bytes:
    """Return the answer to a Start that began (or had begun) a run."""
    response = service.StartWorkflowExecutionResponse(run_id=run_id, started=True)
    response.status = status  # type: ignore[assignment]  # enums travel as ints
    event = _linked(response, turn_namespace, workflow_id, run_id).event_ref
    event.event_id = 1
    event.event_type = enums.EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
    return response.SerializeToString()


def _begin(turn: Turn, request: service.StartWorkflowExecutionRequest) -> None:
    run_id = turn.new_run_id()
    _open(turn, request, run_id)


def _open(turn: Turn, request: service.StartWorkflowExecutionRequest, run_id: str) -> None:
    """Begin a run; its first task goes to the caller where it may (eager start)."""
    is_eager = request.request_eager_execution and not span_of(request.workflow_start_delay)
    execution.open_run(turn, request, run_id=run_id, is_eager=is_eager)
    if not is_eager:
        workflow_task.schedule_if_idle(turn)
        return _reply_started(turn, run_id, RUNNING)
    workflow_task.schedule_inline(turn, request.identity, poll_id=request.request_id)
    run, ask = turn.state, turn.ask

    def answer(rows: Rows) -> bytes:
        task = histories.workflow_task_answer(run, rows)
        plain = start_reply(ask.namespace.name, ask.workflow_id, run_id, status=RUNNING)
        return plain + histories.field(_EAGER_TASK, task)

    return turn.reply("started", answer, run_id=run_id)


def _start_over(
    turn: Turn, request: service.StartWorkflowExecutionRequest, current: Current
) -> None:
    """Start on a running id: refuse, join, or end the running one."""
    run = turn.focus(current.run_id)
    assert run is not None, f"expected run {current.run_id} to be there"
    policy = _conflict_of(request)
    if any(each.request_id == request.request_id for each in run.execution.attached):
        return _reply_joined(turn, request, is_attached=True)
    if policy == _Conflict.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING:
        run_id = turn.new_run_id()
        _terminate(turn, current.run_id, run_id)
        return _open(turn, request, run_id)
    if policy == _Conflict.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING:
        is_attached = request.HasField("on_conflict_options")
        if is_attached:
            execution.attach_request(turn, request)
        return _reply_joined(turn, request, is_attached=is_attached)
    raise _already_running(current, turn.ask.workflow_id)


def _conflict_of(
    request: service.StartWorkflowExecutionRequest
    | service.SignalWithStartWorkflowExecutionRequest,
) -> int:
    if request.workflow_id_reuse_policy == _Reuse.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING:
        return _Conflict.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    return request.workflow_id_conflict_policy


def check_free(current: Current, workflow_id: str, reuse_policy: int) -> None:
    """Refuse a new run of an id that is running, or whose reuse policy forbids it."""
    if current.status == RUNNING:
        raise _already_running(current, workflow_id)
    _check_reuse(current, workflow_id, reuse_policy)


def _already_running(current: Current, workflow_id: str) -> WorkflowAlreadyStarted:
    return WorkflowAlreadyStarted(
        "Workflow execution is already running. "
        f"WorkflowId: {workflow_id}, RunId: {current.run_id}.",
        start_request_id=current.request_id,
        run_id=current.run_id,
    )


def _check_reuse(current: Current, workflow_id: str, policy: int) -> None:
    """Refuse a new run where the reuse policy forbids it."""
    which = f"WorkflowId: {workflow_id}, RunId: {current.run_id}."
    if policy == _Reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE:
        message = (
            f"Workflow execution already finished. {which} "
            "Workflow Id reuse policy: reject duplicate workflow Id."
        )
    elif (
        policy == _Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
        and current.status not in _UNSUCCESSFUL
    ):
        message = (
            f"Workflow execution already finished successfully. {which} "
            "Workflow Id reuse policy: allow duplicate workflow Id if last run failed."
        )
    else:
        return
    raise WorkflowAlreadyStarted(
        message, start_request_id=current.request_id, run_id=current.run_id
    )


def _terminate(turn: Turn, run_id: str, new_run_id: str) -> None:
    """End the running run for a new one, in the same transition."""
    turn.focus(run_id)
    details = common.Payloads()
    text = f'"terminated by new runID: {new_run_id}"'.encode()
    details.payloads.append(common.Payload(metadata={"encoding": b"json/plain"}, data=text))
    execution.terminate_run(turn, reason=_TERMINATED_BY_START, details=details, identity=_SERVER)


def _reply_started(turn: Turn, run_id: str, status: int) -> None:
    ask = turn.ask
    body = start_reply(ask.namespace.name, ask.workflow_id, run_id, status=status)
    turn.reply("started", body, run_id=run_id)


def _reply_joined(
    turn: Turn, request: service.StartWorkflowExecutionRequest, *, is_attached: bool
) -> None:
    row = turn.execution
    body = joined_reply(
        row.namespace,
        row.workflow_id,
        row.run_id,
        request_id=request.request_id if is_attached else "",
    )
    turn.reply("attached" if is_attached else "joined", body)


def joined_reply(namespace: str, workflow_id: str, run_id: str, *, request_id: str) -> ReplyBody:
    """Return the answer to a Start that found its id running and may use that run."""
    response = service.StartWorkflowExecutionResponse(run_id=run_id, started=False)
    response.status = RUNNING
    link = _linked(response, namespace, workflow_id, run_id)
    if request_id:
        link.request_id_ref.request_id = request_id
        link.request_id_ref.event_type = (
            enums.EventType.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED
        )
    else:
        link.event_ref.event_id = 1
        link.event_ref.event_type = enums.EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
    return response.SerializeToString()


def _linked(
    response: service.StartWorkflowExecutionResponse, namespace: str, workflow_id: str, run_id: str
) -> common.Link.WorkflowEvent:
    link = response.link.workflow_event
    link.namespace = namespace
    link.workflow_id = workflow_id
    link.run_id = run_id
    return link


def _reply_signaled(turn: Turn, run_id: str, *, is_new: bool) -> None:
    turn.reply(
        "signaled_new" if is_new else "signaled",
        signaled_reply(run_id, is_new=is_new),
        run_id=run_id,
    )


def signaled_reply(run_id: str, *, is_new: bool) -> bytes:
    """Return the answer to a SignalWithStart."""
    response = service.SignalWithStartWorkflowExecutionResponse(run_id=run_id, started=is_new)
    return response.SerializeToString()
