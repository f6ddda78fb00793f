"""The worker's side: polls for tasks, and what workers answer.

A task token names the workflow id whose owner decides; whether the token is still good is decided
there. Polls wait in matching.
"""

from typing import Protocol

from schemas.errors import InvalidArgument
from schemas.temporal import service
from streams.frontend.namespaces import namespace_of
from streams.frontend.services import Services
from streams.frontend.transport import Call
from topology.checks import ActivityRequest, check_activity_ids
from topology.decision import Namespace
from topology.effects import TaskKind
from topology.matching.tasks import Worker
from topology.tokens import Token, unpack
from topology.validation import (
    check_length,
    check_long_poll,
    check_task_queue,
    parse,
)

EMPTY = b""
PollRequest = service.PollWorkflowTaskQueueRequest | service.PollActivityTaskQueueRequest


class TokenRequest(Protocol):
    """A request that names its task by a token."""

    @property
    def namespace(self) -> str:
        """Namespace name; empty: the token's."""
        ...

    @property
    def task_token(self) -> bytes:
        """The token of a poll answer."""
        ...


class AnswerRequest(TokenRequest, Protocol):
    """A worker's answer."""

    @property
    def identity(self) -> str:
        """Who answers."""
        ...


async def poll_workflow_task(services: Services, call: Call) -> bytes:
    """PollWorkflowTaskQueue."""
    return await _poll(
        services, call, parse(service.PollWorkflowTaskQueueRequest, call.request), "workflow"
    )


async def poll_activity_task(services: Services, call: Call) -> bytes:
    """PollActivityTaskQueue."""
    return await _poll(
        services, call, parse(service.PollActivityTaskQueueRequest, call.request), "activity"
    )


async def _poll(
    services: Services,
    call: Call,
    request: PollRequest,
    kind: TaskKind,
) -> bytes:
    namespace = await namespace_of(services, request.namespace)
    time_left_s = check_long_poll(None if call.deadline is None else services.time_left(call))
    check_length("Identity", request.identity)
    check_task_queue(request.task_queue)
    wait_s = min(time_left_s, services.settings.task_poll_s)
    with services.waiters.waiting(f"{kind}_task_poll", namespace.name):
        return await services.matching.poll(
            namespace,
            request.task_queue.name,
            kind,
            poll_id=services.poll_id(),
            identity=request.identity,
            timeout_s=wait_s,
            worker=_worker_of(request),
        )
    return EMPTY  # a planned stop ended the wait (C7)


def _worker_of(request: PollRequest) -> Worker:
    """Return what a poll says of its worker."""
    bound = None
    if isinstance(request, service.PollActivityTaskQueueRequest):
        given = request.task_queue_metadata
        if given.HasField("max_tasks_per_second"):
            bound = given.max_tasks_per_second.value
    return Worker(request.worker_instance_key, bound)


async def fail_workflow_task(services: Services, call: Call) -> bytes:
    """RespondWorkflowTaskFailed."""
    request = parse(service.RespondWorkflowTaskFailedRequest, call.request)
    return await _answer(services, call, "RespondWorkflowTaskFailed", request)


async def complete_activity_task(services: Services, call: Call) -> bytes:
    """RespondActivityTaskCompleted."""
    request = parse(service.RespondActivityTaskCompletedRequest, call.request)
    return await _answer(services, call, "RespondActivityTaskCompleted", request)


async def fail_activity_task(services: Services, call: Call) -> bytes:
    """RespondActivityTaskFailed."""
    request = parse(service.RespondActivityTaskFailedRequest, call.request)
    return await _answer(services, call, "RespondActivityTaskFailed", request)


async def cancel_activity_task(services: Services, call: Call) -> bytes:
    """RespondActivityTaskCanceled."""
    request = parse(service.RespondActivityTaskCanceledRequest, call.request)
    return await _answer(services, call, "RespondActivityTaskCanceled", request)


