"""What heartbeats cost: many activities that each heartbeat every few seconds. `--help` says more.

One node on the embedded broker; the figure is the CPU of the node alone, as a share of one core.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from tests.support.millrace_server import MillraceServer

QUEUE = "beats"
A_WORKFLOW = 10
AT_ONCE = 64
TIMEOUT_S = 60
_SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
_RESPONSES = {
    "StartWorkflowExecution": StartWorkflowExecutionResponse,
    "PollWorkflowTaskQueue": PollWorkflowTaskQueueResponse,
    "RespondWorkflowTaskCompleted": RespondWorkflowTaskCompletedResponse,
    "PollActivityTaskQueue": PollActivityTaskQueueResponse,
    "RecordActivityTaskHeartbeat": RecordActivityTaskHeartbeatResponse,
}


class Worker:
    """Starts the activities, and heartbeats for them."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._methods = {
            name: channel.unary_unary(
                _SERVICE + name,
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=response.FromString,
            )
            for name, response in _RESPONSES.items()
        }
        self.tokens: list[bytes] = []
        self.beats = 0
        self.waits_s: list[float] = []

    async def call(self, name: str, request: Any) -> Any:
        """Call a method."""
        return await self._methods[name](request, timeout=TIMEOUT_S)

    async def prepare(self, count: int) -> None:
        """Have so many activities started."""
        workflows = max(1, count // A_WORKFLOW)
        for first in range(0, workflows, AT_ONCE):
            some = range(first, min(first + AT_ONCE, workflows))
            await asyncio.gather(*(self._schedule(n, count // workflows) for n in some))
        left = asyncio.Semaphore(AT_ONCE)

        async def start() -> None:
            async with left:
                request = PollActivityTaskQueueRequest(namespace="default")
                request.task_queue.name = QUEUE
                task = await self.call("PollActivityTaskQueue", request)
                self.tokens.append(task.task_token)

        await asyncio.gather(*(start() for _ in range(count)))
        assert all(self.tokens), "expected every poll to find a task"

    async def _schedule(self, number: int, count: int) -> None:
        start = StartWorkflowExecutionRequest(
            namespace="default", workflow_id=f"beats-{number}", request_id=f"beats-{number}"
        )
        start.workflow_type.name = "beats"
        start.task_queue.name = QUEUE
        await self.call("StartWorkflowExecution", start)
        poll = PollWorkflowTaskQueueRequest(namespace="default")
        poll.task_queue.name = QUEUE
        task = await self.call("PollWorkflowTaskQueue", poll)
        answer = RespondWorkflowTaskCompletedRequest(
            namespace="default", task_token=task.task_token
        )
        answer.commands.extend(_activity(each) for each in range(count))
        await self.call("RespondWorkflowTaskCompleted", answer)

    async def beat(self, token: bytes, *, every_s: float, share: float) -> None:
        """Heartbeat for ever; `share` of the interval passes first."""
        request = RecordActivityTaskHeartbeatRequest(namespace="default", task_token=token)
        loop = asyncio.get_running_loop()
        due_at = loop.time() + every_s * share
        while True:
            await asyncio.sleep(max(0.0, due_at - loop.time()))
            due_at += every_s
            began_at = loop.time()
            await self.call("RecordActivityTaskHeartbeat", request)
            self.beats += 1
            self.waits_s.append(loop.time() - began_at)


def _activity(number: int) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK)
    wanted = command.schedule_activity_task_command_attributes
    wanted.activity_id = str(number)
    wanted.activity_type.name = "beats"
    wanted.task_queue.name = QUEUE
    wanted.start_to_close_timeout.seconds = 3600
    wanted.heartbeat_timeout.seconds = 30
    return command


def cpu_s(process_id: int) -> float:
    """Return the CPU time of a process so far."""
    stat = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


async def measured(server: MillraceServer, *, count: int, every_s: float, window_s: float) -> str:
    """Return the figures of one run."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        worker = Worker(channel)
        await worker.prepare(count)
        beating = [
            asyncio.create_task(worker.beat(token, every_s=every_s, share=at / count))
            for at, token in enumerate(worker.tokens)
        ]
        await asyncio.sleep(every_s)
        worker.beats, worker.waits_s = 0, []
        began_at, began_cpu_s = time.monotonic(), cpu_s(server.pid)
        await asyncio.sleep(window_s)
        passed_s, spent_s = time.monotonic() - began_at, cpu_s(server.pid) - began_cpu_s
        beats, waits_s = worker.beats, sorted(worker.waits_s)
        for task in beating:
            task.cancel()
        await asyncio.gather(*beating, return_exceptions=True)
    p50, p99 = (1e3 * waits_s[int(len(waits_s) * share)] for share in (0.5, 0.99))
    return (
        f"{count} activities, {beats / passed_s:.0f} heartbeats/s: "
        f"{100 * spent_s / passed_s:.1f} % of a core, {1e6 * spent_s / beats:.0f} us each; "
        f"answered p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    )


def main() -> None:
    """Measure, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--activities", type=int, default=10_000)
    parser.add_argument("--every", type=float, default=8.0, help="seconds")
    parser.add_argument("--window", type=float, default=24.0, help="seconds that are measured")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="millrace-beats-") as scratch,
        MillraceServer(Path(scratch), folder=Path(scratch, "data")) as server,
    ):
        said = asyncio.run(
            measured(
                server,
                count=options.activities,
                every_s=options.every,
                window_s=options.window,
            )
        )
    sys.stdout.write(f"{said}\n")


if __name__ == "__main__":
    main()
