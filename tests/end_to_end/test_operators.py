"""What operators do through the SDK's raw services: every answer is the message it should be."""

import uuid
from datetime import timedelta

from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    DeleteNamespaceRequest,
    ListSearchAttributesRequest,
    RemoveSearchAttributesRequest,
)
from temporalio.api.workflowservice.v1 import (
    DeprecateNamespaceRequest,
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client


async def test_search_attributes_are_added_listed_and_removed(client: Client) -> None:
    """Answers of additions and removals are empty messages, not something else's bytes."""
    operator = client.operator_service
    name = f"Added{uuid.uuid4().hex}"
    added = AddSearchAttributesRequest(namespace="default", search_attributes={name: 2})
    assert not (await operator.add_search_attributes(added)).ListFields()
    wanted = ListSearchAttributesRequest(namespace="default")
    assert (await operator.list_search_attributes(wanted)).custom_attributes[name] == 2
    removed = RemoveSearchAttributesRequest(namespace="default", search_attributes=[name])
    assert not (await operator.remove_search_attributes(removed)).ListFields()
    assert name not in (await operator.list_search_attributes(wanted)).custom_attributes


async def test_namespace_lives_from_register_to_delete(client: Client) -> None:
    """Register, update, describe, deprecate, delete: each says what has become of it."""
    service = client.workflow_service
    name = f"lived-{uuid.uuid4()}"
    register = RegisterNamespaceRequest(namespace=name)
    register.workflow_execution_retention_period.FromTimedelta(timedelta(days=2))
    await service.register_namespace(register)
    update = UpdateNamespaceRequest(namespace=name)
    update.update_info.description = "changed"
    updated = await service.update_namespace(update)
    assert (updated.namespace_info.name, updated.namespace_info.description) == (name, "changed")
    found = await service.describe_namespace(DescribeNamespaceRequest(namespace=name))
    assert found.namespace_info.description == "changed"
    deprecated = await service.deprecate_namespace(DeprecateNamespaceRequest(namespace=name))
    assert not deprecated.ListFields()
    gone = await client.operator_service.delete_namespace(DeleteNamespaceRequest(namespace=name))
    assert gone.deleted_namespace.startswith(name)
