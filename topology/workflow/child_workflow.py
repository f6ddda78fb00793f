"""Child workflow, the parent's side: none --start--> initiated --started--> started.

started --closed--> none, initiated --not started--> none. The child's side stands in `parent.py`;
between the two go forwards, in order (L16). When a run closes, each pending child meets its parent
close policy.
"""

from msgspec.structs import replace

from schemas import event_types as on
from schemas.errors import NamespaceNotFound, Stale
from schemas.instants import duration_of, span_of
from schemas.temporal import command, enums, history, workflow
from topology import forwards
from topology.effects import Quote
from topology.turn import Turn
from topology.workflow import cron, limits, retry, search_attributes, workflow_task
from topology.workflow.bad_command import BadCommand, check_blob
from topology.workflow.state import Child, Run

_Cause = enums.WorkflowTaskFailedCause
_Policy = enums.ParentClosePolicy
_BAD = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES

_COPIED = ("header", "input", "memo", "workflow_type", "priority")

_ENDS = {
    on.WORKFLOW_EXECUTION_COMPLETED: on.CHILD_WORKFLOW_EXECUTION_COMPLETED,
    on.WORKFLOW_EXECUTION_FAILED: on.CHILD_WORKFLOW_EXECUTION_FAILED,
    on.WORKFLOW_EXECUTION_CANCELED: on.CHILD_WORKFLOW_EXECUTION_CANCELED,
    on.WORKFLOW_EXECUTION_TERMINATED: on.CHILD_WORKFLOW_EXECUTION_TERMINATED,
    on.WORKFLOW_EXECUTION_TIMED_OUT: on.CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
}
"""How the child's end is called in its parent's history."""

Wanted = command.StartChildWorkflowExecutionCommandAttributes


# -- ask


def start(turn: Turn, each: command.Command, completed_id: int) -> None:
    """StartChildWorkflowExecution: initiated, and asked of the child's id."""
    wanted = each.start_child_workflow_execution_command_attributes
    _check(turn, wanted)
    event = turn.event(on.START_CHILD_WORKFLOW_EXECUTION_INITIATED)
    given = event.start_child_workflow_execution_initiated_event_attributes
    for field in _COPIED:
        if wanted.HasField(field):  # type: ignore[arg-type]  # a name of the tuple above
            getattr(given, field).CopyFrom(getattr(wanted, field))
    search_attributes.give_wanted(turn, wanted, given, cause=_BAD)
    if wanted.HasField("retry_policy"):
        given.retry_policy.CopyFrom(retry.with_defaults(wanted.retry_policy))
    row = turn.execution
    given.namespace = row.namespace
    given.namespace_id = row.namespace_id
    given.workflow_id = wanted.workflow_id
    given.task_queue.name = wanted.task_queue.name or row.queue
    given.task_queue.kind = enums.TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    given.parent_close_policy = wanted.parent_close_policy or _Policy.PARENT_CLOSE_POLICY_TERMINATE
    given.workflow_id_reuse_policy = (
        wanted.workflow_id_reuse_policy
        or enums.WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
    )
    given.control = wanted.control
    given.cron_schedule = wanted.cron_schedule
    given.inherit_build_id = wanted.inherit_build_id
    given.workflow_task_completed_event_id = completed_id
    _give_timeouts(turn, wanted, given)
    if each.HasField("user_metadata"):
        event.user_metadata.CopyFrom(each.user_metadata)
    event_id = turn.record(event)
    _ask_to_start(turn, turn.state.children[event_id])


def started(turn: Turn, ask: forwards.ChildStarted) -> None:
    """The child runs."""
    child = _pending(turn, ask.parent_run_id, ask.initiated_event_id)
    event = turn.event(on.CHILD_WORKFLOW_EXECUTION_STARTED)
    given = event.child_workflow_execution_started_event_attributes
    initiated = _initiated(turn, child)
    given.namespace = turn.execution.namespace
    given.namespace_id = turn.execution.namespace_id
    given.initiated_event_id = child.initiated_event_id
    given.workflow_execution.workflow_id = child.workflow_id
    given.workflow_execution.run_id = ask.run_id
    given.workflow_type.name = child.workflow_type
    if initiated.HasField("header"):
        given.header.CopyFrom(initiated.header)
    turn.record(event)
    workflow_task.schedule_if_idle(turn)
    turn.reply("child_started")


def not_started(turn: Turn, ask: forwards.ChildNotStarted) -> None:
    """The child's id would not have it."""
    child = _pending(turn, ask.parent_run_id, ask.initiated_event_id)
    event = turn.event(on.START_CHILD_WORKFLOW_EXECUTION_FAILED)
    given = event.start_child_workflow_execution_failed_event_attributes
    given.namespace = turn.execution.namespace
    given.namespace_id = turn.execution.namespace_id
    given.workflow_id = child.workflow_id
    given.workflow_type.name = child.workflow_type
    given.cause = ask.cause  # type: ignore[assignment]  # enums travel as ints
    given.control = child.control
    given.initiated_event_id = child.initiated_event_id
    given.workflow_task_completed_event_id = 0
    turn.record(event)
    workflow_task.schedule_if_idle(turn)
    turn.reply("child_not_started")


