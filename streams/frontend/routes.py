"""Who must serve a request: for each RPC, which names in it say that.

The one table of routing keys: workflow id, task token, task queue, namespace name. What is not
here may be served by any node. A request that names nobody is served where it came in, which is to
say, refused there in the right words.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from google.protobuf.message import DecodeError, Message

from schemas.ids import queue_partition, workflow_partition
from schemas.temporal import operator, service
from streams.calls.forward import Place
from streams.frontend.history import ended_page
from streams.frontend.tasks import EMPTY
from topology.decision import Namespace
from topology.tokens import unpack, unpack_query
from topology.topics import PartitionCounts

HISTORY: Final = "history"
MATCHING: Final = "matching"


class Namespaces(Protocol):
    """What routing asks of the namespaces."""

    def by_name(self, name: str) -> Namespace | None:
        """Return a namespace by its name."""
        ...

    def by_id(self, namespace_id: str) -> Namespace | None:
        """Return a namespace by its id."""
        ...


class Route(NamedTuple):
    """The routing of one RPC."""

    request: type[Message]
    place: Callable[["Routes", Any], Place | None]
    ended: Callable[[Any], bytes | None] = lambda _: None
    """What a planned stop answers to a wait (C7)."""
    is_wait: Callable[[Any], bool] = lambda _: False
    is_poll: bool = False
    """Whether its answer is a task, which goes back when nobody is there to take it (M2)."""


class Routes:
    """Finds the place of a request."""

    def __init__(self, namespaces: Namespaces, counts: PartitionCounts) -> None:
        self._namespaces = namespaces
        self._counts = counts

    def read(self, route: Route, packed: bytes) -> Message | None:
        """Parse a request; None: its handler will say what is wrong with it."""
        try:
            return route.request.FromString(packed)
        except DecodeError:
            return None

    def of_workflow(self, namespace: str, workflow_id: str) -> Place | None:
        """Return the place of a workflow id."""
        if not workflow_id:
            return None
        return Place(HISTORY, workflow_partition(namespace, workflow_id, self._counts.history))

    def name_of(self, namespace_id: str) -> str:
        """Return the name of a namespace, or nothing where it is not known."""
        found = self._namespaces.by_id(namespace_id)
        return found.name if found else ""

    def of_token(self, namespace: str, packed: bytes) -> Place | None:
        """Return the place of a task token; a request may leave its namespace out."""
        try:
            token = unpack(packed)
        except ValueError:
            return None
        if not namespace:
            found = self._namespaces.by_id(token.namespace_id)
            if found is None:
                return None
            namespace = found.name
        return self.of_workflow(namespace, token.workflow_id)

    def of_queue(self, namespace: str, queue: str) -> Place | None:
        """Return the place of a task queue."""
        found = self._namespaces.by_name(namespace)
        if found is None or not queue:
            return None
        return Place(MATCHING, queue_partition(found.id, queue, self._counts.matching))


def _by_id(routes: Routes, request: Any) -> Place | None:
    return routes.of_workflow(request.namespace, request.workflow_id)


def _by_execution(routes: Routes, request: Any) -> Place | None:
    return routes.of_workflow(request.namespace, request.execution.workflow_id)


def _by_workflow_execution(routes: Routes, request: Any) -> Place | None:
    return routes.of_workflow(request.namespace, request.workflow_execution.workflow_id)


def _by_token(routes: Routes, request: Any) -> Place | None:
    return routes.of_token(request.namespace, request.task_token)


def _by_query_token(_: Routes, request: Any) -> Place | None:
    try:
        return Place(HISTORY, unpack_query(request.task_token).partition)
    except ValueError:
        return None


def _by_queue(routes: Routes, request: Any) -> Place | None:
    return routes.of_queue(request.namespace, request.task_queue.name)


def _by_namespace(routes: Routes, request: Any) -> Place | None:
    return routes.of_workflow(request.namespace, request.namespace)


def _by_namespace_or_id(routes: Routes, request: Any) -> Place | None:
    name = request.namespace or routes.name_of(request.namespace_id)
    return routes.of_workflow(name, name)


def _poll(request: type[Message]) -> Route:
    return Route(request, _by_queue, lambda _: EMPTY, lambda _: True, is_poll=True)


ROUTES: Final[dict[str, Route]] = {
    "RegisterNamespace": Route(service.RegisterNamespaceRequest, _by_namespace),
    "UpdateNamespace": Route(service.UpdateNamespaceRequest, _by_namespace),
    "DeprecateNamespace": Route(service.DeprecateNamespaceRequest, _by_namespace),
    "DeleteNamespace": Route(operator.DeleteNamespaceRequest, _by_namespace_or_id),
    "AddSearchAttributes": Route(operator.AddSearchAttributesRequest, _by_namespace),
    "RemoveSearchAttributes": Route(operator.RemoveSearchAttributesRequest, _by_namespace),
    "StartWorkflowExecution": Route(service.StartWorkflowExecutionRequest, _by_id),
    "SignalWithStartWorkflowExecution": Route(
        service.SignalWithStartWorkflowExecutionRequest, _by_id
    ),
    "SignalWorkflowExecution": Route(
        service.SignalWorkflowExecutionRequest, _by_workflow_execution
    ),
    "RequestCancelWorkflowExecution": Route(
        service.RequestCancelWorkflowExecutionRequest, _by_workflow_execution
    ),
    "TerminateWorkflowExecution": Route(
        service.TerminateWorkflowExecutionRequest, _by_workflow_execution
    ),
    "DeleteWorkflowExecution": Route(
        service.DeleteWorkflowExecutionRequest, _by_workflow_execution
    ),
    "DescribeWorkflowExecution": Route(service.DescribeWorkflowExecutionRequest, _by_execution),
    "GetWorkflowExecutionHistory": Route(
        service.GetWorkflowExecutionHistoryRequest,
        _by_execution,
        ended_page,
        lambda request: bool(request.wait_new_event),
    ),
    "GetWorkflowExecutionHistoryReverse": Route(
        service.GetWorkflowExecutionHistoryReverseRequest, _by_execution
    ),
    "QueryWorkflow": Route(service.QueryWorkflowRequest, _by_execution),
    "RespondQueryTaskCompleted": Route(service.RespondQueryTaskCompletedRequest, _by_query_token),
    "ResetStickyTaskQueue": Route(service.ResetStickyTaskQueueRequest, _by_execution),
    "DescribeTaskQueue": Route(service.DescribeTaskQueueRequest, _by_queue),
    "ShutdownWorker": Route(service.ShutdownWorkerRequest, lambda _routes, _request: None),
    "PollWorkflowTaskQueue": _poll(service.PollWorkflowTaskQueueRequest),
    "PollActivityTaskQueue": _poll(service.PollActivityTaskQueueRequest),
    "RespondWorkflowTaskCompleted": Route(service.RespondWorkflowTaskCompletedRequest, _by_token),
    "RespondWorkflowTaskFailed": Route(service.RespondWorkflowTaskFailedRequest, _by_token),
    "RespondActivityTaskCompleted": Route(service.RespondActivityTaskCompletedRequest, _by_token),
    "RespondActivityTaskFailed": Route(service.RespondActivityTaskFailedRequest, _by_token),
    "RespondActivityTaskCanceled": Route(service.RespondActivityTaskCanceledRequest, _by_token),
    "RecordActivityTaskHeartbeat": Route(service.RecordActivityTaskHeartbeatRequest, _by_token),
    "RespondActivityTaskCompletedById": Route(
        service.RespondActivityTaskCompletedByIdRequest, _by_id
    ),
    "RespondActivityTaskFailedById": Route(service.RespondActivityTaskFailedByIdRequest, _by_id),
    "RespondActivityTaskCanceledById": Route(
        service.RespondActivityTaskCanceledByIdRequest, _by_id
    ),
    "RecordActivityTaskHeartbeatById": Route(
        service.RecordActivityTaskHeartbeatByIdRequest, _by_id
    ),
}
"""Every RPC that has an owner."""

ANYWHERE: Final = frozenset(
    {
        "GetSystemInfo",
        "GetClusterInfo",
        "DescribeNamespace",
        "ListNamespaces",
        "ListWorkflowExecutions",
        "ScanWorkflowExecutions",
        "ListOpenWorkflowExecutions",
        "ListClosedWorkflowExecutions",
        "CountWorkflowExecutions",
        "ListArchivedWorkflowExecutions",
        "GetSearchAttributes",
        "ListSearchAttributes",
    }
)
"""RPCs that every node serves alike; a test sees that each served RPC is in one of both."""
