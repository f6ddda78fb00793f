"""Every RPC of WorkflowService and OperatorService that is not served, with its reason.

A test walks the descriptors: each RPC stands here or in `rpcs.py`, never in both. A call of one
of these answers UNIMPLEMENTED and names itself.
"""

from typing import Final

_REASONS: Final[dict[str, tuple[str, ...]]] = {
    "updates are not built yet": (
        "ExecuteMultiOperation",
        "UpdateWorkflowExecution",
        "PollWorkflowExecutionUpdate",
    ),
    "reset and pause of workflows are not built yet": (
        "ResetWorkflowExecution",
        "UpdateWorkflowExecutionOptions",
        "PauseWorkflowExecution",
        "UnpauseWorkflowExecution",
    ),
    "task queues have no partitions to list and no settings yet": (
        "ListTaskQueuePartitions",
        "UpdateTaskQueueConfig",
    ),
    "schedules are not built yet": (
        "CreateSchedule",
        "DescribeSchedule",
        "UpdateSchedule",
        "PatchSchedule",
        "ListScheduleMatchingTimes",
        "DeleteSchedule",
        "ListSchedules",
        "CountSchedules",
    ),
    "worker versioning and deployments are not built yet": (
        "UpdateWorkerBuildIdCompatibility",
        "GetWorkerBuildIdCompatibility",
        "UpdateWorkerVersioningRules",
        "GetWorkerVersioningRules",
        "GetWorkerTaskReachability",
        "DescribeDeployment",
        "DescribeWorkerDeploymentVersion",
        "ListDeployments",
        "GetDeploymentReachability",
        "GetCurrentDeployment",
        "SetCurrentDeployment",
        "SetWorkerDeploymentCurrentVersion",
        "DescribeWorkerDeployment",
        "DeleteWorkerDeployment",
        "DeleteWorkerDeploymentVersion",
        "SetWorkerDeploymentRampingVersion",
        "ListWorkerDeployments",
        "CreateWorkerDeployment",
        "CreateWorkerDeploymentVersion",
        "UpdateWorkerDeploymentVersionComputeConfig",
        "ValidateWorkerDeploymentVersionComputeConfig",
        "UpdateWorkerDeploymentVersionMetadata",
        "SetWorkerDeploymentManager",
    ),
    "batch operations are not built yet": (
        "StartBatchOperation",
        "StopBatchOperation",
        "DescribeBatchOperation",
        "ListBatchOperations",
    ),
    "Nexus is not built yet": (
        "PollNexusTaskQueue",
        "RespondNexusTaskCompleted",
        "RespondNexusTaskFailed",
        "StartNexusOperationExecution",
        "DescribeNexusOperationExecution",
        "PollNexusOperationExecution",
        "ListNexusOperationExecutions",
        "CountNexusOperationExecutions",
        "RequestCancelNexusOperationExecution",
        "TerminateNexusOperationExecution",
        "DeleteNexusOperationExecution",
        "GetNexusEndpoint",
        "CreateNexusEndpoint",
        "UpdateNexusEndpoint",
        "DeleteNexusEndpoint",
        "ListNexusEndpoints",
    ),
    "operations on running activities are not built yet": (
        "UpdateActivityOptions",
        "PauseActivity",
        "UnpauseActivity",
        "ResetActivity",
    ),
    "standalone activities are not built yet": (
        "StartActivityExecution",
        "DescribeActivityExecution",
        "PollActivityExecution",
        "ListActivityExecutions",
        "CountActivityExecutions",
        "RequestCancelActivityExecution",
        "TerminateActivityExecution",
        "DeleteActivityExecution",
        "PauseActivityExecution",
        "ResetActivityExecution",
        "UnpauseActivityExecution",
        "UpdateActivityExecutionOptions",
    ),
    "workflow rules are not built yet": (
        "CreateWorkflowRule",
        "DescribeWorkflowRule",
        "DeleteWorkflowRule",
        "ListWorkflowRules",
        "TriggerWorkflowRule",
    ),
    "the registry of workers is not built yet": (
        "RecordWorkerHeartbeat",
        "ListWorkers",
        "CountWorkers",
        "DescribeWorker",
        "FetchWorkerConfig",
        "UpdateWorkerConfig",
    ),
    "there is one cluster": (
        "AddOrUpdateRemoteCluster",
        "RemoveRemoteCluster",
        "ListClusters",
    ),
    "time does not skip on this server": ("PollWorkflowExecutionTimeSkipping",),
}

UNSUPPORTED: Final[dict[str, str]] = {
    name: reason for reason, names in _REASONS.items() for name in names
}


def refusal_of(name: str) -> str:
    """Return the message of a call to an RPC that is not served."""
    return f"{name} is not served by this version of Millrace: {UNSUPPORTED[name]}"
