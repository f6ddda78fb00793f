"""READS: what one may ask of accepted state without changing it: describe, history, queries.

Views are pure functions of a request and the stored rows. Waiting is not theirs: a page with a
token and no events means "nothing new yet", and the frontend looks again when the run changed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from schemas.errors import InvalidArgument
from schemas.instants import duration_of, timestamp_of
from schemas.temporal import enums, history, service, workflow
from topology.decision import Rows
from topology.own_work import ReadHistory
from topology.tokens import PageToken, pack, unpack_page
from topology.workflow import (
    activity_views,
    child_workflow,
    histories,
    keys,
    query,
    scanning,
    waiting,
)
from topology.workflow.describing import describe_execution, first_event
from topology.workflow.execution import RUNNING
from topology.workflow.located import locate, locate_row
from topology.workflow.state import Run

_CLOSE_EVENTS_ONLY = enums.HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
_Pending = enums.PendingWorkflowTaskState


# -- describe


def describe(
    request: service.DescribeWorkflowExecutionRequest, namespace_id: str, rows: Rows
) -> bytes:
    """Answer DescribeWorkflowExecution."""
    run = locate(rows, namespace_id, request.execution)
    response = service.DescribeWorkflowExecutionResponse()
    started = first_event(run, rows)
    _describe_config(run, started, response)
    describe_execution(run, started, response.workflow_execution_info)
    _describe_extended(run, response.workflow_extended_info)
    for each in run.activities.values():
        response.pending_activities.append(activity_views.pending_view(each))
    for child in run.children.values():
        response.pending_children.append(child_workflow.pending_view(child))
    task = run.execution.task
    if task is not None and run.execution.status == RUNNING:
        pending = response.pending_workflow_task
        pending.state = (
            _Pending.PENDING_WORKFLOW_TASK_STATE_STARTED
            if task.is_started
            else _Pending.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
        )
        pending.attempt = task.attempt
        pending.scheduled_time.CopyFrom(timestamp_of(task.scheduled_at))
        pending.original_scheduled_time.CopyFrom(timestamp_of(task.first_scheduled_at))
        if task.is_started:
            pending.started_time.CopyFrom(timestamp_of(task.started_at))
    return response.SerializeToString()


def _describe_config(
    run: Run, started: history.HistoryEvent, response: service.DescribeWorkflowExecutionResponse
) -> None:
    row = run.execution
    config = response.execution_config
    config.task_queue.name = row.queue
    config.task_queue.kind = enums.TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    if row.execution_timeout:
        config.workflow_execution_timeout.CopyFrom(duration_of(row.execution_timeout))
    if row.run_timeout:
        config.workflow_run_timeout.CopyFrom(duration_of(row.run_timeout))
    config.default_workflow_task_timeout.CopyFrom(duration_of(row.task_timeout))
    if started.HasField("user_metadata"):
        config.user_metadata.CopyFrom(started.user_metadata)


def _describe_extended(run: Run, extended: workflow.WorkflowExecutionExtendedInfo) -> None:
    row = run.execution
    if row.execution_expires_at:
        extended.execution_expiration_time.CopyFrom(timestamp_of(row.execution_expires_at))
    if row.run_expires_at:
        extended.run_expiration_time.CopyFrom(timestamp_of(row.run_expires_at))
    extended.cancel_requested = row.is_cancel_requested
    extended.original_start_time.CopyFrom(timestamp_of(row.started_at))
    start = extended.request_id_infos[row.request_id]
    start.event_id = 1
    start.event_type = enums.EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
    for each in row.attached:
        shown = extended.request_id_infos[each.request_id]
        shown.event_type = enums.EventType.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED
        shown.event_id = each.event_id
        shown.buffered = not each.event_id


# -- history


def get_history(
    ask: ReadHistory | service.GetWorkflowExecutionHistoryRequest, namespace_id: str, rows: Rows
) -> bytes:
    """Answer GetWorkflowExecutionHistory for what is there now."""
    if not isinstance(ask, ReadHistory):
        ask = ReadHistory(ask)
    request: service.GetWorkflowExecutionHistoryRequest = ask.request
    token = _page_token(request.next_page_token, namespace_id)
    run = locate_row(rows, namespace_id, request.execution, run_id=token.run_id if token else "")
    response = service.GetWorkflowExecutionHistoryResponse()
    if request.history_event_filter_type == _CLOSE_EVENTS_ONLY:
        _close_event(run, rows, response, waits=request.wait_new_event)
    else:
        _some_events(run, rows, response, ask=ask, token=token)
    return response.SerializeToString()


def _close_event(
    run: Run,
    rows: Rows,
    response: service.GetWorkflowExecutionHistoryResponse,
    *,
    waits: bool,
) -> None:
    row = run.execution
    response.history.SetInParent()
    if row.status != RUNNING:
        batch = rows.get(keys.batch_key(row.run_id, row.last_batch_id)) or b""
        response.history.events.append(history.History.FromString(batch).events[-1])
    elif waits:
        response.next_page_token = _token(run, row.next_event_id, is_waiting=True)


def _some_events(
    run: Run,
    rows: Rows,
    response: service.GetWorkflowExecutionHistoryResponse,
    *,
    ask: ReadHistory,
    token: PageToken | None,
) -> None:
    row = run.execution
    waits = ask.request.wait_new_event and row.status == RUNNING
    first = token.next_event_id if token else 1
    size = ask.request.maximum_page_size or histories.PAGE_BATCHES_MAX
    found = histories.page(rows, row, first, size=min(size, histories.PAGE_BATCHES_MAX))
    response.history.MergeFromString(found.events)
    response.history.SetInParent()
    if found.is_full or waits:
        is_waiting = waits and not found.is_full
        response.next_page_token = _token(run, found.next_event_id, is_waiting=is_waiting)
    elif ask.shows_transient:
        response.history.MergeFromString(histories.transient_events(row))


def get_history_reverse(
    request: service.GetWorkflowExecutionHistoryReverseRequest, namespace_id: str, rows: Rows
) -> bytes:
    """Answer GetWorkflowExecutionHistoryReverse: newest first, whole batches."""
    token = _page_token(request.next_page_token, namespace_id)
    run = locate_row(rows, namespace_id, request.execution, run_id=token.run_id if token else "")
    row = run.execution
    before = token.next_event_id + 1 if token else row.next_event_id
    size = request.maximum_page_size or histories.PAGE_BATCHES_MAX
    count = min(size, histories.PAGE_BATCHES_MAX)
    found = histories.batches_before(rows, row.run_id, before, count=count)
    response = service.GetWorkflowExecutionHistoryReverseResponse()
    response.history.SetInParent()
    for _, batch in reversed(found):
        response.history.events.extend(reversed(history.History.FromString(batch).events))
    if found and found[0][0] > 1:
        response.next_page_token = _token(run, found[0][0] - 1, is_waiting=False)
    return response.SerializeToString()


def _token(run: Run, next_event_id: int, *, is_waiting: bool) -> bytes:
    row = run.execution
    return pack(
        PageToken(
            namespace_id=row.namespace_id,
            run_id=row.run_id,
            next_event_id=next_event_id,
            end_event_id=row.next_event_id,
            is_waiting=is_waiting,
        )
    )


def _page_token(packed: bytes, namespace_id: str) -> PageToken | None:
    if not packed:
        return None
    try:
        token = unpack_page(packed)
    except ValueError as error:
        raise InvalidArgument("Invalid NextPageToken.") from error
    if token.namespace_id != namespace_id:
        raise InvalidArgument("Invalid NextPageToken.")
    return token


Read = Callable[[Any, str, Rows], bytes]

READS: Mapping[str, Read] = {
    "DescribeWorkflowExecution": describe,
    "GetWorkflowExecutionHistory": get_history,
    "GetWorkflowExecutionHistoryReverse": get_history_reverse,
    "PlanQuery": query.plan,
    "QueryTask": query.task,
    "Waiting": waiting.read_waiting,
    "ClosedRun": waiting.read_closed_run,
    "Backlog": waiting.read_backlog,
    "ScanRuns": scanning.scan,
}
