"""Start, signal, cancel, terminate and describe workflows.

Each function checks the request and hands it to the owner of the workflow id: what changes
something as a command, what only looks as a read. Who may start what is decided by topology.
"""

from schemas.temporal import service
from streams.frontend.namespaces import namespace_of
from streams.frontend.services import Services
from streams.frontend.transport import Call
from streams.frontend.validation import (
    BLOB_BYTES,
    StartRequest,
    check_blob,
    check_delay_and_cron,
    check_execution,
    check_id_policies,
    check_length,
    check_links,
    check_memo,
    check_no_fail_policy,
    check_on_conflict,
    check_priority,
    check_retry_policy,
    check_signal_name,
    check_task_queue,
    check_timeouts,
    check_unbuilt,
    check_workflow_id,
    check_workflow_type,
    parse,
)

_DEFAULT_REASON = "terminated by user via frontend"
_DEFAULT_IDENTITY = "frontend-service"


async def start(services: Services, call: Call) -> bytes:
    """StartWorkflowExecution."""
    request = parse(service.StartWorkflowExecutionRequest, call.request)
    namespace = await namespace_of(services, request.namespace, is_starting=True)
    _check_start(request, len(call.request))
    check_on_conflict(request)
    check_unbuilt(request)
    if len(call.request) > BLOB_BYTES:
        check_blob(request.input)
    return await services.gateway.ask(
        namespace,
        request.workflow_id,
        "StartWorkflowExecution",
        _with_request_id(services, request, call.request),
        timeout_s=services.time_left(call),
    )


async def signal_with_start(services: Services, call: Call) -> bytes:
    """SignalWithStartWorkflowExecution."""
    request = parse(service.SignalWithStartWorkflowExecutionRequest, call.request)
    namespace = await namespace_of(services, request.namespace, is_starting=True)
    check_signal_name(request.signal_name)
    _check_start(request, len(call.request))
    check_no_fail_policy(request)
    if len(call.request) > BLOB_BYTES:
        check_blob(request.input)
        check_blob(request.signal_input)
    return await services.gateway.ask(
        namespace,
        request.workflow_id,
        "SignalWithStartWorkflowExecution",
        _with_request_id(services, request, call.request),
        timeout_s=services.time_left(call),
    )


def _check_start(request: StartRequest, size_bytes: int) -> None:
    """Check what both ways to start have in common."""
    check_workflow_id(request.workflow_id)
    if request.HasField("retry_policy"):
        check_retry_policy(request.retry_policy)
    check_delay_and_cron(request)
    check_workflow_type(request.workflow_type.name)
    check_task_queue(request.task_queue)
    check_timeouts(request)
    check_length("RequestId", request.request_id)
    check_id_policies(request)
    if request.HasField("priority"):
        check_priority(request.priority)
    check_links(request.links)
    if size_bytes > BLOB_BYTES:
        check_memo(request.memo)


def _with_request_id(services: Services, request: StartRequest, packed: bytes) -> bytes:
    """Return the request with a request id, so that its repeats are known as such."""
    if request.request_id:
        return packed
    request.request_id = services.new_id()
    return request.SerializeToString()


async def signal(services: Services, call: Call) -> bytes:
    """SignalWorkflowExecution."""
    request = parse(service.SignalWorkflowExecutionRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    check_execution(request.workflow_execution)
    check_signal_name(request.signal_name)
    check_length("RequestId", request.request_id)
    check_links(request.links)
    if len(call.request) > BLOB_BYTES:
        check_blob(request.input)
    return await services.gateway.ask(
        namespace,
        request.workflow_execution.workflow_id,
        "SignalWorkflowExecution",
        call.request,
        timeout_s=services.time_left(call),
    )


async def request_cancel(services: Services, call: Call) -> bytes:
    """RequestCancelWorkflowExecution."""
    request = parse(service.RequestCancelWorkflowExecutionRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    check_execution(request.workflow_execution)
    check_links(request.links)
    return await services.gateway.ask(
        namespace,
        request.workflow_execution.workflow_id,
        "RequestCancelWorkflowExecution",
        call.request,
        timeout_s=services.time_left(call),
    )


async def reset_sticky(services: Services, call: Call) -> bytes:
    """ResetStickyTaskQueue."""
    request = parse(service.ResetStickyTaskQueueRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    check_execution(request.execution)
    return await services.gateway.ask(
        namespace,
        request.execution.workflow_id,
        "ResetStickyTaskQueue",
        call.request,
        timeout_s=services.time_left(call),
    )


async def terminate(services: Services, call: Call) -> bytes:
    """TerminateWorkflowExecution; who gives no reason and no name gets Temporal's defaults."""
    request = parse(service.TerminateWorkflowExecutionRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    check_execution(request.workflow_execution)
    check_links(request.links)
    packed = call.request
    if not request.reason or not request.identity:
        request.reason = request.reason or _DEFAULT_REASON
        request.identity = request.identity or _DEFAULT_IDENTITY
        packed = request.SerializeToString()
    return await services.gateway.ask(
        namespace,
        request.workflow_execution.workflow_id,
        "TerminateWorkflowExecution",
        packed,
        timeout_s=services.time_left(call),
    )


async def describe(services: Services, call: Call) -> bytes:
    """DescribeWorkflowExecution."""
    request = parse(service.DescribeWorkflowExecutionRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    check_execution(request.execution)
    return await services.gateway.read(
        namespace,
        request.execution.workflow_id,
        "DescribeWorkflowExecution",
        request,
        timeout_s=services.time_left(call),
    )
