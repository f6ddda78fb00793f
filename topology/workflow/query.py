"""Queries: how a question reaches a worker, and with which history (temporal-core 2.9).

asked --refused by its condition--> answered,
asked --a workflow task is open--> rides on the next one that starts,
asked --none is open--> a task of its own, for which nothing is recorded.

A task of its own sees all that was accepted, because nothing is news to the worker (R2); what is
news has a workflow task open. Plans are reads: nothing of a query is ever in the log (M4). Waiting
and answering do not live here.
"""

import msgspec

from schemas.errors import WorkflowNotReady
from schemas.temporal import common, enums, query, service
from topology.decision import Rows
from topology.own_work import PlanQuery, ReadQueryTask
from topology.tokens import PageToken, pack
from topology.workflow import histories
from topology.workflow.located import locate
from topology.workflow.state import Execution

FAILING_ATTEMPT = 3
"""From this attempt of a workflow task on, a worker could not answer either."""

_Condition = enums.QueryRejectCondition
_Status = enums.WorkflowExecutionStatus
_RUNNING = _Status.WORKFLOW_EXECUTION_STATUS_RUNNING
_NORMAL = enums.TaskQueueKind.TASK_QUEUE_KIND_NORMAL
_HISTORY_FIELD = service.PollWorkflowTaskQueueResponse.DESCRIPTOR.fields_by_name["history"].number


class Turned(msgspec.Struct, frozen=True, tag="turned"):
    """The reject condition of the query holds: the status is the answer."""

    status: int


class Rides(msgspec.Struct, frozen=True, tag="rides"):
    """It goes along with the next workflow task that starts, and is answered with its end."""

    run_id: str


class Direct(msgspec.Struct, frozen=True, tag="direct"):
    """It gets a task of its own; first in the sticky queue, where there is one.

    `next_event_id` says how much of the history that task knows: two equal plans are one.
    """

    run_id: str
    queue: str
    next_event_id: int
    is_open: bool
    sticky_queue: str = ""
    sticky_timeout: int = 0  # ns


Plan = Turned | Rides | Direct

_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Plan] = msgspec.msgpack.Decoder(Plan)


def plan(ask: PlanQuery, namespace_id: str, rows: Rows) -> bytes:
    """Answer how a query is to be handled now; raises NotFound, WorkflowNotReady."""
    request: service.QueryWorkflowRequest = ask.request
    row = locate(rows, namespace_id, request.execution, run_id=ask.run_id).execution
    return _encode(_plan(row, request.query_reject_condition, until=ask.until))


def plan_of(packed: bytes) -> Plan:
    """Read what `plan` answered."""
    return _decoder.decode(packed)


def task(ask: ReadQueryTask, namespace_id: str, rows: Rows) -> bytes:
    """Answer the PollWorkflowTaskQueueResponse that asks a worker a query.

    A sticky worker has the history already; any other one gets it from the beginning.
    """
    execution = common.WorkflowExecution(workflow_id=ask.workflow_id, run_id=ask.run_id)
    row = locate(rows, namespace_id, execution).execution
    answer = service.PollWorkflowTaskQueueResponse(
        task_token=ask.token,
        workflow_execution=execution,
        previous_started_event_id=row.previous_started_event_id,
        attempt=1,
        query=query.WorkflowQuery.FromString(ask.query),
    )
    answer.workflow_type.name = row.workflow_type
    answer.workflow_execution_task_queue.name = row.queue
    answer.workflow_execution_task_queue.kind = _NORMAL
    events = b""
    if not ask.is_sticky:
        found = histories.page(rows, row, 1)
        events = found.events
        if found.next_event_id < row.next_event_id:
            answer.next_page_token = pack(
                PageToken(
                    namespace_id=row.namespace_id,
                    run_id=row.run_id,
                    next_event_id=found.next_event_id,
                    end_event_id=row.next_event_id,
                )
            )
    return answer.SerializeToString() + histories.field(_HISTORY_FIELD, events)


def _plan(row: Execution, condition: int, *, until: int) -> Plan:
    is_open = row.status == _RUNNING
    if not is_open and _is_turned(row.status, condition):
        return Turned(row.status)
    has_completed_any = row.previous_started_event_id != 0
    if not is_open and not has_completed_any:
        raise WorkflowNotReady("Workflow execution closed before WorkflowTaskStarted event")
    if is_open and row.task is None and not has_completed_any and row.backoff_until > until:
        raise WorkflowNotReady("Workflow task is not scheduled yet.")
    if is_open and row.task_attempt >= FAILING_ATTEMPT:
        raise WorkflowNotReady("Unable to query workflow due to Workflow Task in failed state.")
    if is_open and (row.task is not None or not has_completed_any):
        return Rides(row.run_id)
    return Direct(
        run_id=row.run_id,
        queue=row.queue,
        next_event_id=row.next_event_id,
        is_open=is_open,
        sticky_queue=row.sticky_queue,
        sticky_timeout=row.sticky_timeout,
    )


def _is_turned(status: int, condition: int) -> bool:
    if condition == _Condition.QUERY_REJECT_CONDITION_NOT_OPEN:
        return True
    is_clean = status == _Status.WORKFLOW_EXECUTION_STATUS_COMPLETED
    return condition == _Condition.QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY and not is_clean
