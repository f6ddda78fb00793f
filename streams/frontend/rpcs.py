"""Every RPC that is served, and its one function. What is not here stands in `unsupported.py`."""

from collections.abc import Awaitable, Callable
from typing import Final

from streams.frontend import (
    archived,
    history,
    namespace_changes,
    namespaces,
    queries,
    system,
    task_queues,
    tasks,
    visibility,
    workflow,
)
from streams.frontend.services import Services
from streams.frontend.transport import Call

Function = Callable[[Services, Call], Awaitable[bytes]]

WORKFLOW_SERVICE: Final[dict[str, Function]] = {
    "GetSystemInfo": system.system_info,
    "GetClusterInfo": system.cluster_info,
    "RegisterNamespace": namespaces.register,
    "UpdateNamespace": namespace_changes.update,
    "DeprecateNamespace": namespace_changes.deprecate,
    "DeleteNamespace": namespace_changes.delete,
    "DescribeNamespace": namespaces.describe,
    "ListNamespaces": namespaces.list_all,
    "ListWorkflowExecutions": visibility.list_workflows,
    "ScanWorkflowExecutions": visibility.scan,
    "ListOpenWorkflowExecutions": visibility.list_open,
    "ListClosedWorkflowExecutions": visibility.list_closed,
    "CountWorkflowExecutions": visibility.count,
    "ListArchivedWorkflowExecutions": archived.list_archived,
    "GetSearchAttributes": visibility.get_search_attributes,
    "ListSearchAttributes": visibility.list_search_attributes,
    "AddSearchAttributes": visibility.add_search_attributes,
    "RemoveSearchAttributes": visibility.remove_search_attributes,
    "StartWorkflowExecution": workflow.start,
    "SignalWorkflowExecution": workflow.signal,
    "SignalWithStartWorkflowExecution": workflow.signal_with_start,
    "RequestCancelWorkflowExecution": workflow.request_cancel,
    "TerminateWorkflowExecution": workflow.terminate,
    "DeleteWorkflowExecution": workflow.delete,
    "DescribeWorkflowExecution": workflow.describe,
    "GetWorkflowExecutionHistory": history.page,
    "GetWorkflowExecutionHistoryReverse": history.page_reverse,
    "PollWorkflowTaskQueue": tasks.poll_workflow_task,
    "RespondWorkflowTaskCompleted": queries.complete_workflow_task,
    "RespondWorkflowTaskFailed": tasks.fail_workflow_task,
    "ResetStickyTaskQueue": workflow.reset_sticky,
    "QueryWorkflow": queries.query,
    "RespondQueryTaskCompleted": queries.answer,
    "DescribeTaskQueue": task_queues.describe,
    "ShutdownWorker": task_queues.shut_down_worker,
    "PollActivityTaskQueue": tasks.poll_activity_task,
    "RespondActivityTaskCompleted": tasks.complete_activity_task,
    "RespondActivityTaskFailed": tasks.fail_activity_task,
    "RespondActivityTaskCanceled": tasks.cancel_activity_task,
    "RecordActivityTaskHeartbeat": tasks.heartbeat,
    "RespondActivityTaskCompletedById": tasks.complete_activity_by_id,
    "RespondActivityTaskFailedById": tasks.fail_activity_by_id,
    "RespondActivityTaskCanceledById": tasks.cancel_activity_by_id,
    "RecordActivityTaskHeartbeatById": tasks.heartbeat_by_id,
}
