"""Lists agree with Describe, for every run: the agent killed, indexes built anew under load."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from schemas.temporal import common, enums, service, workflow
from streams.frontend import searching
from tests.end_to_end.workers import fresh
from tests.support.elastic_real import real_elasticsearch, why_absent
from tests.support.millrace_server import PROJECT, MillraceServer

STORES = ["sqlite", pytest.param("elasticsearch", marks=pytest.mark.real)]
SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
NEWEST = (("millrace-position", "newest"),)
ATTRIBUTE = ("--search-attribute", "Purchase=Keyword")
RUNS = 2_000
AT_ONCE = 8
CLOSED_TIMEOUT_S = 240
UPSERT = enums.CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
COMPLETE = enums.CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION


@pytest.fixture(params=STORES)
def options(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """Yield the options of a server with this store."""
    if request.param == "sqlite":
        yield ATTRIBUTE
        return
    if reason := why_absent():
        pytest.skip(reason)
    with real_elasticsearch() as url:
        chosen = ("--set", "search.store=elasticsearch", "--set", f"search.elastic.urls={url}")
        yield (*ATTRIBUTE, *chosen, "--set", f"search.elastic.index={fresh('agrees')}")


class Caller:
    """Calls a server that may be killed and started again: what is not answered is asked again."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address)

    async def ask(self, name: str, request: Any, *, metadata: Any = ()) -> Any:
        """Call an RPC, until there is an answer; None: it is over, the task timed out."""
        response = getattr(service, f"{name}Response")
        call = self.channel.unary_unary(SERVICE + name, response_deserializer=response.FromString)
        packed = request.SerializeToString()
        while True:
            try:
                return await call(packed, metadata=metadata, timeout=20, wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                    raise
            await asyncio.sleep(0.05)

    async def begin_rebuild(self) -> str:
        """Have the server begin to build its index anew; return where it is."""
        call = self.channel.unary_unary(searching.SERVICE + searching.REBUILD)
        phase: str = msgspec.json.decode(await call(b""))["phase"]
        return phase

    async def close(self) -> None:
        """Close the connection."""
        await self.channel.close()


@contextlib.asynccontextmanager
async def calling(server: MillraceServer) -> AsyncIterator[Caller]:
    """Yield a caller of a server."""
    caller = Caller(server.address)
    yield caller
    await caller.close()


async def start(caller: Caller, workflow_id: str, queue: str) -> None:
    """Start a workflow whose tasks are soon tried again."""
    request = service.StartWorkflowExecutionRequest(
        namespace="default", workflow_id=workflow_id, request_id=workflow_id
    )
    request.workflow_type.name = "Flow"
    request.task_queue.name = queue
    request.workflow_task_timeout.seconds = 2
    await caller.ask("StartWorkflowExecution", request)


async def work(caller: Caller, queue: str) -> None:
    """Complete runs with their first task: upsert twice, close."""
    poll = service.PollWorkflowTaskQueueRequest(namespace="default")
    poll.task_queue.name = queue
    while True:
        task = await caller.ask("PollWorkflowTaskQueue", poll)
        if task is None or not task.task_token:
            continue
        answer = service.RespondWorkflowTaskCompletedRequest(
            namespace="default", task_token=task.task_token
        )
        for value in ("first", task.workflow_execution.workflow_id):
            command = answer.commands.add(command_type=UPSERT)
            given = command.upsert_workflow_search_attributes_command_attributes
            payload = common.Payload(data=f'"{value}"'.encode())
            payload.metadata["encoding"] = b"json/plain"
            given.search_attributes.indexed_fields["Purchase"].CopyFrom(payload)
        done = answer.commands.add(command_type=COMPLETE)
        done.complete_workflow_execution_command_attributes.SetInParent()
        await caller.ask("RespondWorkflowTaskCompleted", answer)


async def listed(caller: Caller) -> dict[str, workflow.WorkflowExecutionInfo]:
    """Return all runs that a list shows, by run id; none may be shown twice."""
    found: dict[str, workflow.WorkflowExecutionInfo] = {}
    request = service.ListWorkflowExecutionsRequest(namespace="default", page_size=500)
    while True:
        page = await caller.ask("ListWorkflowExecutions", request, metadata=NEWEST)
        for each in page.executions:
            assert each.execution.run_id not in found
            found[each.execution.run_id] = each
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            return found


async def described(
    caller: Caller, shown: workflow.WorkflowExecutionInfo
) -> workflow.WorkflowExecutionInfo:
    """Return a run as Describe shows it, as far as lists show it too."""
    request = service.DescribeWorkflowExecutionRequest(namespace="default")
    request.execution.CopyFrom(shown.execution)
    answer = await caller.ask("DescribeWorkflowExecution", request)
    found: workflow.WorkflowExecutionInfo = answer.workflow_execution_info
    found.first_run_id = ""
    found.memo.SetInParent()
    found.search_attributes.SetInParent()
    if not found.HasField("close_time"):
        found.history_length = found.history_size_bytes = found.state_transition_count = 0
    return found


async def assert_lists_agree(caller: Caller, count: int) -> None:
    """Compare each run that is listed with what Describe says of it."""
    found = list((await listed(caller)).values())
    assert len(found) == count
    for at in range(0, count, 50):
        some = found[at : at + 50]
        expected = await asyncio.gather(*(described(caller, each) for each in some))
        assert expected == some


async def counted(caller: Caller, query: str = "") -> int:
    """Count runs, all that was accepted included."""
    request = service.CountWorkflowExecutionsRequest(namespace="default", query=query)
    return int((await caller.ask("CountWorkflowExecutions", request, metadata=NEWEST)).count)


async def restart(server: MillraceServer) -> None:
    """Kill the server, with its agent, and start it again."""
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_short_runs_by_the_thousand_with_the_agent_killed(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """They start, upsert twice and close at once; the list agrees with Describe for every one."""
    queue = fresh("queue")
    with MillraceServer(tmp_path, folder=tmp_path / "data", options=options) as server:
        async with calling(server) as caller:
            workers = [asyncio.create_task(work(caller, queue)) for _ in range(AT_ONCE)]
            for at in range(0, RUNS, RUNS // 4):
                ids = [f"short-{number}" for number in range(at, at + RUNS // 4)]
                for first in range(0, len(ids), AT_ONCE):
                    some = ids[first : first + AT_ONCE]
                    await asyncio.gather(*(start(caller, each, queue) for each in some))
                await restart(server)
            async with asyncio.timeout(CLOSED_TIMEOUT_S):
                while await counted(caller, "ExecutionStatus = 'Completed'") < RUNS:  # noqa: ASYNC110  # elsewhere
                    await asyncio.sleep(0.5)
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            await assert_lists_agree(caller, RUNS)
            assert await counted(caller, "Purchase = 'first'") == 0
            assert await counted(caller, "Purchase = 'short-7'") == 1


async def _search(server: MillraceServer, command: str) -> tuple[int, str]:
    pipe = asyncio.subprocess.PIPE
    line = [sys.executable, "-m", "infra.cli", "search", command, "--address", server.address]
    running = await asyncio.create_subprocess_exec(*line, cwd=PROJECT, stdout=pipe, stderr=pipe)
    said, complained = await running.communicate()
    return running.returncode or 0, (said + complained).decode()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_index_is_built_anew_under_load(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Equal results before and after; killed in the middle, the live index is as it was."""
    queue = fresh("queue")
    with MillraceServer(tmp_path, folder=tmp_path / "data", options=options) as server:
        async with calling(server) as caller:
            for first in range(0, 400, AT_ONCE):
                ids = [f"load-{number}" for number in range(first, first + AT_ONCE)]
                await asyncio.gather(*(start(caller, each, queue) for each in ids))
            before = await listed(caller)
            assert await caller.begin_rebuild() == "begins"
            await restart(server)
            assert before == await listed(caller)
            loads = [asyncio.create_task(_load(caller, queue, number)) for number in range(3)]
            code, said = await _search(server, "rebuild")
            assert code == 0, said
            assert "rebuilt" in said
            started = sum(await asyncio.gather(*loads))
            after = await listed(caller)
            assert before == {run_id: after[run_id] for run_id in before}
            await assert_lists_agree(caller, 400 + started)


async def _load(caller: Caller, queue: str, number: int) -> int:
    """Start runs and terminate every second one; how many."""
    for at in range(60):
        workflow_id = f"during-{number}-{at}"
        await start(caller, workflow_id, queue)
        if at % 2:
            end = service.TerminateWorkflowExecutionRequest(namespace="default")
            end.workflow_execution.workflow_id = workflow_id
            await caller.ask("TerminateWorkflowExecution", end)
    return 60
