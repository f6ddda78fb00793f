"""UpdateNamespace, DeprecateNamespace, DeleteNamespace: asked at the home of a namespace.

What a request is alone refused for is refused here; the rest is decided by topology/namespace. An
answer comes once `namespaces` has the change, so whoever reads it to its end sees it (N1).
"""

from schemas.errors import FailedPrecondition, InvalidArgument, NamespaceNotFound
from schemas.temporal import enums, operator, replication, service
from streams.frontend.archive_uris import check_uris
from streams.frontend.namespaces import Record, described, until_projected
from streams.frontend.services import Services
from streams.frontend.transport import Call
from topology.decision import Namespace
from topology.namespace.decide import SYSTEM
from topology.namespace.record import version_of
from topology.validation import check_length, parse

_DELETED = enums.NamespaceState.NAMESPACE_STATE_DELETED
_HANDOVER = enums.ReplicationState.REPLICATION_STATE_HANDOVER


async def update(services: Services, call: Call) -> bytes:
    """UpdateNamespace; the answer is the namespace as it is then."""
    request = parse(service.UpdateNamespaceRequest, call.request)
    record = await _found(services, request.namespace)
    if request.promote_namespace:
        raise InvalidArgument(
            "global namespace is not enabled on this cluster, cannot update global namespace "
            f"or promote local namespace: {request.namespace}"
        )
    _check_replication(request.replication_config, services.settings.cluster_name)
    if request.HasField("config"):
        await check_uris(services, request.config)
    shown = described(services, await _changed(services, call, record, "UpdateNamespace"))
    response = service.UpdateNamespaceResponse(
        namespace_info=shown.namespace_info,
        config=shown.config,
        replication_config=shown.replication_config,
        failover_version=shown.failover_version,
        is_global_namespace=shown.is_global_namespace,
    )
    return response.SerializeToString()


async def deprecate(services: Services, call: Call) -> bytes:
    """DeprecateNamespace: it takes no new workflows from then on."""
    request = parse(service.DeprecateNamespaceRequest, call.request)
    record = await _found(services, request.namespace)
    await _changed(services, call, record, "DeprecateNamespace")
    return service.DeprecateNamespaceResponse().SerializeToString()


async def delete(services: Services, call: Call) -> bytes:
    """DeleteNamespace: answered with the name it has until all of it is gone."""
    request = parse(operator.DeleteNamespaceRequest, call.request)
    record = await _to_delete(services, request)
    deleted = await _changed(services, call, record, "DeleteNamespace")
    response = operator.DeleteNamespaceResponse(deleted_namespace=deleted["name"])
    return response.SerializeToString()


async def _to_delete(services: Services, request: operator.DeleteNamespaceRequest) -> Record:
    name, namespace_id = request.namespace, request.namespace_id
    if not name and not namespace_id:
        raise InvalidArgument("namespace or namespace ID is required")
    if name and namespace_id:
        raise InvalidArgument("only one of namespace or namespace ID must be set")
    await services.namespaces.read_to_end()
    for record in services.namespaces.records():
        if record["name"] == name or record["id"] == namespace_id:
            if record["home"] == SYSTEM:
                raise FailedPrecondition("unable to delete system namespace")
            return record
    raise InvalidArgument(f"namespace {name or namespace_id} is not found")


def _check_replication(given: replication.NamespaceReplicationConfig, cluster: str) -> None:
    """Refuse other clusters than the one there is."""
    named = [each.cluster_name for each in given.clusters]
    for name in (given.active_cluster_name, *named):
        if name and name != cluster:
            raise InvalidArgument(f"Invalid cluster name: {name}")
    if given.state == _HANDOVER:
        raise InvalidArgument("Handover can only be set for global namespace")


async def _found(services: Services, name: str) -> Record:
    """Return the record of a namespace that is not deleted; raises NamespaceNotFound."""
    if not name:
        raise InvalidArgument("Namespace not set on request.")
    check_length("Namespace", name)
    await services.namespaces.read_to_end()
    for record in services.namespaces.records():
        if record["name"] == name and record["state"] != _DELETED:
            return record
    raise NamespaceNotFound(name)


async def _changed(services: Services, call: Call, record: Record, method: str) -> Record:
    """Have a change decided at the namespace's home; return the record once it is published."""
    namespace_id, home = record["id"], record["home"] or record["name"]
    if record["state"] == _DELETED:
        return record  # it was deleted before, as a repeat of the request says
    until = services.clock.monotonic() + services.time_left(call)
    asked = Namespace(namespace_id, home, record["state"], record["retention"])
    answer = await services.gateway.ask(
        asked, home, method, call.request, timeout_s=services.time_left(call)
    )

    def current() -> Record:
        return next(one for one in services.namespaces.records() if one["id"] == namespace_id)

    version = version_of(answer)
    await until_projected(services, lambda: current()["version"] >= version, until=until)
    return current()
