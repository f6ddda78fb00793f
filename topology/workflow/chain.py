"""The chain of runs: a run closes and the next one begins, in one transition.

closed --continue as new, retry, cron--> the next run, of the same workflow id and the same first
run. What the next run takes over stands in the closed run's Started event.
"""

from schemas import event_types as on
from schemas.instants import SECOND, duration_of, span_of
from schemas.temporal import command, common, enums, failure, history
from topology.turn import Turn
from topology.workflow import (
    closing,
    cron,
    failures,
    keys,
    limits,
    retry,
    search_attributes,
    workflow_task,
)
from topology.workflow.bad_command import BadCommand, check_blob
from topology.workflow.facts import RunOpened
from topology.workflow.retry import Chain, Verdict

Started = history.WorkflowExecutionStartedEventAttributes
Wanted = command.ContinueAsNewWorkflowExecutionCommandAttributes

_Initiator = enums.ContinueAsNewInitiator
_Cause = enums.WorkflowTaskFailedCause

_BAD = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES
_COMMAND = "ContinueAsNewWorkflowExecutionCommand"
_SPANS = {
    "workflow_run_timeout": "WorkflowRunTimeout",
    "workflow_task_timeout": "WorkflowTaskTimeout",
    "backoff_start_interval": "BackoffStartInterval",
}

CONTINUE_INTERVAL_MIN = 1 * SECOND
"""Runs that continue as new faster than this, their own wait not counted, wait for the rest."""


# -- ask


