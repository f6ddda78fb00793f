"""Namespaces as clients see them."""

from datetime import timedelta

import pytest

from schemas.errors import DeadlineExceeded, NamespaceNotFound
from schemas.temporal import enums, service
from streams.frontend import namespaces, system
from tests.streams.frontend.stubs import StubCall, StubGateway, World
from topology.decision import Namespace

_DAY = 86_400_000_000_000


def _space(name: str, state: int = 1) -> Namespace:
    return Namespace(id=f"id-{name}", name=name, state=state, retention=_DAY)


@pytest.mark.parametrize("asked", [{"namespace": "a"}, {"id": "id-a"}])
async def test_n1_describe_reads_to_the_end(asked: dict[str, str]) -> None:
    """By name or by id; what was unread is found."""
    world = World()
    world.namespaces.unread["a"] = _space("a")
    call = StubCall(service.DescribeNamespaceRequest(**asked).SerializeToString())
    packed = await namespaces.describe(world.services(), call)
    found = service.DescribeNamespaceResponse.FromString(packed)
    assert (found.namespace_info.id, found.namespace_info.name) == ("id-a", "a")
    assert found.namespace_info.state == enums.NamespaceState.NAMESPACE_STATE_REGISTERED
    assert found.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=1)
    assert found.replication_config.active_cluster_name == "active"
    assert found.namespace_info.limits.blob_size_limit_error == 2 * 1024 * 1024


async def test_capabilities_say_only_what_is_true() -> None:
    """Nothing that is not built is advertised."""
    world = World()
    services = world.services()
    call = StubCall(service.DescribeNamespaceRequest(namespace="default").SerializeToString())
    packed = await namespaces.describe(services, call)
    about = service.DescribeNamespaceResponse.FromString(packed).namespace_info
    assert {field.name for field, _ in about.capabilities.ListFields()} == {
        "eager_workflow_start",
        "worker_poll_complete_on_shutdown",
        "poller_autoscaling",
    }
    info = service.GetSystemInfoResponse.FromString(
        await system.system_info(services, StubCall(b""))
    )
    assert {field.name for field, _ in info.capabilities.ListFields()} == {
        "signal_and_query_header",
        "internal_error_differentiation",
        "activity_failure_include_heartbeat",
        "encoded_failure_attributes",
        "sdk_metadata",
        "upsert_memo",
        "count_group_by_execution_status",
        "build_id_based_versioning",
        "eager_workflow_start",
    }


async def test_n1_describe_of_nobody() -> None:
    """Not found, by the name that was asked."""
    call = StubCall(service.DescribeNamespaceRequest(namespace="nowhere").SerializeToString())
    with pytest.raises(NamespaceNotFound, match="Namespace nowhere is not found"):
        await namespaces.describe(World().services(), call)


async def test_list_pages() -> None:
    """Pages in the order of ids, deleted ones hidden, until there is no token."""
    world = World()
    for name in ("a", "b", "c", "d"):
        world.namespaces.seen[name] = _space(name, state=3 if name == "b" else 1)
    token = b""
    pages: list[list[str]] = []
    while token or not pages:
        request = service.ListNamespacesRequest(page_size=2, next_page_token=token)
        call = StubCall(request.SerializeToString())
        packed = await namespaces.list_all(world.services(), call)
        found = service.ListNamespacesResponse.FromString(packed)
        pages.append([each.namespace_info.name for each in found.namespaces])
        token = found.next_page_token
    assert pages == [["default", "a"], ["c", "d"]]


async def test_n1_register_is_answered_once_it_is_seen() -> None:
    """The command is keyed by the name; the answer waits for the projection."""
    world = World()

    class Projecting(StubGateway):
        """A gateway behind which a registration comes true."""

        async def ask(
            self,
            namespace: Namespace,
            workflow_id: str,
            method: str,
            request: bytes,
            *,
            timeout_s: float,
        ) -> bytes:
            """Project what is registered."""
            world.namespaces.unread[workflow_id] = _space(workflow_id)
            return await super().ask(namespace, workflow_id, method, request, timeout_s=timeout_s)

    world.gateway = Projecting()
    request = service.RegisterNamespaceRequest(
        namespace="new", workflow_execution_retention_period=timedelta(days=3)
    )
    await namespaces.register(world.services(), StubCall(request.SerializeToString()))
    assert [asked[:3] for asked in world.gateway.asked] == [("new", "new", "RegisterNamespace")]
    assert world.namespaces.by_name("new") is not None


async def test_n1_register_that_is_never_published_ends_with_its_deadline() -> None:
    """The caller does not hear that it is there before it is."""
    request = service.RegisterNamespaceRequest(
        namespace="new", workflow_execution_retention_period=timedelta(days=3)
    )
    call = StubCall(request.SerializeToString(), deadline=0)
    with pytest.raises(DeadlineExceeded):
        await namespaces.register(World().services(), call)


async def test_cluster_info_names_this_cluster() -> None:
    """Tools read versions and the shard count."""
    packed = await system.cluster_info(World().services(), StubCall(b""))
    found = service.GetClusterInfoResponse.FromString(packed)
    assert (found.cluster_name, found.history_shard_count) == ("active", 4)
    assert found.supported_clients["temporal-ui"] == "<3.0.0"
    assert found.server_version.startswith("1.31.2+millrace.")
