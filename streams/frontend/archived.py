"""Archived runs for clients: lists, and what is no longer at its owner is looked for in an archive.

GetWorkflowExecutionHistory and DescribeWorkflowExecution come here when the owner does not know
the run (any more); a history whose pages began at the owner goes on here where it was.
"""

from collections.abc import Iterable

from archival.row import ArchivedRun
from archival.run import RunKey, unpack_token
from schemas.errors import InvalidArgument, NotFound, Unavailable
from schemas.instants import instant_of
from schemas.temporal import common, enums, history, service, workflow
from search.query.expressions import Query, conjunction
from search.query.resolve import Names, list_query, system_column
from search.query.values import compared
from streams.archival.filters import Wanted
from streams.frontend.namespaces import namespace_of
from streams.frontend.services import Archives, Services
from streams.frontend.transport import Call
from streams.visibility.indexing import CLOSED
from topology.decision import Namespace
from topology.tokens import unpack_page
from topology.validation import parse

_PAGE_MAX = 10_000
_EVENTS_MAX = 1_000
_CLOSE_EVENTS_ONLY = enums.HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT

_FIND_PAGES = 32

HistoryRequest = service.GetWorkflowExecutionHistoryRequest


async def list_archived(services: Services, call: Call) -> bytes:
    """ListArchivedWorkflowExecutions: the List Filter over archived runs, the last closed first."""
    request = parse(service.ListArchivedWorkflowExecutionsRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    if request.page_size > _PAGE_MAX:
        raise InvalidArgument(f"PageSize is larger than allowed {_PAGE_MAX}.")
    uri = namespace.visibility_archival.uri
    if services.archives is None:
        raise InvalidArgument("Cluster is not configured for visibility archival.")
    if not uri:
        raise InvalidArgument("Namespace is not configured for visibility archival.")
    names = Names(namespace.search_attributes, allows_order_by=False)
    page = await services.archives.list(
        uri,
        namespace.id,
        Wanted(list_query(request.query, names)),
        size=request.page_size if request.page_size > 0 else _PAGE_MAX,
        token=request.next_page_token,
    )
    response = service.ListArchivedWorkflowExecutionsResponse(next_page_token=page.token)
    response.executions.extend(run.shown() for run in page.runs)
    return response.SerializeToString()


# -- a history


def is_archives(token: bytes) -> bool:
    """Whether a page token came from an archive."""
    return token.startswith(b"{")


async def history_page(
    services: Services, namespace: Namespace, request: HistoryRequest, missing: NotFound
) -> bytes:
    """Return a page of an archived history; raises `missing` where none may be looked for."""
    uri = namespace.history_archival.uri
    if services.archives is None or not uri or request.skip_archival:
        raise missing
    key = await _key(services.archives, namespace, request.execution, request.next_page_token)
    if key is None:
        raise missing
    if request.history_event_filter_type == _CLOSE_EVENTS_ONLY:
        event = await services.archives.last_event(uri, key)
        return _page([event], b"")
    return await _events(services.archives, uri, key, request)


async def _events(archives: Archives, uri: str, key: RunKey, request: HistoryRequest) -> bytes:
    size = min(request.maximum_page_size or _EVENTS_MAX, _EVENTS_MAX)
    given = request.next_page_token
    if is_archives(given):
        unpack_token(given)
        page = await archives.history_page(uri, key, size, given)
        return _page(_of(page.batches), page.token)
    first_event_id = unpack_page(given).next_event_id if given else 1
    token = b""
    while True:
        page = await archives.history_page(uri, key, size, token)
        events = [each for each in _of(page.batches) if each.event_id >= first_event_id]
        token = page.token
        if events or not token:
            return _page(events, token)


async def _key(
    archives: Archives, namespace: Namespace, execution: common.WorkflowExecution, token: bytes
) -> RunKey | None:
    """Return which run is asked for: the one that is named, or the last one that closed."""
    run_id = execution.run_id
    if token and not is_archives(token):
        run_id = unpack_page(token).run_id
    if run_id:
        return RunKey(namespace.id, execution.workflow_id, run_id)
    found = await _found(archives, namespace, execution)
    return None if found is None else found.key(namespace.id)


def _of(batches: tuple[history.History, ...]) -> Iterable[history.HistoryEvent]:
    return (event for batch in batches for event in batch.events)


def _page(events: Iterable[history.HistoryEvent], token: bytes) -> bytes:
    response = service.GetWorkflowExecutionHistoryResponse(archived=True, next_page_token=token)
    response.history.SetInParent()
    response.history.events.extend(events)
    return response.SerializeToString()


# -- a description


async def describe(
    services: Services,
    namespace: Namespace,
    execution: common.WorkflowExecution,
    missing: NotFound,
) -> bytes:
    """Describe an archived run; raises `missing` where there is none."""
    archives = services.archives
    if archives is None:
        raise missing
    found = await _found(archives, namespace, execution)
    run_id = execution.run_id if found is None else found.run_id
    key = RunKey(namespace.id, execution.workflow_id, run_id)
    response = service.DescribeWorkflowExecutionResponse()
    started = await _started(archives, namespace, key)
    if found is not None:
        response.workflow_execution_info.CopyFrom(found.shown())
    elif started is not None:
        shown = await _recorded(archives, namespace, key, started)
        response.workflow_execution_info.CopyFrom(shown)
    else:
        raise missing
    if started is not None:
        _show_config(started, response)
    response.workflow_extended_info.original_start_time.CopyFrom(
        response.workflow_execution_info.start_time
    )
    return response.SerializeToString()


async def _found(
    archives: Archives, namespace: Namespace, execution: common.WorkflowExecution
) -> ArchivedRun | None:
    """Return the archived run that is named, or the last one of its workflow id that closed."""
    uri = namespace.visibility_archival.uri
    if not uri:
        return None
    named = {"WorkflowId": execution.workflow_id, "RunId": execution.run_id}
    parts = [compared(system_column(name), "=", text) for name, text in named.items() if text]
    wanted = Wanted(Query(conjunction(*parts)))
    token = b""
    for _ in range(_FIND_PAGES):
        page = await archives.list(uri, namespace.id, wanted, size=1, token=token)
        if page.runs or not page.token:
            return next(iter(page.runs), None)
        token = page.token
    raise Unavailable("expected to find the archived run soon, the archive is large: ask again")


async def _started(
    archives: Archives, namespace: Namespace, key: RunKey
) -> history.HistoryEvent | None:
    """Return the first event of an archived history, if there is one."""
    uri = namespace.history_archival.uri
    if not uri or not key.run_id:
        return None
    try:
        page = await archives.history_page(uri, key, 1, b"")
    except NotFound:
        return None
    return page.batches[0].events[0]


async def _recorded(
    archives: Archives, namespace: Namespace, key: RunKey, started: history.HistoryEvent
) -> workflow.WorkflowExecutionInfo:
    """Return what an archive knows that nobody made searchable: by its record, or its events."""
    last = await archives.last_event(namespace.history_archival.uri, key)
    closed_at = instant_of(last.event_time)
    if uri := namespace.visibility_archival.uri:
        try:
            types = namespace.search_attributes
            return (await archives.describe(uri, key, types, closed_at=closed_at)).execution
        except NotFound:
            pass
    given = started.workflow_execution_started_event_attributes
    shown = workflow.WorkflowExecutionInfo(history_length=last.event_id)
    shown.execution.workflow_id, shown.execution.run_id = key.workflow_id, key.run_id
    shown.type.CopyFrom(given.workflow_type)
    shown.task_queue = given.task_queue.name
    shown.start_time.CopyFrom(started.event_time)
    shown.close_time.CopyFrom(last.event_time)
    shown.status = CLOSED.get(last.event_type, 0)  # type: ignore[assignment]  # enums are ints
    shown.memo.CopyFrom(given.memo)
    shown.search_attributes.CopyFrom(given.search_attributes)
    return shown


def _show_config(
    started: history.HistoryEvent, response: service.DescribeWorkflowExecutionResponse
) -> None:
    given = started.workflow_execution_started_event_attributes
    config = response.execution_config
    config.task_queue.name = given.task_queue.name
    config.task_queue.kind = enums.TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    config.workflow_execution_timeout.CopyFrom(given.workflow_execution_timeout)
    config.workflow_run_timeout.CopyFrom(given.workflow_run_timeout)
    config.default_workflow_task_timeout.CopyFrom(given.workflow_task_timeout)
    if started.HasField("user_metadata"):
        config.user_metadata.CopyFrom(started.user_metadata)
