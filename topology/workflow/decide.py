"""COMMANDS and OWN_WORK: everything one may ask of a workflow, and the function that decides it.

This file only points.
"""

from collections.abc import Callable, Mapping
from typing import Any

from schemas.errors import Stale
from topology.own_work import HandBack, StartTask, StickyDead
from topology.turn import Turn
from topology.workflow import (
    activity,
    cancellation,
    child_workflow,
    deletion,
    due,
    execution,
    external_workflow,
    parent,
    retention,
    signal,
    start,
    worker_commands,
    workflow_task,
)

Decide = Callable[[Turn, Any], None]


def _start_task(turn: Turn, ask: StartTask) -> None:
    _focus(turn, ask)
    if ask.kind == "workflow":
        workflow_task.start(turn, ask)
    else:
        activity.start(turn, ask)


def _hand_back(turn: Turn, ask: HandBack) -> None:
    _focus(turn, ask)
    if ask.kind == "workflow":
        workflow_task.hand_back(turn, ask)
    else:
        activity.hand_back(turn, ask)


def _leave_sticky(turn: Turn, ask: StickyDead) -> None:
    _focus(turn, ask)
    workflow_task.leave_sticky(turn, ask)


def _focus(turn: Turn, ask: StartTask | HandBack | StickyDead) -> None:
    if turn.focus(ask.run_id) is None:
        raise Stale(f"expected run {ask.run_id}, found none")


COMMANDS: Mapping[str, Decide] = {
    "StartWorkflowExecution": start.start,
    "SignalWithStartWorkflowExecution": start.signal_with_start,
    "SignalWorkflowExecution": signal.send,
    "RequestCancelWorkflowExecution": cancellation.request_cancel,
    "TerminateWorkflowExecution": execution.terminate,
    "DeleteWorkflowExecution": deletion.delete,
    "ResetStickyTaskQueue": execution.reset_sticky,
    "RespondWorkflowTaskCompleted": worker_commands.complete,
    "RespondWorkflowTaskFailed": worker_commands.fail,
    "RespondActivityTaskCompleted": activity.complete,
    "RespondActivityTaskFailed": activity.fail,
    "RespondActivityTaskCanceled": activity.cancel,
    "RecordActivityTaskHeartbeat": activity.heartbeat,
    "RespondActivityTaskCompletedById": activity.complete_by_id,
    "RespondActivityTaskFailedById": activity.fail_by_id,
    "RespondActivityTaskCanceledById": activity.cancel_by_id,
    "RecordActivityTaskHeartbeatById": activity.heartbeat_by_id,
    "StartChild": parent.begin,
    "ParentClosed": parent.meet_close_policy,
    "ChildStarted": child_workflow.started,
    "ChildNotStarted": child_workflow.not_started,
    "ChildClosed": child_workflow.closed,
    "SignalExternal": external_workflow.receive_signal,
    "CancelExternal": external_workflow.receive_cancel,
    "ExternalSignaled": external_workflow.on_signal_answer,
    "ExternalCancelRequested": external_workflow.on_cancel_answer,
    "StartTask": _start_task,
    "StickyDead": _leave_sticky,
    "HandBack": _hand_back,
    "FireDue": due.fire,
    "QuarantineDue": due.quarantine,
    "Archived": retention.on_archive_report,
    "SetAside": retention.set_aside,
}
