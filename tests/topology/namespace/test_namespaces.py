"""The life of a namespace as its home decides it."""

from typing import Any

import pytest

from schemas.errors import (
    InvalidArgument,
    NamespaceAlreadyExists,
    NamespaceNotFound,
    ServiceError,
    Stale,
)
from schemas.instants import HOUR
from schemas.temporal import namespace, service
from tests.topology.namespace.desk import Registry
from topology.forwards import NamespaceSwept
from topology.namespace.archival import DISABLED, ENABLED, Archivals, Offered


@pytest.fixture
def registry() -> Registry:
    """A home with one namespace."""
    made = Registry()
    made.register("shop", description="old", data={"a": "1", "b": "1"})
    return made


def test_an_update_replaces_texts_and_merges_data(registry: Registry) -> None:
    """What is not set stays as it was; the version goes up."""
    changed = registry.update(
        "shop", update_info={"description": "new", "data": {"b": "2", "c": "3"}}
    )
    assert changed.description == "new"
    assert changed.custom_data == {"a": "1", "b": "2", "c": "3"}
    assert (changed.version, changed.retention) == (2, 24 * HOUR)
    assert registry.update("shop", update_info={"owner_email": "x"}).description == "new"


def test_the_retention_changes(registry: Registry) -> None:
    """Down to an hour."""
    config = {"workflow_execution_retention_ttl": {"seconds": 3600}}
    assert registry.update("shop", config=config).retention == HOUR


def test_bad_binaries_merge_and_go(registry: Registry) -> None:
    """Each is noted with its reason and when it was added; one can be taken away."""
    for name in ("x", "y"):
        changed = registry.update("shop", config=_bad(name))
    noted = namespace.BadBinaryInfo.FromString(changed.bad_binaries["x"])
    assert noted.reason == "why"
    assert noted.create_time.seconds
    assert set(registry.update("shop", delete_bad_binary="x").bad_binaries) == {"y"}


def _bad(*names: str) -> dict[str, Any]:
    return {"bad_binaries": {"binaries": {name: {"reason": "why"} for name in names}}}


def test_aliases_are_added_and_taken_away(registry: Registry) -> None:
    """An empty alias frees its field."""
    aliases = {"custom_search_attribute_aliases": {"Keyword01": "Customer"}}
    changed = registry.update("shop", config=aliases)
    assert changed.search_attribute_aliases == {"Keyword01": "Customer"}
    freed = {"custom_search_attribute_aliases": {"Keyword01": ""}}
    assert registry.update("shop", config=freed).search_attribute_aliases == {}


def test_archival_is_set_where_the_server_has_it() -> None:
    """The states lead on as Temporal's do, through registration and updates."""
    offered = Offered(is_configured=True, uri="file:///server")
    registry = Registry(Archivals(history=offered))
    made = registry.register("shop", history_archival_state=ENABLED)
    assert made.history_archival.target == "file:///server"
    off = registry.update("shop", config={"history_archival_state": DISABLED})
    assert off.history_archival.target == ""
    assert off.history_archival.uri == "file:///server"
    on = registry.update("shop", config={"history_archival_state": ENABLED})
    assert on.history_archival.target == "file:///server"
    with pytest.raises(InvalidArgument, match="Cannot update existing archival URI"):
        registry.update("shop", config={"history_archival_uri": "file:///other"})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"config": {"workflow_execution_retention_ttl": {"seconds": 3599}}},
            "A valid retention period is not set on request.",
        ),
        (
            {"config": {"workflow_execution_retention_ttl": {"seconds": -1}}},
            "A valid retention period is not set on request.",
        ),
        (
            {"config": _bad(*"abcdefghijk")},
            "Total resetBinaries cannot exceed the max limit: 10",
        ),
        ({"delete_bad_binary": "z"}, "Bad binary checksum z doesn't exists."),
        ({"update_info": {"state": 4}}, "Invalid namespace state update."),
    ],
)
def test_a_bad_update_is_refused(registry: Registry, asked: dict[str, Any], message: str) -> None:
    """In Temporal's words, and nothing is recorded."""
    rows = dict(registry.rows())
    with pytest.raises(InvalidArgument) as refused:
        registry.update("shop", **asked)
    assert refused.value.message == message
    assert registry.rows() == rows


def test_an_alias_is_given_once(registry: Registry) -> None:
    """A field that has an alias keeps it."""
    aliases = {"custom_search_attribute_aliases": {"Keyword01": "Customer"}}
    registry.update("shop", config=aliases)
    with pytest.raises(InvalidArgument, match="already allocated"):
        registry.update("shop", config=aliases)


def test_a_namespace_is_deprecated_and_not_registered_again(registry: Registry) -> None:
    """From deprecated the only way is to deleted."""
    registry.ask("DeprecateNamespace", "shop", service.DeprecateNamespaceRequest())
    assert registry.published[-1].state == 2
    with pytest.raises(InvalidArgument, match="Invalid namespace state update"):
        registry.update("shop", update_info={"state": 1})
    assert registry.update("shop", update_info={"state": 3}).name.startswith("shop-deleted-")


def test_a_deleted_namespace_leaves_its_name_at_once(registry: Registry) -> None:
    """It goes on under another name, and the next of its name is another one."""
    first = registry.published[-1]
    deleted = registry.delete("shop")
    assert deleted.name == f"shop-deleted-{first.id[:5]}"
    assert (deleted.id, deleted.state, deleted.is_erased) == (first.id, 3, False)
    for method in ("UpdateNamespace", "DeprecateNamespace", "DeleteNamespace"):
        with pytest.raises(NamespaceNotFound):
            registry.ask(method, "shop", service.UpdateNamespaceRequest(namespace="shop"))
    second = registry.register("shop")
    assert second.id != first.id
    with pytest.raises(NamespaceAlreadyExists):
        registry.register("shop")


def test_a_namespace_is_erased_when_every_partition_is_swept(registry: Registry) -> None:
    """Reports may come again; the last one ends it, and the new one of its name is untouched."""
    first = registry.delete("shop")
    second = registry.register("shop")
    for partition in (2, 0, 2):
        registry.ask("NamespaceSwept", "shop", _swept(first.id, partition))
    assert registry.published[-1] == second
    registry.ask("NamespaceSwept", "shop", _swept(first.id, 1))
    erased = registry.published[-1]
    assert (erased.id, erased.is_erased, erased.version) == (first.id, True, first.version + 1)
    assert len(registry.rows()) == 1
    with pytest.raises(Stale):
        registry.ask("NamespaceSwept", "shop", _swept(first.id, 1))


def _swept(namespace_id: str, partition: int) -> NamespaceSwept:
    return NamespaceSwept(namespace_id=namespace_id, partition=partition, partitions=3)


def test_the_system_namespace_stays(registry: Registry) -> None:
    """It has the id that everybody knows, and cannot be deleted."""
    made = registry.register("temporal-system")
    assert made.id == "32049b68-7872-4094-8e63-d0dd59896a83"
    with pytest.raises(ServiceError, match="system namespace"):
        registry.delete("temporal-system")
