"""Finding runs: lists, counts, and what may be named in their queries.

A query is text only until it is resolved; the older filters (ListOpen, ListClosed) are built as
expressions, never as text.
"""

from typing import Any, Final

from schemas.errors import InvalidArgument, Unavailable
from schemas.instants import duration_of, instant_of, timestamp_of
from schemas.temporal import common, filters, operator, service, workflow
from search.attributes import PREDEFINED, SYSTEM, Attribute, ValueType
from search.document import Document
from search.payloads import encode, encode_all
from search.query.expressions import Query
from search.query.filters import Filter, closed_runs, open_runs
from search.query.resolve import list_query, resolve
from search.store import Page
from search.times import INSTANT_MAX
from search.validation import validate_new
from streams.frontend.namespaces import namespace_of, until_projected
from streams.frontend.services import Services
from streams.frontend.transport import Call
from streams.search import Search
from topology.decision import Namespace
from topology.validation import parse

_PAGE_MAX: Final = 1_000


async def list_workflows(services: Services, call: Call) -> bytes:
    """ListWorkflowExecutions."""
    request = parse(service.ListWorkflowExecutionsRequest, call.request)
    return await _listed(services, request, service.ListWorkflowExecutionsResponse())


async def scan(services: Services, call: Call) -> bytes:
    """ScanWorkflowExecutions: a list by an older name."""
    request = parse(service.ScanWorkflowExecutionsRequest, call.request)
    return await _listed(services, request, service.ScanWorkflowExecutionsResponse())


