"""Changes of namespaces as clients ask for them: routed to their home, answered once published."""

from typing import Any

import pytest

from schemas.errors import FailedPrecondition, InvalidArgument, NamespaceNotFound, ServiceError
from schemas.temporal import operator, service
from streams.frontend import namespace_changes
from streams.frontend.routes import ROUTES, Routes
from tests.streams.frontend.stubs import StubCall, StubGateway, World, record_of
from topology.decision import Namespace
from topology.topics import PartitionCounts

DAY = 86_400_000_000_000
_NOT_GLOBAL = (
    "global namespace is not enabled on this cluster, cannot update global namespace "
    "or promote local namespace: shop"
)
SHOP = Namespace("id-shop", "shop", 1, DAY)


class Publishing(StubGateway):
    """A gateway behind which a change is published after a while."""

    def __init__(self, world: World, fields: dict[str, Any]) -> None:
        super().__init__()
        self._world = world
        self._fields = fields

    async def ask(
        self,
        namespace: Namespace,
        workflow_id: str,
        method: str,
        request: bytes,
        *,
        timeout_s: float,
    ) -> bytes:
        """Publish version 2; it is seen at the second look."""
        await super().ask(namespace, workflow_id, method, request, timeout_s=timeout_s)
        self._world.namespaces.publish(SHOP.id, self._fields | {"version": 2}, reads=2)
        return (2).to_bytes(8)


def shop(**published: Any) -> World:
    """Return a world with a namespace that will change so."""
    world = World()
    world.namespaces.seen["shop"] = SHOP
    world.gateway = Publishing(world, published)
    return world


def call_of(request: Any) -> StubCall:
    """Return the call of a request."""
    return StubCall(request.SerializeToString())


async def test_n1_an_update_is_answered_with_what_is_published() -> None:
    """Not with what is asked, and not before everybody can read it."""
    world = shop(description="published")
    request = service.UpdateNamespaceRequest(namespace="shop", update_info={"description": "x"})
    packed = await namespace_changes.update(world.services(), call_of(request))
    found = service.UpdateNamespaceResponse.FromString(packed)
    assert found.namespace_info.description == "published"
    assert [asked[:3] for asked in world.gateway.asked] == [("shop", "shop", "UpdateNamespace")]


async def test_a_deletion_is_answered_with_the_name_it_has_now() -> None:
    """By name and by id alike."""
    for asked in ({"namespace": "shop"}, {"namespace_id": SHOP.id}):
        world = shop(name="shop-deleted-id-sh", state=3)
        request = operator.DeleteNamespaceRequest(**asked)
        packed = await namespace_changes.delete(world.services(), call_of(request))
        found = operator.DeleteNamespaceResponse.FromString(packed)
        assert found.deleted_namespace == "shop-deleted-id-sh"


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        ({}, InvalidArgument, "namespace or namespace ID is required"),
        (
            {"namespace": "shop", "namespace_id": "x"},
            InvalidArgument,
            "only one of namespace or namespace ID must be set",
        ),
        ({"namespace": "none"}, InvalidArgument, "namespace none is not found"),
        ({"namespace": "temporal-system"}, FailedPrecondition, "unable to delete system namespace"),
    ],
)
async def test_a_bad_deletion_is_refused(
    asked: dict[str, str], kind: type[ServiceError], message: str
) -> None:
    """In Temporal's words, without asking anybody."""
    world = shop()
    world.namespaces.seen["temporal-system"] = Namespace("id-sys", "temporal-system", 1, DAY)
    request = operator.DeleteNamespaceRequest(**asked)
    with pytest.raises(kind) as refused:
        await namespace_changes.delete(world.services(), call_of(request))
    assert refused.value.message == message
    assert world.gateway.asked == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"namespace": ""}, "Namespace not set on request."),
        ({"namespace": "x" * 1_001}, "Namespace length exceeds limit."),
        (
            {"namespace": "shop", "promote_namespace": True},
            _NOT_GLOBAL,
        ),
        (
            {"namespace": "shop", "replication_config": {"active_cluster_name": "east"}},
            "Invalid cluster name: east",
        ),
        (
            {"namespace": "shop", "replication_config": {"state": 2}},
            "Handover can only be set for global namespace",
        ),
    ],
)
async def test_a_bad_update_is_refused(asked: dict[str, Any], message: str) -> None:
    """What needs no record is refused where it came in."""
    world = shop()
    request = service.UpdateNamespaceRequest(**asked)
    with pytest.raises(InvalidArgument) as refused:
        await namespace_changes.update(world.services(), call_of(request))
    assert refused.value.message == message
    assert world.gateway.asked == []


async def test_what_is_not_there_is_not_found() -> None:
    """After reading to the end; a deleted one is not there either."""
    world = shop()
    world.namespaces.seen["gone"] = Namespace("id-gone", "gone", 3, DAY)
    for name in ("none", "gone"):
        request = service.DeprecateNamespaceRequest(namespace=name)
        with pytest.raises(NamespaceNotFound):
            await namespace_changes.deprecate(world.services(), call_of(request))


def test_a_deletion_by_id_goes_to_the_home_of_its_name() -> None:
    """So any node may be asked."""
    routes = Routes(shop().namespaces, PartitionCounts(4, 4))
    route = ROUTES["DeleteNamespace"]
    by_name = route.place(routes, operator.DeleteNamespaceRequest(namespace="shop"))
    by_id = route.place(routes, operator.DeleteNamespaceRequest(namespace_id=SHOP.id))
    assert by_name == by_id
    assert by_name is not None
    assert record_of(SHOP)["home"] == "shop"
