"""Raw gRPC clients under whom the server is killed: starters, signallers and workers.

Every call has an identity of its own, which lands in the event it causes, and is repeated under the
same request id until it is answered. What it was told goes to the journal before anything else.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType, EventType, WorkflowIdReusePolicy
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from tests.chaos.journal import Journal, Kind, Told

SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
QUEUE = "chaos"
SIGNALS_TO_END = 3
CALL_TIMEOUT_S = 10.0
POLL_TIMEOUT_S = 15.0
REPEAT_S = 0.05
SETTLE_TIMEOUT_S = 60.0
OPEN_COUNT = 40
_UNHEARD = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
}
_RECONNECT = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.use_local_subchannel_pool", 1),
]


class Workflows:
    """The workflows of all clients of a test, by what they were told."""

    def __init__(self, *, open_count: int = OPEN_COUNT) -> None:
        """So many run at once, about."""
        self._open_count = open_count
        self.open_ids: dict[str, str] = {}
        """Those that run."""
        self.ended: dict[str, str] = {}
        self.longest_wait_s = 0.0
        """How long a client waited for an answer at most, repeats included."""

    def is_full(self) -> bool:
        """Whether enough workflows run."""
        return len(self.open_ids) >= self._open_count

    def waited(self, since: float) -> None:
        """Take note of an answer to what was asked at a monotonic instant."""
        self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - since)


class Load:
    """The gRPC clients of one server."""

    def __init__(
        self, address: str, journal: Journal, *, seed: int, workflows: Workflows | None = None
    ) -> None:
        """Loads of several servers share their `workflows`, and have seeds of their own."""
        self._channel = grpc.aio.insecure_channel(address, options=_RECONNECT)
        self._journal = journal
        self._random = random.Random(seed)
        self._prefix = f"chaos-{seed}"
        self._count = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = asyncio.Event()
        self._is_settling = asyncio.Event()
        self._tasks_out = 0
        self.workflows = Workflows() if workflows is None else workflows

    def run(self, *, starters: int = 4, signallers: int = 4, workers: int = 4) -> None:
        """Start the clients."""
        for once, count, end in (
            (self._start_one, starters, self._is_settling),
            (self._signal_one, signallers, self._is_settling),
            (self._work_once, workers, self._is_over),
        ):
            self._tasks += [asyncio.create_task(_repeated(once, end)) for _ in range(count)]

    async def settle(self) -> None:
        """Start and signal no more; wait until the workers have answered every task.

        Until then a signal may be buffered behind a task: a private fact, in no history yet.
        """
        self._is_settling.set()
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while self._tasks_out or await self._pending():  # noqa: ASYNC110  # it is in the server
                await asyncio.sleep(REPEAT_S)

    async def stop(self) -> None:
        """Let every call come to its end, then stop; what never ended is noted as unknown."""
        self._is_over.set()
        self._is_settling.set()
        _, late = await asyncio.wait(self._tasks, timeout=60)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def close(self) -> None:
        """Cut off what still asks, and close the connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    async def history(self, workflow_id: str, run_id: str) -> list[Any]:
        """Return the history of a run, as the server answers it."""
        request = GetWorkflowExecutionHistoryRequest(namespace="default")
        request.execution.workflow_id = workflow_id
        request.execution.run_id = run_id
        events: list[Any] = []
        while True:
            page = await self._ask(
                "GetWorkflowExecutionHistory", request, GetWorkflowExecutionHistoryResponse
            )
            events += page.history.events
            if not page.next_page_token:
                return events
            request.next_page_token = page.next_page_token

    async def _pending(self) -> bool:
        """Whether some open workflow has a workflow task."""
        for workflow_id in list(self.workflows.open_ids):
            request = DescribeWorkflowExecutionRequest(namespace="default")
            request.execution.workflow_id = workflow_id
            described = await self._ask(
                "DescribeWorkflowExecution", request, DescribeWorkflowExecutionResponse
            )
            if described.HasField("pending_workflow_task"):
                return True
        return False

    async def _start_one(self) -> None:
        """Start a workflow; now and then one whose id is taken."""
        if self.workflows.is_full():
            await asyncio.sleep(REPEAT_S)
            return
        token = self._token("start")
        workflow_id = f"{self._prefix}-{self._count}"
        if self.workflows.open_ids and self._random.random() < 0.15:
            workflow_id = self._random.choice(list(self.workflows.open_ids))
        request = StartWorkflowExecutionRequest(
            namespace="default", workflow_id=workflow_id, request_id=token, identity=token
        )
        request.workflow_type.name = "chaos"
        request.task_queue.name = QUEUE
        request.workflow_id_reuse_policy = (
            WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
        )
        answer = await self._told(
            "start", "StartWorkflowExecution", request, StartWorkflowExecutionResponse, workflow_id
        )
        if answer is not None:
            self.workflows.open_ids[workflow_id] = answer.run_id

    async def _signal_one(self) -> None:
        """Signal an open workflow; it may have ended unheard."""
        if not self.workflows.open_ids:
            await asyncio.sleep(REPEAT_S)
            return
        token = self._token("signal")
        workflow_id = self._random.choice(list(self.workflows.open_ids))
        request = SignalWorkflowExecutionRequest(
            namespace="default", signal_name="s", request_id=token, identity=token
        )
        request.workflow_execution.workflow_id = workflow_id
        await self._told(
            "signal",
            "SignalWorkflowExecution",
            request,
            SignalWorkflowExecutionResponse,
            workflow_id,
        )

    async def _work_once(self) -> None:
        """Poll, and answer: a workflow with enough signals ends."""
        request = PollWorkflowTaskQueueRequest(namespace="default", identity="worker")
        request.task_queue.name = QUEUE
        poll = self._method("PollWorkflowTaskQueue", request, PollWorkflowTaskQueueResponse)
        try:
            task = await poll(request, timeout=POLL_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(REPEAT_S)
            return
        if task.task_token:
            self._tasks_out += 1
            await self._answer(task)
            self._tasks_out -= 1

    async def _answer(self, task: PollWorkflowTaskQueueResponse) -> None:
        token = self._token("complete")
        workflow_id = task.workflow_execution.workflow_id
        signals = sum(
            event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
            for event in task.history.events
        )
        request = RespondWorkflowTaskCompletedRequest(
            namespace="default", task_token=task.task_token, identity=token
        )
        is_end = signals >= SIGNALS_TO_END
        if is_end:
            end = Command(command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION)
            end.complete_workflow_execution_command_attributes.SetInParent()
            request.commands.append(end)
        answer = await self._told(
            "complete",
            "RespondWorkflowTaskCompleted",
            request,
            RespondWorkflowTaskCompletedResponse,
            workflow_id,
        )
        if is_end and answer is not None:
            self.workflows.open_ids.pop(workflow_id, None)
            self.workflows.ended[workflow_id] = task.workflow_execution.run_id

    async def _told(
        self, kind: Kind, method: str, request: Any, response: Any, workflow_id: str
    ) -> Any:
        """Repeat a call until it is answered; note the answer; return it unless it is a refusal."""
        call = self._method(method, request, response)
        repeats, began_at = 0, time.monotonic()
        while True:
            try:
                answer = await call(request, timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _UNHEARD:
                    told = Told(
                        kind,
                        request.identity,
                        workflow_id,
                        "",
                        "refused",
                        repeats,
                        error.code().name,
                    )
                    self.workflows.waited(began_at)
                    self._refused(told)
                    return None
            except asyncio.CancelledError:
                self._journal.note(
                    Told(kind, request.identity, workflow_id, "", "unknown", repeats)
                )
                raise
            else:
                self.workflows.waited(began_at)
                run_id = getattr(answer, "run_id", "")
                self._journal.note(
                    Told(kind, request.identity, workflow_id, run_id, "done", repeats)
                )
                return answer
            repeats += 1
            await asyncio.sleep(REPEAT_S)

    def _refused(self, told: Told) -> None:
        self._journal.note(told)
        if told.kind == "signal":  # it ended unheard
            self.workflows.open_ids.pop(told.workflow_id, None)

    async def _ask(self, method: str, request: Any, response: Any) -> Any:
        return await self._method(method, request, response)(request, timeout=CALL_TIMEOUT_S)

    def _method(self, name: str, request: Any, response: Any) -> Any:
        return self._channel.unary_unary(
            SERVICE + name,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )

    def _token(self, kind: str) -> str:
        self._count += 1
        return f"{self._prefix}/{kind}/{self._count}"


async def _repeated(once: Callable[[], Awaitable[None]], end: asyncio.Event) -> None:
    while not end.is_set():
        await once()