async def heartbeat(services: Services, call: Call) -> bytes:
    """RecordActivityTaskHeartbeat."""
    request = parse(service.RecordActivityTaskHeartbeatRequest, call.request)
    namespace, token = await named(services, request)
    return await services.gateway.beat(
        namespace,
        token.workflow_id,
        "RecordActivityTaskHeartbeat",
        call.request,
        activity=f"{token.run_id}/{token.scheduled_event_id}/{token.attempt}/{token.stamp}",
        heartbeat_timeout=token.heartbeat_timeout,
        timeout_s=services.time_left(call),
    )


async def complete_activity_by_id(services: Services, call: Call) -> bytes:
    """RespondActivityTaskCompletedById."""
    request = parse(service.RespondActivityTaskCompletedByIdRequest, call.request)
    return await _answer_by_id(services, call, "RespondActivityTaskCompletedById", request)


async def fail_activity_by_id(services: Services, call: Call) -> bytes:
    """RespondActivityTaskFailedById."""
    request = parse(service.RespondActivityTaskFailedByIdRequest, call.request)
    return await _answer_by_id(services, call, "RespondActivityTaskFailedById", request)


async def cancel_activity_by_id(services: Services, call: Call) -> bytes:
    """RespondActivityTaskCanceledById."""
    request = parse(service.RespondActivityTaskCanceledByIdRequest, call.request)
    return await _answer_by_id(services, call, "RespondActivityTaskCanceledById", request)


async def heartbeat_by_id(services: Services, call: Call) -> bytes:
    """RecordActivityTaskHeartbeatById."""
    request = parse(service.RecordActivityTaskHeartbeatByIdRequest, call.request)
    namespace = await _activity_of(services, request)
    return await services.gateway.beat(
        namespace,
        request.workflow_id,
        "RecordActivityTaskHeartbeatById",
        call.request,
        activity=f"{request.run_id}/{request.activity_id}",
        heartbeat_timeout=0,
        timeout_s=services.time_left(call),
    )


async def _activity_of(services: Services, request: ActivityRequest) -> Namespace:
    """Check the ids of an activity; there are no standalone ones yet."""
    namespace = await namespace_of(services, request.namespace)
    check_activity_ids(request)
    return namespace


async def named(services: Services, request: TokenRequest) -> tuple[Namespace, Token]:
    """Return the namespace and the token of a request; they must belong together."""
    if not request.task_token:
        raise InvalidArgument("Task token not set on request.")
    try:
        token = unpack(request.task_token)
    except ValueError:
        raise InvalidArgument("Error deserializing task token.") from None
    if request.namespace:
        namespace = await namespace_of(services, request.namespace)
        if namespace.id != token.namespace_id:
            raise InvalidArgument("Operation requested with a token from a different namespace.")
        return namespace, token
    found = services.namespaces.by_id(token.namespace_id)
    if found is None:
        await services.namespaces.read_to_end()
        found = services.namespaces.by_id(token.namespace_id)
    return await namespace_of(services, found.name if found else token.namespace_id), token


def check_answer(request: AnswerRequest) -> None:
    """Check what all answers of workers have."""
    check_length("Identity", request.identity)


async def _answer(services: Services, call: Call, method: str, request: AnswerRequest) -> bytes:
    """Hand a worker's answer to the owner of the workflow id in its token."""
    namespace, token = await named(services, request)
    check_answer(request)
    return await services.gateway.ask(
        namespace, token.workflow_id, method, call.request, timeout_s=services.time_left(call)
    )


async def _answer_by_id(
    services: Services, call: Call, method: str, request: ActivityRequest
) -> bytes:
    """Hand an activity's end to the owner of its workflow id."""
    namespace = await _activity_of(services, request)
    check_length("Identity", request.identity)
    return await services.gateway.ask(
        namespace, request.workflow_id, method, call.request, timeout_s=services.time_left(call)
    )
