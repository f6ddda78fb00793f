"""Workflow execution: none --start--> running --close--> closed.

Closing is completing, failing, cancelling, terminating or timing out. Who may begin a second run
of a workflow id stands in `start.py`. A closed run keeps its
state as it was; only its timers are gone.
"""

from msgspec.structs import replace

from schemas import event_types as on
from schemas.errors import NotFound
from schemas.instants import duration_of, instant_of, span_of
from schemas.temporal import common, enums, history, service
from topology.turn import Turn
from topology.workflow import closing, cron, limits, search_attributes, workflow_task
from topology.workflow.facts import BackoffEnded, DueQuarantined, RunMeasured, RunOpened
from topology.workflow.retry import with_defaults
from topology.workflow.state import Attached, Execution, Run

RUNNING = enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING

_STATUS = {
    on.WORKFLOW_EXECUTION_COMPLETED: 2,
    on.WORKFLOW_EXECUTION_FAILED: 3,
    on.WORKFLOW_EXECUTION_CANCELED: 4,
    on.WORKFLOW_EXECUTION_TERMINATED: 5,
    on.WORKFLOW_EXECUTION_CONTINUED_AS_NEW: 6,
    on.WORKFLOW_EXECUTION_TIMED_OUT: 7,
}

_COPIED = (
    "input",
    "header",
    "memo",
    "workflow_type",
    "task_queue",
    "completion_callbacks",
    "priority",
    "versioning_override",
)
"""Fields that Started takes over from the request as they are."""

StartRequest = (
    service.StartWorkflowExecutionRequest | service.SignalWithStartWorkflowExecutionRequest
)


# -- ask


def open_run(turn: Turn, request: StartRequest, *, run_id: str, is_eager: bool = False) -> None:
    """Begin a run of this workflow id and turn to it: RunOpened and Started."""
    turn.open(
        RunOpened(
            namespace_id=turn.namespace.id,
            namespace=turn.namespace.name,
            workflow_id=turn.ask.workflow_id,
            run_id=run_id,
            request_id=request.request_id,
            retention=turn.namespace.retention,
            opened_at=turn.now,
        )
    )
    event = turn.event(on.WORKFLOW_EXECUTION_STARTED)
    given = event.workflow_execution_started_event_attributes
    for field in _COPIED:
        if _has(request, field):
            _copy(request, given, field)
    search_attributes.give(turn, request, given)
    if request.HasField("retry_policy"):
        given.retry_policy.CopyFrom(with_defaults(request.retry_policy))
    execution_timeout, run_timeout, task_timeout = capped_timeouts(request)
    if execution_timeout:
        given.workflow_execution_timeout.CopyFrom(duration_of(execution_timeout))
        given.workflow_execution_expiration_time.FromNanoseconds(turn.now + execution_timeout)
    if run_timeout:
        given.workflow_run_timeout.CopyFrom(duration_of(run_timeout))
    given.workflow_task_timeout.CopyFrom(duration_of(task_timeout))
    given.task_queue.kind = enums.TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    given.original_execution_run_id = run_id
    given.first_execution_run_id = run_id
    given.workflow_id = turn.ask.workflow_id
    given.identity = request.identity
    given.attempt = 1
    given.cron_schedule = request.cron_schedule
    given.eager_execution_accepted = is_eager
    given.first_workflow_task_backoff.CopyFrom(request.workflow_start_delay)
    if request.cron_schedule:
        wait = cron.backoff(request.cron_schedule, started_at=turn.now, closed_at=turn.now)
        given.first_workflow_task_backoff.CopyFrom(duration_of(wait))
        given.initiator = enums.ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
    if request.HasField("user_metadata"):
        event.user_metadata.CopyFrom(request.user_metadata)
    event.links.extend(request.links)
    turn.record(event)


def capped_timeouts(request: StartRequest) -> tuple[int, int, int]:
    """Return the execution, run and task timeout that fit each other; 0: none."""
    execution_timeout = span_of(request.workflow_execution_timeout)
    run_timeout = span_of(request.workflow_run_timeout)
    if execution_timeout:
        run_timeout = min(run_timeout or execution_timeout, execution_timeout)
    task_timeout = span_of(request.workflow_task_timeout) or limits.TASK_TIMEOUT_DEFAULT
    task_timeout = min(task_timeout, limits.TASK_TIMEOUT_MAX, run_timeout or task_timeout)
    return execution_timeout, run_timeout, task_timeout


def locate(turn: Turn, execution: common.WorkflowExecution) -> Run:
    """Turn to the run that a request names (no run id: the newest one)."""
    workflow_id, run_id = turn.ask.workflow_id, execution.run_id
    if not run_id:
        if turn.current is None:
            raise NotFound(f"workflow not found for ID: {workflow_id}")
        run_id = turn.current.run_id
    run = turn.focus(run_id)
    if run is None or run.execution.workflow_id != workflow_id:
        raise NotFound(
            f'workflow execution not found for workflow ID "{workflow_id}" and run ID "{run_id}"'
        )
    return run


def locate_open(turn: Turn, execution: common.WorkflowExecution) -> Run:
    """Turn to the open run that a request names."""
    run = locate(turn, execution)
    if run.execution.status != RUNNING:
        raise NotFound("workflow execution already completed")
    return run


def terminate(turn: Turn, request: service.TerminateWorkflowExecutionRequest) -> None:
    """Close a run from outside."""
    run = locate_open(turn, request.workflow_execution)
    first_run_id = request.first_execution_run_id
    if first_run_id and run.execution.first_run_id != first_run_id:
        raise NotFound("workflow execution not found")
    details = request.details if request.HasField("details") else None
    terminate_run(turn, reason=request.reason, details=details, identity=request.identity)
    turn.reply("done", service.TerminateWorkflowExecutionResponse().SerializeToString())


