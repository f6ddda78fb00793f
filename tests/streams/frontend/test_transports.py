"""The whole frontend over a real gRPC channel, on each transport."""

import asyncio
import socket
from collections.abc import AsyncIterator

import grpc
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from schemas.errors import WorkflowAlreadyStarted
from schemas.temporal import errordetails, service
from streams.frontend.server import Frontend
from streams.frontend.settings import FrontendSettings
from streams.frontend.transport import AddressUnusable, Call, Table, Transport, Unary
from streams.frontend.transports import TRANSPORTS
from streams.metrics import Metrics
from tests.streams.frontend.stubs import StubCall, World, always

_SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
_OPERATOR = "/temporal.api.operatorservice.v1.OperatorService/"


class Server:
    """A frontend that listens, and a channel to it."""

    def __init__(
        self, world: World, settings: FrontendSettings | None = None, *, transport: str = "http2"
    ) -> None:
        self.world = world
        self.transport = TRANSPORTS[transport]
        self.settings = settings or world.settings
        self.services = world.services()

        def listening(table: Table) -> Transport:
            return self.transport(table, host="127.0.0.1", port=0, settings=self.settings)

        self.frontend = Frontend(self.services, listening, Metrics())

    async def start(self) -> None:
        """Listen, and let calls in."""
        await self.frontend.start()
        self.frontend.open()

    def channel(self, **more: object) -> grpc.aio.Channel:
        """Return a new connection."""
        return grpc.aio.insecure_channel(self.frontend.address, **more)

    async def stop(self) -> None:
        """Stop as planned."""
        await self.frontend.stop()


