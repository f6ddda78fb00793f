"""What becomes of a workflow's request on its way to its owner."""

import msgspec
import pytest

from schemas.temporal import service
from streams.frontend import workflow
from tests.streams.frontend.stubs import DEFAULT, StubCall, World

_TYPE = {"name": "Flow"}
_QUEUE = {"name": "tq"}
_FIRST_ID = "00000000-0000-4000-8000-000000000001"


async def test_start_without_request_id_gets_one() -> None:
    """An empty request id is filled, so that a repeat inside is known as such."""
    world = World()
    request = service.StartWorkflowExecutionRequest(
        namespace="default", workflow_id="w", workflow_type=_TYPE, task_queue=_QUEUE
    )
    await workflow.start(world.services(), StubCall(request.SerializeToString()))
    asked = service.StartWorkflowExecutionRequest.FromString(world.gateway.asked[0][3])
    assert asked.request_id == _FIRST_ID
    asked.request_id = ""
    assert asked == request


@pytest.mark.parametrize(("name", "reads"), [("Known", 0), ("BuildIds", 0), ("New", 1)])
async def test_n1_an_attribute_is_refused_only_after_reading_namespaces(
    name: str, reads: int
) -> None:
    """One that another node has added a moment ago is known to the command that names it."""
    world = World()
    known = msgspec.structs.replace(DEFAULT, search_attributes={"Known": 2})
    world.namespaces.seen = {"default": known}
    request = service.StartWorkflowExecutionRequest(
        namespace="default", workflow_id="w", workflow_type=_TYPE, task_queue=_QUEUE
    )
    request.search_attributes.indexed_fields[name].data = b'"x"'
    await workflow.start(world.services(), StubCall(request.SerializeToString()))
    assert world.namespaces.reads == reads


async def test_signal_with_start_without_request_id_gets_one() -> None:
    """As a plain start does."""
    world = World()
    request = service.SignalWithStartWorkflowExecutionRequest(
        namespace="default",
        workflow_id="w",
        workflow_type=_TYPE,
        task_queue=_QUEUE,
        signal_name="go",
    )
    await workflow.signal_with_start(world.services(), StubCall(request.SerializeToString()))
    kind = service.SignalWithStartWorkflowExecutionRequest
    assert kind.FromString(world.gateway.asked[0][3]).request_id == _FIRST_ID


async def test_terminate_without_reason_says_who() -> None:
    """Who names no reason and no identity gets Temporal's."""
    world = World()
    request = service.TerminateWorkflowExecutionRequest(
        namespace="default", workflow_execution={"workflow_id": "w"}
    )
    await workflow.terminate(world.services(), StubCall(request.SerializeToString()))
    asked = service.TerminateWorkflowExecutionRequest.FromString(world.gateway.asked[0][3])
    assert asked.reason == "terminated by user via frontend"
    assert asked.identity == "frontend-service"


async def test_complete_requests_pass_as_they_came() -> None:
    """Nothing is serialised again without need."""
    world = World()
    services = world.services()
    execution = {"workflow_id": "w"}
    given = {
        workflow.signal: service.SignalWorkflowExecutionRequest(
            namespace="default", workflow_execution=execution, signal_name="go"
        ),
        workflow.request_cancel: service.RequestCancelWorkflowExecutionRequest(
            namespace="default", workflow_execution=execution
        ),
        workflow.terminate: service.TerminateWorkflowExecutionRequest(
            namespace="default", workflow_execution=execution, reason="r", identity="i"
        ),
    }
    calls = [StubCall(request.SerializeToString()) for request in given.values()]
    for function, call in zip(given, calls, strict=True):
        await function(services, call)
    assert all(
        asked[3] is call.request for asked, call in zip(world.gateway.asked, calls, strict=True)
    )


async def test_describe_is_a_read() -> None:
    """Looking appends nothing."""
    world = World()
    request = service.DescribeWorkflowExecutionRequest(
        namespace="default", execution={"workflow_id": "w"}
    )
    await workflow.describe(world.services(), StubCall(request.SerializeToString()))
    assert world.gateway.asked == []
    assert world.gateway.reads == [("default", "w", "DescribeWorkflowExecution", request)]
