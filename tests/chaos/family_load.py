"""Clients that start families, chains, retried and cron workflows; workers with a script."""

import asyncio
from typing import Any

import grpc
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from tests.chaos.family_script import LINKS, QUEUE, TASK_TIMEOUT_S, TYPES, commands
from tests.chaos.load import POLL_TIMEOUT_S, REPEAT_S, Load

SETTLE_TIMEOUT_S = 120.0
_RUNNING = 1


class FamilyLoad(Load):
    """The gRPC clients of one server; `workflows.open_ids` are those that may still run."""

    async def settle(self) -> None:
        """Start no more; wait until every workflow has ended."""
        self._is_settling.set()
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while self.workflows.open_ids:
                await self._look()
                await asyncio.sleep(REPEAT_S)

    async def _look(self) -> None:
        """Note which workflows have ended."""
        for workflow_id in list(self.workflows.open_ids):
            request = DescribeWorkflowExecutionRequest(namespace="default")
            request.execution.workflow_id = workflow_id
            described = await self._ask(
                "DescribeWorkflowExecution", request, DescribeWorkflowExecutionResponse
            )
            shown = described.workflow_execution_info
            if shown.status != _RUNNING:
                self.workflows.open_ids.pop(workflow_id, None)
                self.workflows.ended[workflow_id] = shown.execution.run_id

    async def _start_one(self) -> None:
        """Start one of each type in turn."""
        if self.workflows.is_full():
            await self._forget_ended()
            await asyncio.sleep(REPEAT_S)
            return
        token = self._token("start")
        kind = TYPES[self._count % len(TYPES)]
        workflow_id = f"{self._prefix}-{kind}-{self._count}"
        request = StartWorkflowExecutionRequest(
            namespace="default", workflow_id=workflow_id, request_id=token, identity=token
        )
        request.workflow_type.name = kind
        request.task_queue.name = QUEUE
        request.workflow_task_timeout.seconds = TASK_TIMEOUT_S
        if kind == "cron":
            request.cron_schedule = "@every 1s"
        if kind == "retrying":
            request.retry_policy.initial_interval.nanos = 50_000_000
            request.retry_policy.maximum_attempts = LINKS
        answer = await self._told(
            "start", "StartWorkflowExecution", request, StartWorkflowExecutionResponse, workflow_id
        )
        if answer is not None:
            self.workflows.open_ids[workflow_id] = answer.run_id

    async def _forget_ended(self) -> None:
        try:
            await self._look()
        except grpc.aio.AioRpcError:
            return  # it is down

    async def _work_once(self) -> None:
        """Poll, and answer by the script."""
        request = PollWorkflowTaskQueueRequest(namespace="default", identity="worker")
        request.task_queue.name = QUEUE
        poll = self._method("PollWorkflowTaskQueue", request, PollWorkflowTaskQueueResponse)
        try:
            task = await poll(request, timeout=POLL_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(REPEAT_S)
            return
        if task.task_token:
            await self._answer_by_script(task)

    async def _answer_by_script(self, task: Any) -> None:
        request = RespondWorkflowTaskCompletedRequest(
            namespace="default", task_token=task.task_token, identity=self._token("complete")
        )
        request.commands.extend(commands(task.workflow_type.name, list(task.history.events)))
        await self._told(
            "complete",
            "RespondWorkflowTaskCompleted",
            request,
            RespondWorkflowTaskCompletedResponse,
            task.workflow_execution.workflow_id,
        )