def closed(turn: Turn, ask: forwards.ChildClosed) -> None:
    """The last run of the child's chain closed: its end becomes an event of the parent."""
    child = _pending(turn, ask.parent_run_id, ask.initiated_event_id)
    end = history.HistoryEvent.FromString(ask.event)
    event = turn.event(_ENDS[end.event_type])
    theirs = getattr(end, end.WhichOneof("attributes") or "")
    ours = getattr(event, _attributes_of(event.event_type))
    for field in ("result", "failure", "details"):
        if field in ours.DESCRIPTOR.fields_by_name and theirs.HasField(field):
            getattr(ours, field).CopyFrom(getattr(theirs, field))
    if "retry_state" in ours.DESCRIPTOR.fields_by_name:
        ours.retry_state = theirs.retry_state
    ours.namespace = turn.execution.namespace
    ours.namespace_id = turn.execution.namespace_id
    ours.workflow_execution.workflow_id = child.workflow_id
    ours.workflow_execution.run_id = ask.run_id
    ours.workflow_type.name = child.workflow_type
    ours.initiated_event_id = child.initiated_event_id
    ours.started_event_id = child.started_event_id
    turn.record(event)
    workflow_task.schedule_if_idle(turn)
    turn.reply("child_closed")


def apply_close_policies(turn: Turn) -> None:
    """Tell the pending children of the run in focus, which has just closed."""
    row = turn.execution
    for child in turn.state.children.values():
        if child.policy == _Policy.PARENT_CLOSE_POLICY_ABANDON:
            continue
        told = forwards.ParentClosed(
            parent_workflow_id=row.workflow_id,
            parent_run_id=row.run_id,
            initiated_event_id=child.initiated_event_id,
            policy=child.policy,
        )
        turn.request(forwards.forward(told, namespace=row.namespace, workflow_id=child.workflow_id))


def pending_view(child: Child) -> workflow.PendingChildExecutionInfo:
    """Return how Describe shows a pending child."""
    return workflow.PendingChildExecutionInfo(
        workflow_id=child.workflow_id,
        run_id=child.run_id,
        workflow_type_name=child.workflow_type,
        initiated_id=child.initiated_event_id,
        parent_close_policy=child.policy,  # type: ignore[arg-type]  # enums travel as ints
    )


# -- fold


def on_initiated(run: Run, event: history.HistoryEvent, batch_id: int) -> Run:
    """StartChildWorkflowExecutionInitiated: the child is asked for."""
    given = event.start_child_workflow_execution_initiated_event_attributes
    child = Child(
        initiated_event_id=event.event_id,
        initiated_batch_id=batch_id,
        workflow_id=given.workflow_id,
        workflow_type=given.workflow_type.name,
        policy=given.parent_close_policy,
        control=given.control,
    )
    return replace(run, children={**run.children, event.event_id: child})


