"""Start, signal, cancel, terminate, delete and describe workflows.

Each function checks the request and hands it to the owner of the workflow id: what changes
something as a command, what only looks as a read. Who may start what is decided by topology.
"""

from collections.abc import Callable
from typing import TypeVar

from schemas.errors import NotFound
from schemas.temporal import service
from streams.frontend import archived
from streams.frontend.namespaces import know_attributes, namespace_of
from streams.frontend.services import Services
from streams.frontend.transport import Call
from topology.checks import (
    check_cancel,
    check_delete,
    check_signal,
    check_signal_with_start,
    check_start,
    check_terminate,
    with_default_reason,
)
from topology.validation import StartRequest, check_execution, parse

OfRun = TypeVar(
    "OfRun",
    service.SignalWorkflowExecutionRequest,
    service.RequestCancelWorkflowExecutionRequest,
    service.DeleteWorkflowExecutionRequest,
)


async def start(services: Services, call: Call) -> bytes:
    """StartWorkflowExecution."""
    request = parse(service.StartWorkflowExecutionRequest, call.request)
    namespace = await namespace_of(services, request.namespace, is_starting=True)
    check_start(request, len(call.request))
    await know_attributes(services, namespace, request.search_attributes)
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
    check_signal_with_start(request, len(call.request))
    await know_attributes(services, namespace, request.search_attributes)
    return await services.gateway.ask(
        namespace,
        request.workflow_id,
        "SignalWithStartWorkflowExecution",
        _with_request_id(services, request, call.request),
        timeout_s=services.time_left(call),
    )


def _with_request_id(services: Services, request: StartRequest, packed: bytes) -> bytes:
    """Return the request with a request id, so that its repeats are known as such."""
    if request.request_id:
        return packed
    request.request_id = services.new_id()
    return request.SerializeToString()


async def _passed_on(
    services: Services, call: Call, request: OfRun, check: Callable[[OfRun, int], None]
) -> bytes:
    """Check what is asked of one run, and hand it to the owner of the workflow id as it came."""
    namespace = await namespace_of(services, request.namespace)
    check(request, len(call.request))
    return await services.gateway.ask(
        namespace,
        request.workflow_execution.workflow_id,
        type(request).DESCRIPTOR.name.removesuffix("Request"),
        call.request,
        timeout_s=services.time_left(call),
    )


async def signal(services: Services, call: Call) -> bytes:
    """SignalWorkflowExecution."""
    request = parse(service.SignalWorkflowExecutionRequest, call.request)
    return await _passed_on(services, call, request, check_signal)


async def request_cancel(services: Services, call: Call) -> bytes:
    """RequestCancelWorkflowExecution."""
    request = parse(service.RequestCancelWorkflowExecutionRequest, call.request)
    return await _passed_on(services, call, request, check_cancel)


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
    check_terminate(request, len(call.request))
    packed = request.SerializeToString() if with_default_reason(request) else call.request
    return await services.gateway.ask(
        namespace,
        request.workflow_execution.workflow_id,
        "TerminateWorkflowExecution",
        packed,
        timeout_s=services.time_left(call),
    )


async def delete(services: Services, call: Call) -> bytes:
    """DeleteWorkflowExecution: an open run is terminated first and goes soon after."""
    request = parse(service.DeleteWorkflowExecutionRequest, call.request)
    return await _passed_on(services, call, request, check_delete)


async def describe(services: Services, call: Call) -> bytes:
    """DescribeWorkflowExecution."""
    request = parse(service.DescribeWorkflowExecutionRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    check_execution(request.execution)
    try:
        return await services.gateway.read(
            namespace,
            request.execution.workflow_id,
            "DescribeWorkflowExecution",
            request,
            timeout_s=services.time_left(call),
        )
    except NotFound as missing:
        return await archived.describe(services, namespace, request.execution, missing)
