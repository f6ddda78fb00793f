"""Every RPC of the API is served, or listed with its reason."""

from schemas.temporal import operator_service, workflow_service
from streams.frontend.rpcs import WORKFLOW_SERVICE
from streams.frontend.unsupported import UNSUPPORTED, refusal_of

_SERVICES = (
    workflow_service.DESCRIPTOR.services_by_name["WorkflowService"],
    operator_service.DESCRIPTOR.services_by_name["OperatorService"],
)


def test_every_rpc_is_served_or_listed() -> None:
    """The descriptors are the list; both tables together are exactly it, without overlap."""
    names = [method.name for each in _SERVICES for method in each.methods]
    assert sorted(names) == sorted([*WORKFLOW_SERVICE, *UNSUPPORTED])


def test_refusal_names_the_rpc() -> None:
    """A refusal says which RPC, and why."""
    assert refusal_of("ListClusters") == (
        "ListClusters is not served by this version of Millrace: there is one cluster"
    )
