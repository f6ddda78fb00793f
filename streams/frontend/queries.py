"""Queries: what clients ask of workflows, and what workers answer.

A query waits in `streams/queries.py`; nothing of it becomes a command. A completed workflow task
may answer some: those answers are taken out before its command is appended (M4), and given to
who asked once the command is accepted.
"""

from schemas.errors import InvalidArgument, NotTheOwner
from schemas.temporal import service
from streams.frontend import tasks
from streams.frontend.namespaces import namespace_of
from streams.frontend.services import Services
from streams.frontend.transport import Call
from topology.tokens import unpack_query
from topology.validation import BLOB_BYTES, check_blob, check_execution, parse

EMPTY = service.RespondQueryTaskCompletedResponse().SerializeToString()


async def query(services: Services, call: Call) -> bytes:
    """QueryWorkflow."""
    request = parse(service.QueryWorkflowRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    check_execution(request.execution)
    if not request.HasField("query"):
        raise InvalidArgument("WorkflowQuery is not set on request.")
    if not request.query.query_type:
        raise InvalidArgument("QueryType is not set on request.")
    if len(call.request) > BLOB_BYTES:
        check_blob(request.query)

    async def leave_sticky(run_id: str) -> None:
        reset = service.ResetStickyTaskQueueRequest(
            namespace=namespace.name, execution=request.execution
        )
        reset.execution.run_id = run_id
        await services.gateway.ask(
            namespace,
            request.execution.workflow_id,
            "ResetStickyTaskQueue",
            reset.SerializeToString(),
            timeout_s=services.time_left(call),
        )

    with services.waiters.waiting("query", namespace.name):
        return await services.queries.ask(
            namespace, request, leave_sticky=leave_sticky, timeout_s=services.time_left(call)
        )
    raise NotTheOwner("the server is shutting down")  # the new owner is asked (C7)


async def answer(services: Services, call: Call) -> bytes:
    """RespondQueryTaskCompleted."""
    request = parse(service.RespondQueryTaskCompletedRequest, call.request)
    if not request.task_token:
        raise InvalidArgument("Task token not set on request.")
    try:
        token = unpack_query(request.task_token)
    except ValueError:
        raise InvalidArgument("Error deserializing task token.") from None
    if request.namespace:
        namespace = await namespace_of(services, request.namespace)
        if namespace.id != token.namespace_id:
            raise InvalidArgument("Operation requested with a token from a different namespace.")
    services.queries.answer(token, request)
    return EMPTY


async def complete_workflow_task(services: Services, call: Call) -> bytes:
    """RespondWorkflowTaskCompleted."""
    request = parse(service.RespondWorkflowTaskCompletedRequest, call.request)
    namespace, token = await tasks.named(services, request)
    results = dict(request.query_results)
    packed = call.request
    if results:
        request.ClearField("query_results")
        packed = request.SerializeToString()
    tasks.check_answer(request)
    with services.queries.answering(token.run_id, results):
        answered = await services.gateway.ask(
            namespace,
            token.workflow_id,
            "RespondWorkflowTaskCompleted",
            packed,
            timeout_s=services.time_left(call),
        )
    return _with_queries(answered, services.queries.riding(token.run_id))


def _with_queries(answered: bytes, riding: bytes) -> bytes:
    """Add the queries that wait to a task that was started inline."""
    if not answered or not riding:
        return answered
    response = service.RespondWorkflowTaskCompletedResponse.FromString(answered)
    if response.HasField("workflow_task"):
        response.workflow_task.MergeFromString(riding)
    return response.SerializeToString()