def continue_as_new(turn: Turn, each: command.Command, completed_id: int) -> None:
    """ContinueAsNewWorkflowExecution: close this run, begin the next one."""
    wanted = each.continue_as_new_workflow_execution_command_attributes
    started = started_of(turn)
    run_id = turn.new_run_id()
    event = turn.event(on.WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
    given = event.workflow_execution_continued_as_new_event_attributes
    for field in _CARRIED_BY_COMMAND:
        if wanted.HasField(field):  # type: ignore[arg-type]  # a name of the tuple below
            getattr(given, field).CopyFrom(getattr(wanted, field))
    search_attributes.give_wanted(turn, wanted, given, cause=_BAD)
    row = turn.execution
    given.new_execution_run_id = run_id
    given.workflow_type.name = wanted.workflow_type.name or row.workflow_type
    given.task_queue.name = wanted.task_queue.name or row.queue
    given.task_queue.kind = enums.TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    _check(wanted, given)
    _check_sizes(wanted)
    run_timeout, task_timeout = _timeouts(turn, wanted)
    given.workflow_run_timeout.CopyFrom(duration_of(run_timeout))
    given.workflow_task_timeout.CopyFrom(duration_of(task_timeout))
    given.workflow_task_completed_event_id = completed_id
    given.initiator = wanted.initiator
    given.inherit_build_id = wanted.inherit_build_id
    if each.HasField("user_metadata"):
        event.user_metadata.CopyFrom(each.user_metadata)
    asked = span_of(wanted.backoff_start_interval)
    began_at = row.started_at + span_of(started.first_workflow_task_backoff)
    backoff = max(asked, CONTINUE_INTERVAL_MIN - (turn.now - began_at), 0)
    closing.close(turn, event, has_next=True)
    _begin(turn, _continued(turn, started, wanted, event), run_id=run_id, backoff=backoff)


def after_failure(turn: Turn, failed: failure.Failure) -> Verdict:
    """Tell what follows the failure of the run in focus."""
    started = started_of(turn)
    if not started.HasField("retry_policy"):
        return Verdict(enums.RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET)
    row = turn.execution
    policy = retry.policy_of(started.retry_policy)
    return retry.after_failure(
        policy, failed, Chain(row.attempt, turn.now, row.execution_expires_at)
    )


def begin_retry(turn: Turn, failed: failure.Failure, *, run_id: str, backoff: int) -> None:
    """Begin the next attempt of the run in focus, which has just closed."""
    given = Started()
    given.CopyFrom(started_of(turn))
    given.attempt = turn.execution.attempt + 1
    given.initiator = _Initiator.CONTINUE_AS_NEW_INITIATOR_RETRY
    given.continued_failure.CopyFrom(failed)
    _begin(turn, given, run_id=run_id, backoff=backoff)


def begin_round(
    turn: Turn,
    *,
    run_id: str,
    result: common.Payloads | None = None,
    failed: failure.Failure | None = None,
) -> None:
    """Begin the next round of a cron workflow, whose run in focus has just closed."""
    row = turn.execution
    given = Started()
    given.CopyFrom(started_of(turn))
    given.attempt = 1
    given.initiator = _Initiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
    given.ClearField("continued_failure")
    if failed is not None:
        given.continued_failure.CopyFrom(failed)
    if result is not None:
        given.ClearField("last_completion_result")
        if result.payloads:
            given.last_completion_result.CopyFrom(result)
    wait = cron.backoff(row.cron_schedule, started_at=row.started_at, closed_at=turn.now)
    _begin(turn, given, run_id=run_id, backoff=wait)


def time_out(turn: Turn) -> None:
    """Close the run in focus: its run or execution timeout is over; a next attempt may follow."""
    row = turn.execution
    is_over = bool(row.execution_expires_at) and turn.now >= row.execution_expires_at
    failed = timed_out()
    verdict = Verdict(retry.TIMEOUT) if is_over else after_failure(turn, failed)
    is_retried = verdict.state == retry.IN_PROGRESS
    has_round = bool(row.cron_schedule) and not is_over
    run_id = turn.new_run_id() if is_retried or has_round else ""
    workflow_task.force_close(turn)
    event = turn.event(on.WORKFLOW_EXECUTION_TIMED_OUT)
    given = event.workflow_execution_timed_out_event_attributes
    given.retry_state = verdict.state  # type: ignore[assignment]  # enums travel as ints
    given.new_execution_run_id = run_id
    closing.close(turn, event, has_next=bool(run_id))
    if is_retried:
        begin_retry(turn, failed, run_id=run_id, backoff=verdict.delay)
    elif has_round:
        begin_round(turn, run_id=run_id, failed=failed)


def timed_out() -> failure.Failure:
    """Return the failure of a run that took too long."""
    made = failure.Failure(message="workflow timeout", source=failures.SOURCE)
    made.timeout_failure_info.timeout_type = enums.TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
    return made


def started_of(turn: Turn) -> Started:
    """Return what the Started event of the run in focus says."""
    batch = turn.rows.get(keys.batch_key(turn.execution.run_id, 1))
    assert batch is not None, f"expected run {turn.execution.run_id} to have a history"
    return history.History.FromString(batch).events[0].workflow_execution_started_event_attributes


# -- inside


_CARRIED_BY_COMMAND = (
    "input",
    "header",
    "memo",
    "failure",
    "last_completion_result",
    "backoff_start_interval",
)


_OF_THE_CHAIN = ("priority", "parent_workflow_execution", "root_workflow_execution")


def _check(wanted: Wanted, given: history.WorkflowExecutionContinuedAsNewEventAttributes) -> None:
    """Refuse what cannot be; `given` knows the type and the queue of the next run."""
    where = (
        f'WorkflowType={given.workflow_type.name} TaskQueue=name:"{given.task_queue.name}" '
        "kind:TASK_QUEUE_KIND_NORMAL"
    )
    for field, name in _SPANS.items():
        if span_of(getattr(wanted, field)) < 0:
            raise BadCommand(_BAD, f"Invalid {name} on {_COMMAND}: negative duration. {where}")
    if wanted.HasField("retry_policy") and (
        flaw := retry.flaw_of(retry.with_defaults(wanted.retry_policy))
    ):
        raise BadCommand(_BAD, f"invalid WorkflowRetryPolicy on {_COMMAND}: {flaw}. {where}")


def _check_sizes(wanted: Wanted) -> None:
    check_blob(wanted.input.ByteSize(), _BAD, f"{_COMMAND}Attributes. Input")
    search_attributes.check_memo(wanted.memo, _BAD, f"{_COMMAND}Attributes. Memo")


def _timeouts(turn: Turn, wanted: Wanted) -> tuple[int, int]:
    row = turn.execution
    run_timeout = span_of(wanted.workflow_run_timeout) or row.run_timeout
    if row.execution_timeout:
        run_timeout = min(run_timeout or row.execution_timeout, row.execution_timeout)
    task_timeout = span_of(wanted.workflow_task_timeout) or row.task_timeout
    return run_timeout, min(task_timeout, limits.TASK_TIMEOUT_MAX, run_timeout or task_timeout)


def _continued(
    turn: Turn,
    started: Started,
    wanted: Wanted,
    event: history.HistoryEvent,
) -> Started:
    """Return what the next run's Started event says, but for what `_begin` fills in."""
    closed = event.workflow_execution_continued_as_new_event_attributes
    given = Started(attempt=1, initiator=_Initiator.CONTINUE_AS_NEW_INITIATOR_WORKFLOW)
    given.workflow_type.CopyFrom(closed.workflow_type)
    given.task_queue.CopyFrom(closed.task_queue)
    for field in ("input", "header", "memo", "search_attributes", "last_completion_result"):
        if closed.HasField(field):
            getattr(given, field).CopyFrom(getattr(closed, field))
    if wanted.HasField("failure"):
        given.continued_failure.CopyFrom(wanted.failure)
    if wanted.HasField("retry_policy"):
        given.retry_policy.CopyFrom(retry.with_defaults(wanted.retry_policy))
    given.cron_schedule = wanted.cron_schedule
    row = turn.execution
    if row.execution_timeout:
        given.workflow_execution_timeout.CopyFrom(duration_of(row.execution_timeout))
        given.workflow_execution_expiration_time.CopyFrom(
            started.workflow_execution_expiration_time
        )
    if span_of(closed.workflow_run_timeout) or not row.run_timeout:
        given.workflow_run_timeout.CopyFrom(closed.workflow_run_timeout)
    given.workflow_task_timeout.CopyFrom(closed.workflow_task_timeout)
    given.completion_callbacks.extend(started.completion_callbacks)
    for field in _OF_THE_CHAIN:
        if started.HasField(field):  # type: ignore[arg-type]  # a name of the tuple
            getattr(given, field).CopyFrom(getattr(started, field))
    given.parent_workflow_namespace = started.parent_workflow_namespace
    given.parent_workflow_namespace_id = started.parent_workflow_namespace_id
    given.parent_initiated_event_id = started.parent_initiated_event_id
    return given


def _begin(turn: Turn, given: Started, *, run_id: str, backoff: int) -> None:
    """Open the next run and turn to it."""
    row = turn.execution
    turn.open(
        RunOpened(
            namespace_id=row.namespace_id,
            namespace=row.namespace,
            workflow_id=row.workflow_id,
            run_id=run_id,
            request_id=turn.new_id(),
            retention=row.retention,
            opened_at=turn.now,
        )
    )
    event = turn.event(on.WORKFLOW_EXECUTION_STARTED)
    event.workflow_execution_started_event_attributes.CopyFrom(given)
    given = event.workflow_execution_started_event_attributes
    given.workflow_id = row.workflow_id
    given.original_execution_run_id = run_id
    given.first_execution_run_id = row.first_run_id
    given.continued_execution_run_id = row.run_id
    given.first_workflow_task_backoff.CopyFrom(duration_of(backoff))
    turn.record(event)
    workflow_task.schedule_if_idle(turn)
