"""GetWorkflowExecutionHistory and its reverse: pages of what is accepted, and waiting for more.

A page comes from the core's view, which makes and reads the page tokens. A long poll asks to be
woken before it looks, so that nothing that happens in between is missed.
"""

import asyncio

from schemas.errors import NotFound, NotTheOwner
from schemas.ids import workflow_partition
from schemas.temporal import service
from streams.frontend import archived
from streams.frontend.namespaces import namespace_of
from streams.frontend.services import Services
from streams.frontend.transport import Call
from topology.decision import Namespace
from topology.own_work import ReadHistory
from topology.tokens import unpack_page
from topology.validation import check_execution, parse

_GONE = "Requested workflow history not found, may have passed retention period."
_METHOD = "GetWorkflowExecutionHistory"
_EMPTY_PAGE_BYTES = 2_048  # an empty page is a token of some hundred bytes; a larger one is not
_PEOPLE = frozenset({"temporal-cli", "temporal-ui"})
_TAIL_S = 1.0  # the answer leaves this long before the client's deadline


async def page(services: Services, call: Call) -> bytes:
    """GetWorkflowExecutionHistory."""
    request = parse(service.GetWorkflowExecutionHistoryRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    check_execution(request.execution)
    if archived.is_archives(request.next_page_token):
        missing = NotFound(_GONE)
        return await archived.history_page(services, namespace, request, missing)
    try:
        return await _page(services, call, namespace, request)
    except NotFound as error:
        return await archived.history_page(services, namespace, request, error)


async def _page(
    services: Services,
    call: Call,
    namespace: Namespace,
    request: service.GetWorkflowExecutionHistoryRequest,
) -> bytes:
    """Return a page from the owner, waiting for it where that is asked."""
    if not request.wait_new_event:
        return await _read(services, call, namespace, request)
    with services.waiters.waiting("history_poll", namespace.name):
        return await _wait(services, call, namespace, request)
    ended = ended_page(request)
    if ended is None:
        raise NotTheOwner("the server is shutting down")
    return ended


def ended_page(request: service.GetWorkflowExecutionHistoryRequest) -> bytes | None:
    """Return what a planned stop answers to a long poll (C7): an empty page and its token."""
    if not request.next_page_token:
        return None
    ended = service.GetWorkflowExecutionHistoryResponse(next_page_token=request.next_page_token)
    return ended.SerializeToString()


async def page_reverse(services: Services, call: Call) -> bytes:
    """GetWorkflowExecutionHistoryReverse."""
    request = parse(service.GetWorkflowExecutionHistoryReverseRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    check_execution(request.execution)
    return await services.gateway.read(
        namespace,
        request.execution.workflow_id,
        "GetWorkflowExecutionHistoryReverse",
        request,
        timeout_s=services.time_left(call),
    )


async def _read(
    services: Services,
    call: Call,
    namespace: Namespace,
    request: service.GetWorkflowExecutionHistoryRequest,
) -> bytes:
    return await services.gateway.read(
        namespace,
        request.execution.workflow_id,
        _METHOD,
        ReadHistory(request, shows_transient=_is_worker(call)),
        timeout_s=services.time_left(call),
    )


async def _wait(
    services: Services,
    call: Call,
    namespace: Namespace,
    request: service.GetWorkflowExecutionHistoryRequest,
) -> bytes:
    """Return the next page once it has events, or the empty one when the time is up."""
    settings = services.settings
    waiting_s = min(settings.history_poll_s, services.time_left(call) - _TAIL_S)
    until = services.clock.monotonic() + waiting_s
    run_id = request.execution.run_id
    while True:
        news = _watch(services, namespace, request.execution.workflow_id, run_id)
        try:
            body = await _read(services, call, namespace, request)
            token = _token_of_empty(body)
            if not token:
                return body
            request.next_page_token = token
            run_id = unpack_page(token).run_id
            if news is None:
                continue
            await asyncio.wait([news], timeout=max(0.0, until - services.clock.monotonic()))
            if not news.done():
                return body
        finally:
            _forget(news)


def _is_worker(call: Call) -> bool:
    """Whether a client may be a worker that replays; the tools of people say who they are."""
    return not any(key == "client-name" and name in _PEOPLE for key, name in call.metadata)


def _watch(
    services: Services, namespace: Namespace, workflow_id: str, run_id: str
) -> asyncio.Future[None] | None:
    """Ask to be woken when something happens to a run; None while nobody can promise it."""
    if not run_id:
        return None
    partition = workflow_partition(namespace.name, workflow_id, services.history.partitions)
    try:
        return services.history.watch(partition, run_id)
    except NotTheOwner:
        return None  # the read that follows waits for the new owner


def _forget(news: asyncio.Future[None] | None) -> None:
    """Give up a watch; one that failed was woken to look again, by somebody else's read."""
    if news is not None and not news.cancel() and not news.cancelled():
        news.exception()


def _token_of_empty(body: bytes) -> bytes:
    """Return the token of a page without events; nothing where it has some or is the last."""
    if len(body) > _EMPTY_PAGE_BYTES:
        return b""
    response = service.GetWorkflowExecutionHistoryResponse.FromString(body)
    return b"" if response.history.events else response.next_page_token
