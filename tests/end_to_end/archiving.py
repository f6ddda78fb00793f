"""Namespaces that archive, for the tests: registered, and waited for."""

import subprocess
import sys

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import ArchivalState
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeNamespaceRequest,
    GetWorkflowExecutionHistoryRequest,
    ListArchivedWorkflowExecutionsRequest,
    RegisterNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from tests.end_to_end.workers import until
from tests.support.millrace_server import PROJECT

ENABLED = ArchivalState.ARCHIVAL_STATE_ENABLED


async def archiving_namespace(
    client: Client, name: str, uri: str = "", *, retention_s: int = 86_400
) -> str:
    """Register a namespace that archives both at a URI (none: the default); return its id."""
    request = RegisterNamespaceRequest(
        namespace=name,
        history_archival_state=ENABLED,
        history_archival_uri=uri,
        visibility_archival_state=ENABLED,
        visibility_archival_uri=uri,
    )
    request.workflow_execution_retention_period.seconds = retention_s
    await client.workflow_service.register_namespace(request)
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=name)
    )
    assert described.config.history_archival_state == ENABLED
    assert described.config.visibility_archival_state == ENABLED
    assert described.config.history_archival_uri == uri or not uri
    return described.namespace_info.id


async def archived(client: Client, namespace: str, query: str = "") -> list[WorkflowExecutionInfo]:
    """Return the archived runs that a query finds, in small pages."""
    request = ListArchivedWorkflowExecutionsRequest(namespace=namespace, page_size=50, query=query)
    found: list[WorkflowExecutionInfo] = []
    while True:
        page = await client.workflow_service.list_archived_workflow_executions(request)
        found += page.executions
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            return found


async def until_archived(client: Client, namespace: str, count: int) -> list[WorkflowExecutionInfo]:
    """Wait for so many archived runs and return them."""
    found: list[WorkflowExecutionInfo] = []

    async def is_there() -> bool:
        found[:] = await archived(client, namespace)
        return len(found) >= count

    await until(is_there, f"{count} archived runs in {namespace}")
    return found


async def is_gone(client: Client, namespace: str, execution: WorkflowExecution) -> bool:
    """Whether the owner does not know a run (any more)."""
    asked = GetWorkflowExecutionHistoryRequest(
        namespace=namespace, execution=execution, skip_archival=True
    )
    try:
        await client.workflow_service.get_workflow_execution_history(asked)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return True
        raise
    return False


async def delete(client: Client, namespace: str, execution: WorkflowExecution) -> None:
    """Delete a run, and wait until its owner does not know it any more."""
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(namespace=namespace, workflow_execution=execution)
    )
    await until(
        lambda: is_gone(client, namespace, execution),
        f"{execution.run_id} to be gone from its owner",
    )


def command(*arguments: str) -> str:
    """Run a command of `millrace archive`; return what it printed."""
    line = [sys.executable, "-m", "infra.cli", "archive", *arguments]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
