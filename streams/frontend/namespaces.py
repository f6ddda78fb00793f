"""RegisterNamespace, DescribeNamespace, ListNamespaces; and which namespace a request is in.

Every answer and refusal here that rests on a namespace record comes after the topic was read to
its end (N1). Whether a registration is accepted is decided by topology/namespace.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from schemas.errors import DeadlineExceeded, InvalidArgument, NamespaceNotFound
from schemas.instants import duration_of
from schemas.temporal import common, enums, service
from search.attributes import type_of
from streams.calls.pause import Pause
from streams.frontend.archive_uris import check_uris
from streams.frontend.services import Services
from streams.frontend.transport import Call
from topology.decision import Namespace
from topology.validation import BLOB_BYTES, check_length, check_state, parse

Record = Any
"""The Avro fields of a namespace."""

_PAGE = 100
_DISABLED = enums.ArchivalState.ARCHIVAL_STATE_DISABLED
_State = enums.NamespaceState
_REGISTERED = _State.NAMESPACE_STATE_REGISTERED


async def namespace_of(services: Services, name: str, *, is_starting: bool = False) -> Namespace:
    """Return the namespace of a request; a start needs one that takes new workflows."""
    if not name:
        raise InvalidArgument("Namespace is empty.")
    found = services.namespaces.by_name(name)
    if found is None:
        check_length("Namespace", name)
        await services.namespaces.read_to_end()
        found = services.namespaces.by_name(name)
        if found is None:
            raise NamespaceNotFound(name)
    check_state(found, is_starting=is_starting)
    return found


async def register(services: Services, call: Call) -> bytes:
    """RegisterNamespace: answered once everybody who reads to the end sees it."""
    request = parse(service.RegisterNamespaceRequest, call.request)
    name = request.namespace
    if not name:
        raise InvalidArgument("Namespace not set on request.")
    check_length("Namespace", name)
    if request.is_global_namespace:
        raise InvalidArgument("Cannot register global namespace when not enabled")
    await check_uris(services, request)
    asked = Namespace(id="", name=name, state=int(_REGISTERED), retention=0)
    until = services.clock.monotonic() + services.time_left(call)
    answer = await services.gateway.ask(
        asked, name, "RegisterNamespace", call.request, timeout_s=services.time_left(call)
    )
    await until_projected(
        services, lambda: services.namespaces.by_name(name) is not None, until=until
    )
    return answer


async def know_attributes(
    services: Services, namespace: Namespace, given: common.SearchAttributes
) -> None:
    """Read `namespaces` to its end where an attribute is not known: it may be new (N1)."""
    if any(type_of(name, namespace.search_attributes) is None for name in given.indexed_fields):
        await services.namespaces.read_to_end()


async def until_projected(
    services: Services, is_there: Callable[[], bool], *, until: float
) -> None:
    """Wait until `namespaces` holds a change, or the caller's time is up (N1)."""
    pause = Pause(services.random)
    attempts = 0
    await services.namespaces.read_to_end()
    while not is_there():
        if services.clock.monotonic() >= until:
            raise DeadlineExceeded("expected the namespace to be published, found it is not yet")
        await asyncio.sleep(pause.after(attempts))
        attempts += 1
        await services.namespaces.read_to_end()


async def describe(services: Services, call: Call) -> bytes:
    """DescribeNamespace, by name or by id."""
    request = parse(service.DescribeNamespaceRequest, call.request)
    if not request.namespace and not request.id:
        raise InvalidArgument("Namespace not set on request.")
    if request.namespace and request.id:
        raise InvalidArgument(
            "GetNamespace operation failed. Both ID and Name specified in request."
        )
    await services.namespaces.read_to_end()
    records: Sequence[Record] = services.namespaces.records()
    for record in records:
        if record["name"] == request.namespace or record["id"] == request.id:
            return bytes(described(services, record).SerializeToString())
    raise NamespaceNotFound(request.namespace or request.id)


async def list_all(services: Services, call: Call) -> bytes:
    """ListNamespaces: pages in the order of their ids; the token is the last id shown."""
    request = parse(service.ListNamespacesRequest, call.request)
    await services.namespaces.read_to_end()
    is_showing_deleted = request.namespace_filter.include_deleted
    after = request.next_page_token.decode(errors="replace")
    rows: list[Record] = sorted(services.namespaces.records(), key=lambda row: str(row["id"]))
    shown = [
        row
        for row in rows
        if row["id"] > after
        and (is_showing_deleted or row["state"] != _State.NAMESPACE_STATE_DELETED)
    ]
    size = request.page_size if request.page_size > 0 else _PAGE
    response = service.ListNamespacesResponse()
    response.namespaces.extend(described(services, row) for row in shown[:size])
    if len(shown) > size:
        response.next_page_token = str(shown[size - 1]["id"]).encode()
    return response.SerializeToString()


def described(services: Services, record: Record) -> service.DescribeNamespaceResponse:
    """Return what there is to say of a namespace; a capability is true once it is built."""
    response = service.DescribeNamespaceResponse()
    about = response.namespace_info
    about.id = record["id"]
    about.name = record["name"]
    about.state = record["state"]
    about.description = record["description"]
    about.owner_email = record["owner_email"]
    about.data.update(record["custom_data"])
    about.capabilities.eager_workflow_start = True
    about.capabilities.worker_poll_complete_on_shutdown = True
    about.capabilities.poller_autoscaling = True
    about.limits.blob_size_limit_error = BLOB_BYTES
    about.limits.memo_size_limit_error = BLOB_BYTES
    config = response.config
    config.workflow_execution_retention_ttl.CopyFrom(duration_of(record["retention"]))
    config.history_archival_state = record["history_archival_state"] or _DISABLED
    config.history_archival_uri = record["history_archival_uri"]
    config.visibility_archival_state = record["visibility_archival_state"] or _DISABLED
    config.visibility_archival_uri = record["visibility_archival_uri"]
    config.bad_binaries.SetInParent()
    for checksum, packed in record["bad_binaries"].items():
        config.bad_binaries.binaries[checksum].ParseFromString(packed)
    config.custom_search_attribute_aliases.update(record["search_attribute_aliases"])
    cluster = services.settings.cluster_name
    response.replication_config.active_cluster_name = cluster
    response.replication_config.clusters.add(cluster_name=cluster)
    return response