@pytest.fixture(params=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> str:
    """The name of a transport."""
    return str(request.param)


@pytest.fixture
async def server(transport: str) -> AsyncIterator[Server]:
    """A frontend that is open."""
    server = Server(World(), transport=transport)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def channel(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it."""
    async with server.channel() as channel:
        yield channel


def start_request(**more: object) -> bytes:
    """Return a Start request."""
    fields = {
        "namespace": "default",
        "workflow_id": "w",
        "workflow_type": {"name": "Flow"},
        "task_queue": {"name": "tq"},
        "request_id": "r",
    }
    return service.StartWorkflowExecutionRequest(**(fields | more)).SerializeToString()


def poll_request() -> bytes:
    """Return a poll."""
    request = service.PollWorkflowTaskQueueRequest(namespace="default", task_queue={"name": "tq"})
    return request.SerializeToString()


async def refused(call: grpc.aio.UnaryUnaryCall) -> grpc.aio.AioRpcError:
    """Return the error of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_request_and_answer_pass_as_bytes(server: Server, channel: grpc.aio.Channel) -> None:
    """The gateway gets the request's own bytes, the client the answer's."""
    server.world.gateway.answer = always(b"answer")
    request = start_request()
    answer = await channel.unary_unary(f"{_SERVICE}StartWorkflowExecution")(request)
    assert answer == b"answer"
    assert server.world.gateway.asked == [("default", "w", "StartWorkflowExecution", request)]


async def test_gzip_request_is_understood(server: Server) -> None:
    """SDKs compress their requests."""
    request = start_request(input={"payloads": [{"data": b"x" * 100_000}]})
    async with server.channel(compression=grpc.Compression.Gzip) as channel:
        await channel.unary_unary(f"{_SERVICE}StartWorkflowExecution")(request)
    assert server.world.gateway.asked[0][3] == request


async def test_error_carries_its_details(server: Server, channel: grpc.aio.Channel) -> None:
    """A refusal has code, text and `grpc-status-details-bin`."""
    error = WorkflowAlreadyStarted("taken", start_request_id="r", run_id="run")
    server.world.gateway.answer = always(error)
    call = channel.unary_unary(f"{_SERVICE}StartWorkflowExecution")(start_request())
    found = await refused(call)
    assert (found.code(), found.details()) == (grpc.StatusCode.ALREADY_EXISTS, "taken")
    packed = dict(found.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed)
    detail = errordetails.WorkflowExecutionAlreadyStartedFailure()
    assert status.details[0].Unpack(detail)
    assert (status.message, detail.run_id) == ("taken", "run")


async def test_plain_refusal_has_no_details(channel: grpc.aio.Channel) -> None:
    """An invalid argument has a text only."""
    call = channel.unary_unary(f"{_SERVICE}StartWorkflowExecution")(start_request(workflow_id=""))
    found = await refused(call)
    assert found.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert found.details() == "WorkflowId is not set on request."
    assert "grpc-status-details-bin" not in dict(found.trailing_metadata())


async def test_bug_is_answered_internal(server: Server, channel: grpc.aio.Channel) -> None:
    """A function that raises a bug costs its own call only."""
    server.world.gateway.answer = always(ZeroDivisionError())
    call = channel.unary_unary(f"{_SERVICE}StartWorkflowExecution")(start_request())
    found = await refused(call)
    assert found.code() == grpc.StatusCode.INTERNAL
    assert found.details() == "StartWorkflowExecution failed: ZeroDivisionError"


async def test_oversized_request_has_the_text_sdks_know(channel: grpc.aio.Channel) -> None:
    """4 MiB is the limit, and the refusal begins as Go's does."""
    request = b"x" * (4 * 1024 * 1024 + 1)
    found = await refused(channel.unary_unary(f"{_SERVICE}StartWorkflowExecution")(request))
    assert found.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert found.details() == "grpc: received message larger than max (4194305 vs. 4194304)"


async def test_deadline_reaches_the_function(server: Server, channel: grpc.aio.Channel) -> None:
    """The gateway is given the time that is left; without a deadline the setting counts."""
    start = channel.unary_unary(f"{_SERVICE}StartWorkflowExecution")
    await start(start_request(), timeout=7)
    await start(start_request())
    first, second = server.world.gateway.timeouts
    assert 0 < first < 8
    assert second == server.settings.call_timeout_s


async def test_client_cancellation_cancels_the_poll(
    server: Server, channel: grpc.aio.Channel
) -> None:
    """A client that goes away gives its long poll up."""
    call = channel.unary_unary(f"{_SERVICE}PollWorkflowTaskQueue")(poll_request(), timeout=60)
    await asyncio.wait_for(server.world.matching.polled.wait(), 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await _until(lambda: server.world.matching.given_up == 1)
    assert server.services.waiters.counts() == {}


async def test_lost_connection_cancels_the_poll(server: Server) -> None:
    """So does one whose connection breaks."""
    async with server.channel() as channel:
        call = channel.unary_unary(f"{_SERVICE}PollWorkflowTaskQueue")(poll_request(), timeout=60)
        task = asyncio.ensure_future(call)
        await asyncio.wait_for(server.world.matching.polled.wait(), 10)
    await _until(lambda: server.world.matching.given_up == 1)
    await asyncio.wait([task])


async def test_expired_deadline_cancels_the_poll(server: Server, channel: grpc.aio.Channel) -> None:
    """A poll that matching did not answer in time ends with its client's deadline."""
    call = channel.unary_unary(f"{_SERVICE}PollWorkflowTaskQueue")(poll_request(), timeout=2.2)
    found = await refused(call)
    assert found.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await _until(lambda: server.world.matching.given_up == 1)


async def test_keepalive_pings_do_not_end_a_long_poll(server: Server) -> None:
    """Pings far more often than gRPC's default tolerance bring no GOAWAY."""
    options = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with server.channel(options=options) as channel:
        call = channel.unary_unary(f"{_SERVICE}PollWorkflowTaskQueue")(poll_request(), timeout=3)
        found = await refused(call)
    assert found.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_unserved_rpc_names_itself(channel: grpc.aio.Channel) -> None:
    """An RPC that is not there yet says which, and why."""
    found = await refused(channel.unary_unary(f"{_OPERATOR}ListNexusEndpoints")(b""))
    assert found.code() == grpc.StatusCode.UNIMPLEMENTED
    assert found.details() == (
        "ListNexusEndpoints is not served by this version of Millrace: Nexus is not built yet"
    )


async def test_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    """A service that is not ours is answered plainly."""
    path = "/temporal.server.api.adminservice.v1.AdminService/DescribeCluster"
    found = await refused(channel.unary_unary(path)(b""))
    assert found.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_calls_before_open_are_refused(transport: str) -> None:
    """A frontend that listens but is not ready says so."""
    server = Server(World(), transport=transport)
    await server.frontend.start()
    async with server.channel() as channel:
        found = await refused(channel.unary_unary(f"{_SERVICE}GetSystemInfo")(b""))
    assert found.code() == grpc.StatusCode.UNAVAILABLE
    assert found.details() == "Frontend is not healthy yet"
    await server.stop()


async def test_taken_port_is_one_clear_sentence(server: Server) -> None:
    """A second server on the same port does not share it."""
    port = int(server.frontend.address.rpartition(":")[2])
    second = server.transport({}, host="127.0.0.1", port=port, settings=server.settings)
    with pytest.raises(AddressUnusable, match=f"127.0.0.1:{port}, found: Address already in use"):
        await second.start()


async def test_port_of_another_program_is_one_clear_sentence(server: Server) -> None:
    """Nor does it matter who has it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        second = server.transport({}, host="127.0.0.1", port=port, settings=server.settings)
        with pytest.raises(AddressUnusable, match="Address already in use"):
            await second.start()


async def _health(channel: grpc.aio.Channel, name: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
    answer = await channel.unary_unary("/grpc.health.v1.Health/Check")(request)
    return health_pb2.HealthCheckResponse.FromString(answer).status


async def test_health_is_known_by_service_name(channel: grpc.aio.Channel) -> None:
    """The names that clients check are SERVING; others are NOT_FOUND."""
    serving = health_pb2.HealthCheckResponse.SERVING
    for name in ("", "temporal.api.workflowservice.v1.WorkflowService"):
        assert await _health(channel, name) == serving
    request = health_pb2.HealthCheckRequest(service="x").SerializeToString()
    found = await refused(channel.unary_unary("/grpc.health.v1.Health/Check")(request))
    assert found.code() == grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_and_describes(channel: grpc.aio.Channel) -> None:
    """Tools find services, and the files of a symbol with all they import."""
    path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    call = channel.stream_stream(path)()
    symbol = "temporal.api.workflowservice.v1.WorkflowService"
    asks = [{"list_services": ""}, {"file_containing_symbol": symbol}, {"file_by_filename": "x"}]
    answers = []
    for ask in asks:
        await call.write(reflection_pb2.ServerReflectionRequest(**ask).SerializeToString())
        answers.append(reflection_pb2.ServerReflectionResponse.FromString(await call.read()))
    await call.done_writing()
    names = [each.name for each in answers[0].list_services_response.service]
    assert symbol in names
    assert len(answers[1].file_descriptor_response.file_descriptor_proto) > 10
    assert answers[2].error_response.error_code == 5


async def test_c7_stop_answers_polls_empty_and_ends_what_is_inside(transport: str) -> None:
    """A planned stop: health says so, polls end empty, a command that runs is answered."""
    server = Server(World(), transport=transport)
    await server.start()
    server.world.gateway.blocked = asyncio.Event()
    server.world.gateway.answer = always(b"done")
    async with server.channel() as channel:
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        first = health_pb2.HealthCheckResponse.FromString(await watch.read())
        poll = channel.unary_unary(f"{_SERVICE}PollWorkflowTaskQueue")(poll_request(), timeout=60)
        start = channel.unary_unary(f"{_SERVICE}StartWorkflowExecution")(start_request())
        await asyncio.wait_for(server.world.matching.polled.wait(), 10)
        await _until(lambda: bool(server.world.gateway.asked))
        stopping = asyncio.ensure_future(server.stop())
        second = health_pb2.HealthCheckResponse.FromString(await watch.read())
        assert await poll == b""
        server.world.gateway.blocked.set()
        assert await start == b"done"
        await stopping
    assert first.status == health_pb2.HealthCheckResponse.SERVING
    assert second.status == health_pb2.HealthCheckResponse.NOT_SERVING


class Listening:
    """A transport without a wire: it keeps the table."""

    address = "here:1"

    def __init__(self, table: Table) -> None:
        self.table = table

    async def start(self) -> None:
        """Listen."""

    async def stop(self, *, grace_s: float) -> None:
        """Listen no more."""


async def test_c7_what_comes_before_its_client_knows_of_the_stop_is_served() -> None:
    """No call fails for having been on its way."""
    made: list[Listening] = []
    world = World()

    def listening(table: Table) -> Transport:
        made.append(Listening(table))
        return made[0]

    frontend = Frontend(world.services(), listening, Metrics())
    await frontend.start()
    frontend.open()
    frontend.begin_stop()
    for method, request, is_empty in (
        ("GetSystemInfo", b"", False),
        ("PollWorkflowTaskQueue", poll_request(), True),
    ):
        served = made[0].table[f"{_SERVICE}{method}"]
        assert isinstance(served, Unary)
        assert (await served.handler(StubCall(request)) == b"") is is_empty
    await frontend.finish()


async def _until(is_so: object, timeout_s: float = 10) -> None:
    assert callable(is_so)
    async with asyncio.timeout(timeout_s):
        while not is_so():  # noqa: ASYNC110  there is no event to wait for
            await asyncio.sleep(0)


@pytest.mark.parametrize("size_bytes", [3, 1_000_000])
async def test_what_is_told_goes_along_with_the_answer(transport: str, size_bytes: int) -> None:
    """As trailing metadata, also behind an answer that does not fit at once."""

    async def handler(call: Call) -> bytes:
        call.tell("millrace-position", "3:17")
        return b"x" * size_bytes

    listening = TRANSPORTS[transport](
        {"/S/M": Unary(handler)}, host="127.0.0.1", port=0, settings=FrontendSettings()
    )
    await listening.start()
    async with grpc.aio.insecure_channel(listening.address) as channel:
        call = channel.unary_unary("/S/M")(b"", timeout=10)
        assert len(await call) == size_bytes
        assert ("millrace-position", "3:17") in tuple(await call.trailing_metadata())
    await listening.stop(grace_s=0)