def on_started(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """ChildWorkflowExecutionStarted: the child has a run; its event id may come later."""
    given = event.child_workflow_execution_started_event_attributes
    child = run.children[given.initiated_event_id]
    child = replace(child, run_id=given.workflow_execution.run_id, started_event_id=event.event_id)
    return replace(run, children={**run.children, child.initiated_event_id: child})


def on_ended(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """The child failed to start or closed: it is pending no more."""
    initiated = getattr(event, _attributes_of(event.event_type)).initiated_event_id
    children = {key: each for key, each in run.children.items() if key != initiated}
    return replace(run, children=children)


def on_started_numbered(run: Run, event: history.HistoryEvent) -> Run:
    """A buffered ChildWorkflowExecutionStarted has its id."""
    initiated = event.child_workflow_execution_started_event_attributes.initiated_event_id
    child = run.children.get(initiated)
    if child is None:
        return run
    child = replace(child, started_event_id=event.event_id)
    return replace(run, children={**run.children, initiated: child})


# -- inside


def _check(turn: Turn, wanted: Wanted) -> None:
    where = f"Namespace={wanted.namespace or turn.execution.namespace}"
    if wanted.namespace not in ("", turn.execution.namespace):
        raise NamespaceNotFound(wanted.namespace)
    required = "Required field {} is not set on StartChildWorkflowExecutionCommand."
    if not wanted.workflow_id:
        text = f"WorkflowType={wanted.workflow_type.name} {where}"
        raise BadCommand(_BAD, f"{required.format('WorkflowId')} {text}")
    if not wanted.workflow_type.name:
        text = f"WorkflowId={wanted.workflow_id} {where}"
        raise BadCommand(_BAD, f"{required.format('WorkflowType')} {text}")
    for field, name in _TIMEOUTS.items():
        if span_of(getattr(wanted, field)) < 0:
            raise BadCommand(
                _BAD,
                f"Invalid {name} on StartChildWorkflowExecutionCommand: negative duration. "
                f"WorkflowId={wanted.workflow_id} WorkflowType={wanted.workflow_type.name} {where}",
            )
    if wanted.HasField("retry_policy") and (
        flaw := retry.flaw_of(retry.with_defaults(wanted.retry_policy))
    ):
        raise BadCommand(
            _BAD,
            f"invalid WorkflowRetryPolicy on StartChildWorkflowExecutionCommand: {flaw}. "
            f"WorkflowId={wanted.workflow_id} WorkflowType={wanted.workflow_type.name} {where}",
        )
    try:
        cron.parse(wanted.cron_schedule or "@yearly")
    except cron.BadSchedule as error:
        raise BadCommand(
            _BAD,
            "invalid CronSchedule on StartChildWorkflowExecutionCommand: invalid CronSchedule.. "
            f"WorkflowId={wanted.workflow_id} WorkflowType={wanted.workflow_type.name} {where}",
        ) from error
    command_name = "StartChildWorkflowExecutionCommandAttributes"
    check_blob(wanted.input.ByteSize(), _BAD, f"{command_name}. Input")
    search_attributes.check_memo(wanted.memo, _BAD, f"{command_name}.Memo")
    if len(turn.state.children) >= turn.limits.pending_children_max_count:
        raise BadCommand(
            _Cause.WORKFLOW_TASK_FAILED_CAUSE_PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED,
            f"the number of pending child workflow executions, {len(turn.state.children)}, "
            f"has reached the per-workflow limit of {turn.limits.pending_children_max_count}",
        )


_TIMEOUTS = {
    "workflow_execution_timeout": "WorkflowExecutionTimeout",
    "workflow_run_timeout": "WorkflowRunTimeout",
    "workflow_task_timeout": "WorkflowTaskTimeout",
}


def _give_timeouts(
    turn: Turn,
    wanted: Wanted,
    given: history.StartChildWorkflowExecutionInitiatedEventAttributes,
) -> None:
    """The child's own timeouts; its workflow task timeout fits its run timeout."""
    execution_timeout = span_of(wanted.workflow_execution_timeout)
    run_timeout = span_of(wanted.workflow_run_timeout)
    if execution_timeout:
        given.workflow_execution_timeout.CopyFrom(duration_of(execution_timeout))
        run_timeout = min(run_timeout or execution_timeout, execution_timeout)
    given.workflow_run_timeout.CopyFrom(duration_of(run_timeout))
    task_timeout = span_of(wanted.workflow_task_timeout) or turn.execution.task_timeout
    task_timeout = min(task_timeout, limits.TASK_TIMEOUT_MAX, run_timeout or task_timeout)
    given.workflow_task_timeout.CopyFrom(duration_of(task_timeout))


def _ask_to_start(turn: Turn, child: Child) -> None:
    row = turn.execution
    asked = forwards.StartChild(
        parent_namespace_id=row.namespace_id,
        parent_namespace=row.namespace,
        parent_workflow_id=row.workflow_id,
        parent_run_id=row.run_id,
        initiated_event_id=child.initiated_event_id,
        root_workflow_id=row.root_workflow_id or row.workflow_id,
        root_run_id=row.root_run_id or row.run_id,
        request_id=turn.new_id(),
        priority=row.priority,
    )
    quote = Quote(row.run_id, child.initiated_batch_id, child.initiated_event_id)
    turn.request(
        forwards.forward(asked, namespace=row.namespace, workflow_id=child.workflow_id, quote=quote)
    )


def _pending(turn: Turn, run_id: str, initiated_event_id: int) -> Child:
    """Turn to the parent; what reaches a closed one is dropped."""
    run = turn.focus(run_id)
    if run is None or run.execution.status != _RUNNING:
        raise Stale(f"expected parent {run_id} to be open, found it closed")
    child = run.children.get(initiated_event_id)
    if child is None:
        raise Stale(f"expected child {initiated_event_id} to be pending, found it gone")
    return child


def _initiated(
    turn: Turn, child: Child
) -> history.StartChildWorkflowExecutionInitiatedEventAttributes:
    event = turn.event_at(child.initiated_batch_id, child.initiated_event_id)
    return event.start_child_workflow_execution_initiated_event_attributes


def _attributes_of(event_type: int) -> str:
    return _ATTRIBUTES[event_type]


_ATTRIBUTES = {
    on.START_CHILD_WORKFLOW_EXECUTION_FAILED: (
        "start_child_workflow_execution_failed_event_attributes"
    ),
    on.CHILD_WORKFLOW_EXECUTION_COMPLETED: "child_workflow_execution_completed_event_attributes",
    on.CHILD_WORKFLOW_EXECUTION_FAILED: "child_workflow_execution_failed_event_attributes",
    on.CHILD_WORKFLOW_EXECUTION_CANCELED: "child_workflow_execution_canceled_event_attributes",
    on.CHILD_WORKFLOW_EXECUTION_TERMINATED: (
        "child_workflow_execution_terminated_event_attributes"
    ),
    on.CHILD_WORKFLOW_EXECUTION_TIMED_OUT: "child_workflow_execution_timed_out_event_attributes",
}

_RUNNING = enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
