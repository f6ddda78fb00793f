"""The official SDK's client against the frontend: what it makes of our answers."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from schemas.errors import WorkflowAlreadyStarted
from schemas.temporal import service
from tests.streams.frontend.stubs import always
from tests.streams.frontend.test_transports import Server, World


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A frontend that is open."""
    server = Server(World())
    await server.start()
    yield server
    await server.stop()


async def _start(client: Client, argument: str = "x") -> WorkflowHandle[object, object]:
    return await client.start_workflow("Flow", argument, id="w", task_queue="tq")


async def test_connects_and_starts(server: Server) -> None:
    """The client compresses its requests, and gets its run id."""
    answer = service.StartWorkflowExecutionResponse(run_id="run", started=True)
    server.world.gateway.answer = always(answer.SerializeToString())
    client = await Client.connect(server.frontend.address)
    assert await client.service_client.check_health() is True
    handle = await _start(client, "x" * 10_000)
    assert handle.first_execution_run_id == "run"
    request = service.StartWorkflowExecutionRequest.FromString(server.world.gateway.asked[0][3])
    assert request.workflow_type.name == "Flow"


async def test_already_started_is_understood(server: Server) -> None:
    """The detail of the refusal becomes the SDK's own error."""
    error = WorkflowAlreadyStarted("taken", start_request_id="r", run_id="run")
    server.world.gateway.answer = always(error)
    client = await Client.connect(server.frontend.address)
    with pytest.raises(WorkflowAlreadyStartedError) as caught:
        await _start(client)
    assert caught.value.run_id == "run"


async def test_oversized_request_has_the_text_of_the_recording(server: Server) -> None:
    """The SDK compresses, so the size is known only afterwards."""
    client = await Client.connect(server.frontend.address)
    request = service.StartWorkflowExecutionRequest(
        namespace="default", workflow_id="x" * (4 * 1024 * 1024 + 1)
    )
    with pytest.raises(RPCError) as caught:
        await client.workflow_service.start_workflow_execution(request)
    assert caught.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
    assert caught.value.message == (
        "grpc: received message after decompression larger than max 4194304"
    )
