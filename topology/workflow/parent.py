"""Child workflow, the child's side: begin for a parent, tell it how it went, meet its end.

The parent's side stands in `child_workflow.py`. Because forwards keep their order, the child may
schedule its first workflow task at once: "started" reaches the parent before "closed" (L16).
"""

from schemas import event_types as on
from schemas.errors import Rejected, Stale
from schemas.instants import duration_of, span_of
from schemas.temporal import enums, history
from topology import forwards
from topology.turn import Turn
from topology.workflow import cancellation, cron, execution, priorities, start, workflow_task
from topology.workflow.execution import RUNNING
from topology.workflow.facts import RunOpened

_Policy = enums.ParentClosePolicy
_ALREADY_EXISTS = enums.StartChildWorkflowExecutionFailedCause.Value(
    "START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS"
)
_CLOSED_BY_PARENT = "by parent close policy"
_SERVER = "history-service"

_COPIED = ("header", "input", "memo", "search_attributes", "workflow_type")
_TIMEOUTS = ("workflow_execution_timeout", "workflow_run_timeout", "workflow_task_timeout")

Initiated = history.StartChildWorkflowExecutionInitiatedEventAttributes


def begin(turn: Turn, ask: forwards.StartChild) -> None:
    """Begin a run for a parent, where the workflow id is free."""
    event = history.HistoryEvent.FromString(ask.event)
    initiated = event.start_child_workflow_execution_initiated_event_attributes
    current = turn.current
    if current is not None and current.request_id != ask.request_id:
        try:
            start.check_free(current, turn.ask.workflow_id, initiated.workflow_id_reuse_policy)
        except Rejected:
            return _tell_not_started(turn, ask)
    if current is not None and current.request_id == ask.request_id:
        return _tell_started(turn, ask, current.run_id)
    run_id = turn.new_run_id()
    _open(turn, ask, initiated, run_id)
    workflow_task.schedule_if_idle(turn)
    return _tell_started(turn, ask, run_id)


def meet_close_policy(turn: Turn, ask: forwards.ParentClosed) -> None:
    """The parent closed: end, or be asked to."""
    run = turn.focus(turn.current.run_id) if turn.current else None
    if (
        run is None
        or run.execution.status != RUNNING
        or (run.execution.parent_run_id, run.execution.parent_initiated_event_id)
        != (ask.parent_run_id, ask.initiated_event_id)
    ):
        raise Stale(f"expected a running child of {ask.parent_run_id}, found none")
    if ask.policy == _Policy.PARENT_CLOSE_POLICY_REQUEST_CANCEL:
        cancellation.receive(
            turn,
            cause="",
            identity=_SERVER,
            external=(ask.parent_workflow_id, ask.parent_run_id, 0),
        )
    else:
        execution.terminate_run(turn, reason=_CLOSED_BY_PARENT, details=None, identity=_SERVER)
    turn.reply("met")


def _open(turn: Turn, ask: forwards.StartChild, initiated: Initiated, run_id: str) -> None:
    turn.open(
        RunOpened(
            namespace_id=turn.namespace.id,
            namespace=turn.namespace.name,
            workflow_id=turn.ask.workflow_id,
            run_id=run_id,
            request_id=ask.request_id,
            retention=turn.namespace.retention,
            opened_at=turn.now,
        )
    )
    event = turn.event(on.WORKFLOW_EXECUTION_STARTED)
    given = event.workflow_execution_started_event_attributes
    for field in (*_COPIED, *_TIMEOUTS, "retry_policy"):
        if initiated.HasField(field):  # type: ignore[arg-type]  # a name of the tuples above
            getattr(given, field).CopyFrom(getattr(initiated, field))
    given.task_queue.CopyFrom(initiated.task_queue)
    priority = priorities.merged(ask.priority, initiated.priority.SerializeToString())
    if priority is not None:
        given.priority.CopyFrom(priority)
    if execution_timeout := span_of(initiated.workflow_execution_timeout):
        given.workflow_execution_expiration_time.FromNanoseconds(turn.now + execution_timeout)
    given.workflow_id = turn.ask.workflow_id
    given.original_execution_run_id = run_id
    given.first_execution_run_id = run_id
    given.attempt = 1
    given.cron_schedule = initiated.cron_schedule
    given.first_workflow_task_backoff.SetInParent()
    if initiated.cron_schedule:
        wait = cron.backoff(initiated.cron_schedule, started_at=turn.now, closed_at=turn.now)
        given.first_workflow_task_backoff.CopyFrom(duration_of(wait))
        given.initiator = enums.ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
    given.parent_workflow_namespace = ask.parent_namespace
    given.parent_workflow_namespace_id = ask.parent_namespace_id
    given.parent_workflow_execution.workflow_id = ask.parent_workflow_id
    given.parent_workflow_execution.run_id = ask.parent_run_id
    given.parent_initiated_event_id = ask.initiated_event_id
    given.root_workflow_execution.workflow_id = ask.root_workflow_id
    given.root_workflow_execution.run_id = ask.root_run_id
    turn.record(event)


def _tell_started(turn: Turn, ask: forwards.StartChild, run_id: str) -> None:
    told = forwards.ChildStarted(
        parent_run_id=ask.parent_run_id,
        initiated_event_id=ask.initiated_event_id,
        run_id=run_id,
    )
    _tell(turn, ask, told)
    turn.reply("child_begun", run_id=run_id)


def _tell_not_started(turn: Turn, ask: forwards.StartChild) -> None:
    told = forwards.ChildNotStarted(
        parent_run_id=ask.parent_run_id,
        initiated_event_id=ask.initiated_event_id,
        cause=_ALREADY_EXISTS,
    )
    _tell(turn, ask, told)
    turn.reply("child_refused", run_id="")


def _tell(turn: Turn, ask: forwards.StartChild, told: forwards.Asked) -> None:
    turn.request(
        forwards.forward(told, namespace=ask.parent_namespace, workflow_id=ask.parent_workflow_id)
    )
