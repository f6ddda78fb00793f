"""Worker commands that close the run: complete, fail, cancel. Continue-as-new is in `chain.py`."""

from typing import Final

from schemas import event_types as on
from schemas.temporal import command, enums
from topology.turn import Turn
from topology.workflow import chain, closing, retry
from topology.workflow.bad_command import BadCommand, check_blob, event_of

_Cause = enums.WorkflowTaskFailedCause
_BAD_FAIL: Final = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES
_BAD_RESULT: Final = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES
"""What Temporal calls too large a result."""
_COMPLETE: Final = "CompleteWorkflowExecutionCommandAttributes"
_FAIL: Final = "FailWorkflowExecutionCommandAttributes"


def complete(turn: Turn, each: command.Command, completed_id: int) -> None:
    """CompleteWorkflowExecution; a cron workflow goes on with its next round."""
    wanted = each.complete_workflow_execution_command_attributes
    check_blob(wanted.result.ByteSize(), _BAD_RESULT, f"{_COMPLETE}.Result")
    event = event_of(turn, each, on.WORKFLOW_EXECUTION_COMPLETED)
    given = event.workflow_execution_completed_event_attributes
    given.workflow_task_completed_event_id = completed_id
    if wanted.HasField("result"):
        given.result.CopyFrom(wanted.result)
    if not turn.execution.cron_schedule:
        closing.close(turn, event, has_next=False)
        return
    given.new_execution_run_id = run_id = turn.new_run_id()
    closing.close(turn, event, has_next=True)
    chain.begin_round(turn, run_id=run_id, result=wanted.result)


def fail(turn: Turn, each: command.Command, completed_id: int) -> None:
    """FailWorkflowExecution; a next attempt or round may follow."""
    wanted = each.fail_workflow_execution_command_attributes
    if not wanted.HasField("failure"):
        raise BadCommand(_BAD_FAIL, "Failure is not set on FailWorkflowExecutionCommand.")
    check_blob(wanted.failure.ByteSize(), _BAD_FAIL, f"{_FAIL}.Failure")
    event = event_of(turn, each, on.WORKFLOW_EXECUTION_FAILED)
    given = event.workflow_execution_failed_event_attributes
    given.workflow_task_completed_event_id = completed_id
    given.failure.CopyFrom(wanted.failure)
    verdict = chain.after_failure(turn, wanted.failure)
    given.retry_state = verdict.state  # type: ignore[assignment]  # enums travel as ints
    is_retried = verdict.state == retry.IN_PROGRESS
    if not is_retried and not turn.execution.cron_schedule:
        closing.close(turn, event, has_next=False)
        return
    given.new_execution_run_id = run_id = turn.new_run_id()
    closing.close(turn, event, has_next=True)
    if is_retried:
        chain.begin_retry(turn, wanted.failure, run_id=run_id, backoff=verdict.delay)
    else:
        chain.begin_round(turn, run_id=run_id, failed=wanted.failure)


def cancel(turn: Turn, each: command.Command, completed_id: int) -> None:
    """CancelWorkflowExecution: no next attempt and no next round."""
    wanted = each.cancel_workflow_execution_command_attributes
    event = event_of(turn, each, on.WORKFLOW_EXECUTION_CANCELED)
    given = event.workflow_execution_canceled_event_attributes
    given.workflow_task_completed_event_id = completed_id
    if wanted.HasField("details"):
        given.details.CopyFrom(wanted.details)
    closing.close(turn, event, has_next=False)