async def list_open(services: Services, call: Call) -> bytes:
    """ListOpenWorkflowExecutions: an older filter over running runs."""
    request = parse(service.ListOpenWorkflowExecutionsRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    query = open_runs(*_times(request.start_time_filter), _filter(request))
    response = service.ListOpenWorkflowExecutionsResponse()
    asked = request.maximum_page_size, request.next_page_token
    return _filled(response, await _page(services, namespace, query, asked))


async def list_closed(services: Services, call: Call) -> bytes:
    """ListClosedWorkflowExecutions: an older filter over closed runs."""
    request = parse(service.ListClosedWorkflowExecutionsRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    wanted = _filter(request)
    if request.HasField("status_filter"):
        if request.status_filter.status in (0, 1):
            raise InvalidArgument("StatusFilter must be specified and must be not Running.")
        wanted = wanted._replace(status=request.status_filter.status)
    query = closed_runs(*_times(request.start_time_filter), wanted)
    response = service.ListClosedWorkflowExecutionsResponse()
    asked = request.maximum_page_size, request.next_page_token
    return _filled(response, await _page(services, namespace, query, asked))


async def count(services: Services, call: Call) -> bytes:
    """CountWorkflowExecutions, with GROUP BY."""
    request = parse(service.CountWorkflowExecutionsRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    query = resolve(request.query, _search(services).names(namespace))
    response = service.CountWorkflowExecutionsResponse()
    if query.group_by is None:
        response.count = await _search(services).count(namespace, query)
        return response.SerializeToString()
    groups = await _search(services).count_groups(namespace, query)
    for value, size in groups.items():
        group = response.groups.add(count=size)
        group.group_values.append(encode(Attribute(int(ValueType.KEYWORD), (value,))))
    response.count = sum(groups.values())
    return response.SerializeToString()


async def get_search_attributes(_: Services, call: Call) -> bytes:
    """GetSearchAttributes: those of the system, by an older name."""
    parse(service.GetSearchAttributesRequest, call.request)
    response = service.GetSearchAttributesResponse()
    for name, value_type in {**SYSTEM, **PREDEFINED}.items():
        response.keys[name] = value_type  # type: ignore[assignment]  # enums travel as ints
    return response.SerializeToString()


async def list_search_attributes(services: Services, call: Call) -> bytes:
    """OperatorService.ListSearchAttributes."""
    request = parse(operator.ListSearchAttributesRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    response = operator.ListSearchAttributesResponse()
    for name, value_type in namespace.search_attributes.items():
        response.custom_attributes[name] = value_type  # type: ignore[assignment]  # an int
    for name, value_type in {**SYSTEM, **PREDEFINED}.items():
        response.system_attributes[name] = value_type  # type: ignore[assignment]  # an int
    return response.SerializeToString()


async def add_search_attributes(services: Services, call: Call) -> bytes:
    """OperatorService.AddSearchAttributes; usable at once on every node (N1)."""
    request = parse(operator.AddSearchAttributesRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    added = validate_new(dict(request.search_attributes))
    answer = await _change_attributes(services, call, namespace, "AddSearchAttributes")
    await until_projected(
        services,
        lambda: added.items() <= _attributes(services, namespace.name).items(),
        until=services.clock.monotonic() + services.time_left(call),
    )
    return answer


async def remove_search_attributes(services: Services, call: Call) -> bytes:
    """OperatorService.RemoveSearchAttributes."""
    request = parse(operator.RemoveSearchAttributesRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    removed = set(request.search_attributes)
    for name in sorted(removed):
        if name in SYSTEM or name in PREDEFINED:
            raise InvalidArgument(f"Unable to remove non-custom search attributes: {name}.")
    answer = await _change_attributes(services, call, namespace, "RemoveSearchAttributes")
    await until_projected(
        services,
        lambda: not removed & set(_attributes(services, namespace.name)),
        until=services.clock.monotonic() + services.time_left(call),
    )
    return answer


def shown(document: Document) -> workflow.WorkflowExecutionInfo:
    """Return how lists show a run."""
    found = workflow.WorkflowExecutionInfo()
    found.execution.workflow_id = document.workflow_id
    found.execution.run_id = document.run_id
    found.type.name = document.workflow_type
    found.start_time.CopyFrom(timestamp_of(document.started_at))
    found.execution_time.CopyFrom(timestamp_of(document.execution_at))
    found.status = document.status  # type: ignore[assignment]  # enums travel as ints
    if document.closed_at is not None:
        found.close_time.CopyFrom(timestamp_of(document.closed_at))
        found.history_length = document.history_length or 0
        found.execution_duration.CopyFrom(duration_of(document.execution_duration or 0))
    found.task_queue = document.task_queue
    if document.parent_run_id:
        found.parent_execution.workflow_id = document.parent_workflow_id
        found.parent_execution.run_id = document.parent_run_id
    found.root_execution.workflow_id = document.root_workflow_id
    found.root_execution.run_id = document.root_run_id
    found.memo.CopyFrom(common.Memo.FromString(document.memo))
    found.search_attributes.CopyFrom(encode_all(document.attributes))
    return found


def _search(services: Services) -> Search:
    if services.search is None:
        raise Unavailable("this node has no search store")
    return services.search


async def _listed(services: Services, request: Any, response: Any) -> bytes:
    namespace = await namespace_of(services, request.namespace)
    query = list_query(request.query, _search(services).names(namespace))
    asked = request.page_size, request.next_page_token
    return _filled(response, await _page(services, namespace, query, asked))


async def _page(
    services: Services, namespace: Namespace, query: Query, asked: tuple[int, bytes]
) -> Page:
    """Return a page of what a query finds; `asked` are its size and its token."""
    size, token = asked
    size = size if 0 < size <= _PAGE_MAX else _PAGE_MAX
    return await _search(services).list(namespace, query, size, token)


def _filled(response: Any, page: Page) -> bytes:
    response.executions.extend(shown(document) for document in page.documents)
    response.next_page_token = page.token
    return bytes(response.SerializeToString())


def _times(times: filters.StartTimeFilter) -> tuple[int, int]:
    """Return the bounds of an older filter, ns; open ones are those of time itself."""
    has_latest = times.HasField("latest_time")
    earliest, latest = instant_of(times.earliest_time), instant_of(times.latest_time)
    if times.HasField("earliest_time") and has_latest and earliest > latest:
        raise InvalidArgument(
            "EarliestTime in StartTimeFilter should not be larger than LatestTime."
        )
    return earliest, latest if has_latest else INSTANT_MAX


def _filter(request: Any) -> Filter:
    """Return the one further condition that an older filter may have."""
    if request.HasField("execution_filter"):
        given = request.execution_filter
        return Filter(workflow_id=given.workflow_id or None, run_id=given.run_id or None)
    if request.HasField("type_filter"):
        return Filter(workflow_type=request.type_filter.name)
    return Filter()


async def _change_attributes(
    services: Services, call: Call, namespace: Namespace, method: str
) -> bytes:
    return await services.gateway.ask(
        namespace, namespace.name, method, call.request, timeout_s=services.time_left(call)
    )


def _attributes(services: Services, name: str) -> dict[str, int]:
    found = services.namespaces.by_name(name)
    return found.search_attributes if found else {}
