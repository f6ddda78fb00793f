"""The one import site of Temporal's generated protobufs (they come from the `temporalio` wheel).

Modules by the noun they describe: `service.StartWorkflowExecutionRequest`, `history.HistoryEvent`,
`enums.EventType.EVENT_TYPE_TIMER_FIRED`. Messages travel as themselves; no class of ours mirrors
one (architecture §4).
"""

from google.protobuf import any_pb2 as any_message
from google.rpc import status_pb2 as rpc_status
from temporalio.api.activity.v1 import message_pb2 as activity
from temporalio.api.command.v1 import message_pb2 as command
from temporalio.api.common.v1 import message_pb2 as common
from temporalio.api.enums import v1 as enums
from temporalio.api.errordetails.v1 import message_pb2 as errordetails
from temporalio.api.failure.v1 import message_pb2 as failure
from temporalio.api.filter.v1 import message_pb2 as filters
from temporalio.api.history.v1 import message_pb2 as history
from temporalio.api.namespace.v1 import message_pb2 as namespace
from temporalio.api.operatorservice.v1 import request_response_pb2 as operator
from temporalio.api.operatorservice.v1 import service_pb2 as operator_service
from temporalio.api.query.v1 import message_pb2 as query
from temporalio.api.replication.v1 import message_pb2 as replication
from temporalio.api.sdk.v1 import user_metadata_pb2 as user_metadata
from temporalio.api.taskqueue.v1 import message_pb2 as taskqueue
from temporalio.api.version.v1 import message_pb2 as version
from temporalio.api.workflow.v1 import message_pb2 as workflow
from temporalio.api.workflowservice.v1 import request_response_pb2 as service
from temporalio.api.workflowservice.v1 import service_pb2 as workflow_service

__all__ = [
    "activity",
    "any_message",
    "command",
    "common",
    "enums",
    "errordetails",
    "failure",
    "filters",
    "history",
    "namespace",
    "operator",
    "operator_service",
    "query",
    "replication",
    "rpc_status",
    "service",
    "taskqueue",
    "user_metadata",
    "version",
    "workflow",
    "workflow_service",
]
