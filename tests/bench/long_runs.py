"""Long histories, many signals, many children, measured: `python -m tests.bench.long_runs`.

All server processes share one core, this program has the other. It prints lines for RESULTS.md.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import CommandType
from temporalio.api.taskqueue.v1 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryReverseRequest,
    PollWorkflowTaskQueueRequest,
    RespondWorkflowTaskCompletedRequest,
)
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.bench.long_workflows import Child, Parent, Timers
from tests.bench.measure import LOAD_CORE, SERVER_CORE, family
from tests.support.millrace_server import MillraceServer

TICKS = os.sysconf("SC_CLK_TCK")
WINDOW = 100
"""So many workflow tasks are timed at each length."""


class Bench:
    """A server, a client of it, and the CPU time its processes have used."""

    def __init__(self, server: MillraceServer, client: Client) -> None:
        self.server = server
        self.client = client

    def cpu_s(self) -> float:
        """Return the CPU seconds of all server processes so far."""
        ticks = 0
        for process_id in family(self.server.pid):
            stat = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
            ticks += int(stat[11]) + int(stat[12])
        return ticks / TICKS


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def history_length(bench: Bench) -> None:
    """One workflow task with a sticky worker at 100, 1,000 and 10,000 events."""
    queue, workflow_id = f"long-{uuid.uuid4()}", f"long-{uuid.uuid4()}"
    await bench.client.start_workflow("long", id=workflow_id, task_queue=queue)
    poll = PollWorkflowTaskQueueRequest(namespace="default", task_queue=TaskQueue(name=queue))
    task = await bench.client.workflow_service.poll_workflow_task_queue(poll)
    for length in (100, 1_000, 10_000):
        while task.started_event_id < length:
            task = await _step(bench.client, task, queue)
        cpu, began_at = bench.cpu_s(), time.perf_counter()
        for _ in range(WINDOW):
            task = await _step(bench.client, task, queue)
        took_s = time.perf_counter() - began_at
        cpu_ms = (bench.cpu_s() - cpu) * 1000 / WINDOW
        say(
            f"history of {length:,} events: {took_s * 1000 / WINDOW:.1f} ms and "
            f"{cpu_ms:.1f} CPU-ms a workflow task"
        )


async def _step(client: Client, task: object, queue: str) -> object:
    """Complete a task with a marker; the next one comes with the answer."""
    command = Command(command_type=CommandType.COMMAND_TYPE_RECORD_MARKER)
    command.record_marker_command_attributes.marker_name = "step"
    answer = await client.workflow_service.respond_workflow_task_completed(
        RespondWorkflowTaskCompletedRequest(
            namespace="default",
            task_token=task.task_token,  # type: ignore[attr-defined]  # a poll's answer
            commands=[command],
            force_create_new_workflow_task=True,
            return_new_workflow_task=True,
            sticky_attributes=StickyExecutionAttributes(
                worker_task_queue=TaskQueue(name=f"{queue}-sticky")
            ),
        )
    )
    return answer.workflow_task


async def many_signals(bench: Bench, *, count: int = 10_000, in_flight: int = 64) -> None:
    """Signals to one workflow, none lost."""
    workflow_id = f"signalled-{uuid.uuid4()}"
    handle = await bench.client.start_workflow("silent", id=workflow_id, task_queue="nobody")
    left = iter(range(count))

    async def sender() -> None:
        for number in left:
            await handle.signal("s", number)

    cpu, began_at = bench.cpu_s(), time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(in_flight)))
    took_s = time.perf_counter() - began_at
    cpu_ms = (bench.cpu_s() - cpu) * 1000 / count
    found = (await handle.describe()).history_length - 2
    say(
        f"{count:,} signals to one workflow: {count / took_s:.0f}/s, {cpu_ms:.2f} CPU-ms each, "
        f"{found:,} in its history"
    )


async def long_replay(bench: Bench, *, events: int = 50_000) -> None:
    """A run of many events, replayed by an SDK that lost its cache; pages of its history."""
    queue, workflow_id = f"timers-{uuid.uuid4()}", f"timers-{uuid.uuid4()}"
    began_at = time.perf_counter()
    async with _worker(bench.client, queue):
        handle = await bench.client.start_workflow(
            Timers.run, events // 2_000, id=workflow_id, task_queue=queue
        )
        while await handle.query(Timers.rounds) < events // 2_000:  # noqa: ASYNC110  # it is remote
            await asyncio.sleep(0.5)
    length = (await handle.describe()).history_length
    say(f"{length:,} events made in {time.perf_counter() - began_at:.1f} s")
    cpu, began_at = bench.cpu_s(), time.perf_counter()
    async with _worker(bench.client, queue):
        rounds = await handle.query(Timers.rounds)
        say(
            f"replayed by a fresh worker in {time.perf_counter() - began_at:.1f} s, "
            f"{bench.cpu_s() - cpu:.1f} s of server CPU; a query then says {rounds}"
        )
        await handle.signal(Timers.end)
        say(f"and it ended with {await handle.result()}")
    await _pages(bench, workflow_id)


async def _pages(bench: Bench, workflow_id: str) -> None:
    execution = WorkflowExecution(workflow_id=workflow_id)
    service = bench.client.workflow_service
    forward = GetWorkflowExecutionHistoryRequest(
        namespace="default", execution=execution, maximum_page_size=2
    )
    reverse = GetWorkflowExecutionHistoryReverseRequest(
        namespace="default", execution=execution, maximum_page_size=2
    )
    for name, request, call in (
        ("first", forward, service.get_workflow_execution_history),
        ("last", reverse, service.get_workflow_execution_history_reverse),
    ):
        cpu, began_at = bench.cpu_s(), time.perf_counter()
        for _ in range(20):
            await call(request)  # type: ignore[operator]  # one of two calls
        took_s = time.perf_counter() - began_at
        cpu_ms = (bench.cpu_s() - cpu) * 1000 / 20
        say(f"the {name} page of 2 batches: {took_s * 50:.1f} ms, {cpu_ms:.1f} CPU-ms")


async def many_children(bench: Bench, *, count: int = 1_000) -> None:
    """Children of one parent, all started, run and ended."""
    queue = f"children-{uuid.uuid4()}"
    async with _worker(bench.client, queue):
        cpu, began_at = bench.cpu_s(), time.perf_counter()
        ended = await bench.client.execute_workflow(Parent.run, count, id=queue, task_queue=queue)
        took_s = time.perf_counter() - began_at
        cpu_ms = (bench.cpu_s() - cpu) * 1000 / count
        say(f"{ended:,} children of one parent: {took_s:.1f} s, {cpu_ms:.1f} CPU-ms each")


def _worker(client: Client, queue: str) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        workflows=[Child, Parent, Timers],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


MEASURES: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "history": history_length,
    "signals": many_signals,
    "replay": long_replay,
    "children": many_children,
}


async def _measure(names: list[str], server: MillraceServer) -> None:
    bench = Bench(server, await Client.connect(server.address))
    for name in names:
        await MEASURES[name](bench)


def main() -> int:
    """Start a server, pin both sides, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MEASURES, []], help="which; all if none")
    names = parser.parse_args().names or list(MEASURES)
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as scratch:
        folder = Path(scratch)
        with MillraceServer(folder, folder=folder / "data") as server:
            for process_id in family(server.pid):
                for thread in Path(f"/proc/{process_id}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), {SERVER_CORE})
            os.sched_setaffinity(0, {LOAD_CORE})
            asyncio.run(_measure(names, server))
    return 0


if __name__ == "__main__":
    sys.exit(main())
