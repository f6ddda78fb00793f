"""What a server's search does for its callers: when a start is visible, and how fast it is rebuilt.

A start counts as visible when a count that asks for it finds it; the time runs from the answer to
the start. Looks are made one after another, so a figure includes the time of a count.
"""

import asyncio
import time
import uuid
from pathlib import Path

import grpc
import msgspec

from schemas.temporal import service
from streams.frontend import searching
from tests.support.millrace_server import MillraceServer

SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
IDLE_STARTS = 100
IDLE_PAUSE_S = 0.05
LOAD_PER_S = 200
LOAD_S = 10
LOOK_EVERY = 20
REBUILT_RUNS = 20_000
AT_ONCE = 64
LOOK_S = 0.002


class Client:
    """Starts and counts workflows."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address)
        self._start = self.channel.unary_unary(f"{SERVICE}StartWorkflowExecution")
        self._count = self.channel.unary_unary(
            f"{SERVICE}CountWorkflowExecutions",
            response_deserializer=service.CountWorkflowExecutionsResponse.FromString,
        )

    async def start(self) -> str:
        """Start a workflow that nobody works on."""
        workflow_id = uuid.uuid4().hex
        request = service.StartWorkflowExecutionRequest(
            namespace="default", workflow_id=workflow_id, request_id=workflow_id
        )
        request.workflow_type.name = "Flow"
        request.task_queue.name = "nobody"
        await self._start(request.SerializeToString())
        return workflow_id

    async def visible_ms(self) -> float:
        """Start a workflow and look until it is found; return how long that took."""
        workflow_id = await self.start()
        begun = time.perf_counter()
        request = service.CountWorkflowExecutionsRequest(
            namespace="default", query=f"WorkflowId = '{workflow_id}'"
        )
        while not (await self._count(request.SerializeToString())).count:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        return (time.perf_counter() - begun) * 1_000


def p99(taken: list[float]) -> float:
    """Return the 99th percentile."""
    return sorted(taken)[int(len(taken) * 0.99)]


async def idle_ms(client: Client) -> float:
    """Return when a start is visible on a server with nothing else to do, p99."""
    taken = []
    for _ in range(IDLE_STARTS):
        taken.append(await client.visible_ms())
        await asyncio.sleep(IDLE_PAUSE_S)
    return p99(taken)


async def loaded_ms(client: Client) -> float:
    """Return when a start is visible under load, p99."""
    looks: list[asyncio.Task[float]] = []
    others: set[asyncio.Task[str]] = set()
    begun = time.perf_counter()
    for number in range(LOAD_PER_S * LOAD_S):
        await asyncio.sleep(max(0.0, begun + number / LOAD_PER_S - time.perf_counter()))
        if number % LOOK_EVERY:
            task = asyncio.create_task(client.start())
            others.add(task)
            task.add_done_callback(others.discard)
        else:
            looks.append(asyncio.create_task(client.visible_ms()))
    taken = await asyncio.gather(*looks)
    await asyncio.gather(*others)
    return p99(list(taken))


async def rebuilt_per_s(client: Client) -> float:
    """Return how many runs a second a rebuild copies."""
    for _ in range(0, REBUILT_RUNS, AT_ONCE):
        await asyncio.gather(*(client.start() for _ in range(AT_ONCE)))
    progress = client.channel.unary_unary(searching.SERVICE + searching.PROGRESS)
    await client.channel.unary_unary(searching.SERVICE + searching.REBUILD)(b"")
    begun = time.perf_counter()
    while True:
        found = msgspec.json.decode(await progress(b""))
        if found["phase"] in ("done", "failed"):
            assert found["phase"] == "done", found
            return float(found["runs_count"]) / (time.perf_counter() - begun)
        await asyncio.sleep(0.05)


def measured(scratch: Path, options: tuple[str, ...]) -> tuple[float, float, float]:
    """Return p99 idle and under load, ms, and runs a second of a rebuild."""

    async def measure(address: str) -> tuple[float, float, float]:
        client = Client(address)
        figures = await idle_ms(client), await loaded_ms(client), await rebuilt_per_s(client)
        await client.channel.close()
        return figures

    with MillraceServer(scratch, folder=scratch / "data", options=options) as server:
        return asyncio.run(measure(server.address))