def reset_sticky(turn: Turn, request: service.ResetStickyTaskQueueRequest) -> None:
    """Send the next workflow tasks to the run's own queue."""
    locate_open(turn, request.execution)
    workflow_task.forget_sticky(turn)
    turn.reply("done", service.ResetStickyTaskQueueResponse().SerializeToString())


def terminate_run(
    turn: Turn, *, reason: str, details: common.Payloads | None, identity: str
) -> None:
    """Close the run in focus."""
    workflow_task.force_close(turn, identity=identity)
    event = turn.event(on.WORKFLOW_EXECUTION_TERMINATED)
    given = event.workflow_execution_terminated_event_attributes
    given.reason = reason
    if details is not None:
        given.details.CopyFrom(details)
    given.identity = identity
    closing.close(turn, event, has_next=False)


def attach_request(turn: Turn, request: service.StartWorkflowExecutionRequest) -> None:
    """Attach what a Start on a running id brings: event OptionsUpdated."""
    options = request.on_conflict_options
    event = turn.event(on.WORKFLOW_EXECUTION_OPTIONS_UPDATED)
    event.worker_may_ignore = True
    given = event.workflow_execution_options_updated_event_attributes
    if options.attach_request_id:
        given.attached_request_id = request.request_id
    if options.attach_completion_callbacks:
        given.attached_completion_callbacks.extend(request.completion_callbacks)
    if options.attach_links:
        event.links.extend(request.links)
    turn.record(event)


def end_backoff(turn: Turn) -> None:
    """Let the first workflow task wait no more."""
    if turn.execution.backoff_until:
        turn.record(BackoffEnded())


# -- fold


def on_opened(fact: RunOpened) -> Run:
    """RunOpened: a run without events."""
    return Run(
        Execution(
            namespace_id=fact.namespace_id,
            namespace=fact.namespace,
            workflow_id=fact.workflow_id,
            run_id=fact.run_id,
            request_id=fact.request_id,
            retention=fact.retention,
            opened_at=fact.opened_at,
            transition_count=1,
        )
    )


def on_started(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowExecutionStarted: the run has its type, queue and timeouts."""
    given = event.workflow_execution_started_event_attributes
    at = instant_of(event.event_time)
    backoff = span_of(given.first_workflow_task_backoff)
    run_timeout = span_of(given.workflow_run_timeout)
    expires_at = instant_of(given.workflow_execution_expiration_time)
    run_expires_at = at + backoff + run_timeout if run_timeout else 0
    row = replace(
        run.execution,
        first_run_id=given.first_execution_run_id,
        workflow_type=given.workflow_type.name,
        queue=given.task_queue.name,
        attempt=given.attempt,
        execution_timeout=span_of(given.workflow_execution_timeout),
        run_timeout=run_timeout,
        task_timeout=span_of(given.workflow_task_timeout),
        started_at=at,
        execution_expires_at=expires_at,
        run_expires_at=min(filter(None, (run_expires_at, expires_at)), default=0),
        backoff_until=at + backoff if backoff else 0,
        execution_at=at + backoff,
        parent_namespace=given.parent_workflow_namespace,
        parent_workflow_id=given.parent_workflow_execution.workflow_id,
        parent_run_id=given.parent_workflow_execution.run_id,
        parent_initiated_event_id=given.parent_initiated_event_id,
        root_workflow_id=given.root_workflow_execution.workflow_id,
        root_run_id=given.root_workflow_execution.run_id,
        cron_schedule=given.cron_schedule,
        priority=given.priority.SerializeToString(),
    )
    return search_attributes.on_started(replace(run, execution=row), given)


def on_closed(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """Completed, Failed, Canceled, Terminated, TimedOut: closed; what is buffered is dropped."""
    row = replace(
        run.execution,
        status=_STATUS[event.event_type],
        closed_at=instant_of(event.event_time),
        keep_until=instant_of(event.event_time) + run.execution.retention,
        buffered_count=0,
    )
    return replace(run, execution=row, buffered=())


def on_options_updated(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowExecutionOptionsUpdated: a further request id belongs to the run."""
    request_id = event.workflow_execution_options_updated_event_attributes.attached_request_id
    if not request_id:
        return run
    attached = (*run.execution.attached, Attached(request_id, event.event_id))
    return replace(run, execution=replace(run.execution, attached=attached))


def on_marker_recorded(run: Run, _event: history.HistoryEvent, _batch_id: int) -> Run:
    """MarkerRecorded: a note of the workflow to itself; no state."""
    return run


def on_backoff_ended(run: Run, _fact: BackoffEnded) -> Run:
    """BackoffEnded: the first workflow task may be scheduled."""
    return replace(run, execution=replace(run.execution, backoff_until=0))


def on_due_quarantined(run: Run, fact: DueQuarantined) -> Run:
    """DueQuarantined: timers of this run no longer fire."""
    return replace(run, execution=replace(run.execution, quarantine=fact.reason))


def on_measured(run: Run, _fact: RunMeasured) -> Run:
    """RunMeasured: it says what is known."""
    return run


def _has(request: StartRequest, field: str) -> bool:
    known = request.DESCRIPTOR.fields_by_name.get(field)
    if known is None:
        return False
    return bool(getattr(request, field)) if known.is_repeated else request.HasField(field)  # type: ignore[arg-type]  # a name from the descriptor


def _copy(
    request: StartRequest,
    given: history.WorkflowExecutionStartedEventAttributes,
    field: str,
) -> None:
    value = getattr(request, field)
    if request.DESCRIPTOR.fields_by_name[field].is_repeated:
        getattr(given, field).extend(value)
    else:
        getattr(given, field).CopyFrom(value)
