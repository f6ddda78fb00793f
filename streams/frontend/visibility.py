"""Finding runs: lists, counts, and what may be named in their queries.

A query is text only until it is resolved; the older filters (ListOpen, ListClosed) are built as
expressions, never as text.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from schemas.errors import InvalidArgument, Unavailable
from schemas.instants import instant_of
from schemas.temporal import filters, operator, service
from search.attributes import PREDEFINED, SYSTEM
from search.query.expressions import Query
from search.query.filters import Filter, closed_runs, open_runs
from search.query.resolve import Names, list_query, resolve
from search.shown import shown, shown_group
from search.times import INSTANT_MAX
from search.validation import validate_new
from streams.frontend.namespaces import namespace_of, until_projected
from streams.frontend.services import Services
from streams.frontend.transport import Call
from streams.positions import wanted_of
from streams.search import Search
from topology.decision import Namespace
from topology.validation import parse

_PAGE_MAX: Final = 1_000


class Asked(NamedTuple):
    """A page that is asked for."""

    namespace: Namespace
    query: Query
    size: int
    token: bytes


async def list_workflows(services: Services, call: Call) -> bytes:
    """ListWorkflowExecutions."""
    request = parse(service.ListWorkflowExecutionsRequest, call.request)
    return await _listed(services, call, request, service.ListWorkflowExecutionsResponse())


async def scan(services: Services, call: Call) -> bytes:
    """ScanWorkflowExecutions: a list by an older name."""
    request = parse(service.ScanWorkflowExecutionsRequest, call.request)
    return await _listed(services, call, request, service.ScanWorkflowExecutionsResponse())


async def list_open(services: Services, call: Call) -> bytes:
    """ListOpenWorkflowExecutions: an older filter over running runs."""
    request = parse(service.ListOpenWorkflowExecutionsRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    query = open_runs(*_times(request.start_time_filter), _filter(request))
    response = service.ListOpenWorkflowExecutionsResponse()
    asked = Asked(namespace, query, request.maximum_page_size, request.next_page_token)
    return await _filled(services, call, asked, response)


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
    asked = Asked(namespace, query, request.maximum_page_size, request.next_page_token)
    return await _filled(services, call, asked, response)


async def count(services: Services, call: Call) -> bytes:
    """CountWorkflowExecutions, with GROUP BY."""
    request = parse(service.CountWorkflowExecutionsRequest, call.request)
    namespace, query = await _resolved(services, request, resolve)
    await _awaited(services, call)
    response = service.CountWorkflowExecutionsResponse()
    if query.group_by is None:
        response.count = await _search(services).count(namespace, query)
        return response.SerializeToString()
    groups = await _search(services).count_groups(namespace, query)
    for value, size in groups.items():
        group = response.groups.add(count=size)
        group.group_values.append(shown_group(value))
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
    await _change_attributes(services, call, namespace, "AddSearchAttributes")
    await until_projected(
        services,
        lambda: added.items() <= _attributes(services, namespace.name).items(),
        until=services.clock.monotonic() + services.time_left(call),
    )
    await _make_searchable(services, namespace, added)
    return operator.AddSearchAttributesResponse().SerializeToString()


async def _make_searchable(services: Services, namespace: Namespace, added: dict[str, int]) -> None:
    """Make the fields of new attributes, so that an index which has no room for them says so.

    A store that is away makes them with the first run that has them.
    """
    if services.search is not None:
        with contextlib.suppress(Unavailable):
            await services.search.add_attributes(namespace, added)


async def remove_search_attributes(services: Services, call: Call) -> bytes:
    """OperatorService.RemoveSearchAttributes."""
    request = parse(operator.RemoveSearchAttributesRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    removed = set(request.search_attributes)
    for name in sorted(removed):
        if name in SYSTEM or name in PREDEFINED:
            raise InvalidArgument(f"Unable to remove non-custom search attributes: {name}.")
    await _change_attributes(services, call, namespace, "RemoveSearchAttributes")
    await until_projected(
        services,
        lambda: not removed & set(_attributes(services, namespace.name)),
        until=services.clock.monotonic() + services.time_left(call),
    )
    return operator.RemoveSearchAttributesResponse().SerializeToString()


def _search(services: Services) -> Search:
    if services.search is None:
        raise Unavailable("this node has no search store")
    return services.search


async def _listed(services: Services, call: Call, request: Any, response: Any) -> bytes:
    namespace, query = await _resolved(services, request, list_query)
    asked = Asked(namespace, query, request.page_size, request.next_page_token)
    return await _filled(services, call, asked, response)


async def _resolved(
    services: Services, request: Any, meaning: Callable[[str, Names], Query]
) -> tuple[Namespace, Query]:
    """Return what a query means; refused only after reading `namespaces` to its end (N1)."""
    namespace = await namespace_of(services, request.namespace)
    names = _search(services).names
    try:
        return namespace, meaning(request.query, names(namespace))
    except InvalidArgument:
        await services.namespaces.read_to_end()
    namespace = await namespace_of(services, request.namespace)
    return namespace, meaning(request.query, names(namespace))


async def _filled(services: Services, call: Call, asked: Asked, response: Any) -> bytes:
    """Return a page of what a query finds."""
    size = asked.size if 0 < asked.size <= _PAGE_MAX else _PAGE_MAX
    await _awaited(services, call)
    page = await _search(services).list(asked.namespace, asked.query, size, asked.token)
    custom = asked.namespace.search_attributes
    response.executions.extend(shown(document, custom) for document in page.documents)
    response.next_page_token = page.token
    return bytes(response.SerializeToString())


async def _awaited(services: Services, call: Call) -> None:
    """Wait until the index has what the call's positions name: its caller's own writes."""
    wanted = wanted_of(call.metadata)
    if wanted:
        await _search(services).wait(wanted, timeout_s=services.time_left(call))


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
) -> None:
    """Have the namespace changed; the answer, its new version, is nobody's business here."""
    await services.gateway.ask(
        namespace, namespace.name, method, call.request, timeout_s=services.time_left(call)
    )


def _attributes(services: Services, name: str) -> dict[str, int]:
    found = services.namespaces.by_name(name)
    return found.search_attributes if found else {}
