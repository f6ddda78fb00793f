"""The texts of refused requests, as recorded from Temporal's server."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.errors import Code, ServiceError
from schemas.temporal import service
from streams.frontend import history, namespaces, queries, system, tasks, workflow
from streams.frontend.rpcs import Function
from tests.streams.frontend.stubs import DEFAULT, StubCall, World
from topology.decision import Namespace
from topology.tokens import Token, pack

_LONG = "x" * 1001
_BLOB = {"payloads": [{"data": b"x" * (2 * 1024 * 1024 + 1)}]}
_NEGATIVE = timedelta(seconds=-1)
_RESERVED = {"name": "/_sys/x/1"}
_RUNNING = "WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING"
_OTHER_TOKEN = Token(
    namespace_id="other",
    workflow_id="w",
    run_id="r",
    kind="workflow",
    scheduled_event_id=2,
    attempt=1,
    started_event_id=3,
    stamp=0,
)


def start(**more: Any) -> bytes:
    """Return a Start request that is fine but for what is given."""
    fields = {
        "namespace": "default",
        "workflow_id": "w",
        "workflow_type": {"name": "Flow"},
        "task_queue": {"name": "tq"},
        "request_id": "r",
    }
    return service.StartWorkflowExecutionRequest(**(fields | more)).SerializeToString()


def both(**more: Any) -> bytes:
    """Return a SignalWithStart request that is fine but for what is given."""
    fields = {
        "namespace": "default",
        "workflow_id": "w",
        "workflow_type": {"name": "Flow"},
        "task_queue": {"name": "tq"},
        "signal_name": "go",
    }
    return service.SignalWithStartWorkflowExecutionRequest(**(fields | more)).SerializeToString()


def signal(**more: Any) -> bytes:
    """Return a signal that is fine but for what is given."""
    fields = {
        "namespace": "default",
        "workflow_execution": {"workflow_id": "w"},
        "signal_name": "go",
    }
    return service.SignalWorkflowExecutionRequest(**(fields | more)).SerializeToString()


def poll(**more: Any) -> bytes:
    """Return a poll that is fine but for what is given."""
    fields = {"namespace": "default", "task_queue": {"name": "tq"}}
    return service.PollWorkflowTaskQueueRequest(**(fields | more)).SerializeToString()


def answer(**more: Any) -> bytes:
    """Return a task answer that is fine but for what is given."""
    fields = {"namespace": "default", "task_token": pack(_OTHER_TOKEN)}
    return service.RespondWorkflowTaskCompletedRequest(**(fields | more)).SerializeToString()


def by_id(**more: Any) -> bytes:
    """Return an activity's end by ids that is fine but for what is given."""
    fields = {"namespace": "default", "workflow_id": "w", "activity_id": "a"}
    return service.RespondActivityTaskCompletedByIdRequest(**(fields | more)).SerializeToString()


def register(**more: Any) -> bytes:
    """Return a registration that is fine but for what is given."""
    fields = {"namespace": "n", "workflow_execution_retention_period": timedelta(days=1)}
    return service.RegisterNamespaceRequest(**(fields | more)).SerializeToString()


def page(**more: Any) -> bytes:
    """Return a request for a history page."""
    fields = {"namespace": "default"}
    return service.GetWorkflowExecutionHistoryRequest(**(fields | more)).SerializeToString()


def named(name: str = "", id: str = "") -> bytes:  # noqa: A002  Temporal's word
    """Return a DescribeNamespace request."""
    return service.DescribeNamespaceRequest(namespace=name, id=id).SerializeToString()


REFUSALS: list[tuple[Function, bytes, str]] = [
    (workflow.start, start(namespace=""), "Namespace is empty."),
    (workflow.start, start(workflow_id=""), "WorkflowId is not set on request."),
    (workflow.start, start(workflow_id=_LONG), "WorkflowId length exceeds limit."),
    (workflow.start, start(workflow_id="ä" * 501), "WorkflowId length exceeds limit."),
    (workflow.start, start(workflow_type={}), "WorkflowType is not set on request."),
    (workflow.start, start(workflow_type={"name": _LONG}), "WorkflowType length exceeds limit."),
    (workflow.start, start(task_queue={}), "missing task queue name"),
    (workflow.start, start(task_queue={"name": _LONG}), "taskQueue length exceeds limit"),
    (
        workflow.start,
        start(task_queue=_RESERVED),
        "task queue name cannot start with reserved prefix /_sys/",
    ),
    (workflow.start, start(request_id=_LONG), "RequestId length exceeds limit."),
    (
        workflow.start,
        start(workflow_execution_timeout=_NEGATIVE),
        "An invalid WorkflowExecutionTimeoutSeconds is set on request. cause: negative duration",
    ),
    (
        workflow.start,
        start(workflow_run_timeout=_NEGATIVE),
        "An invalid WorkflowRunTimeoutSeconds is set on request. cause: negative duration",
    ),
    (
        workflow.start,
        start(workflow_task_timeout=_NEGATIVE),
        "An invalid WorkflowTaskTimeoutSeconds is set on request. cause: negative duration",
    ),
    (
        workflow.start,
        start(workflow_start_delay=_NEGATIVE),
        "An invalid WorkflowStartDelaySeconds is set on request. cause: negative duration",
    ),
    (
        workflow.start,
        start(workflow_start_delay={"seconds": 1, "nanos": -1}),
        (
            "An invalid WorkflowStartDelaySeconds is set on request. "
            "cause: duration has seconds and nanos with different signs"
        ),
    ),
    (
        workflow.start,
        start(retry_policy={"backoff_coefficient": 0.5}),
        "BackoffCoefficient cannot be less than 1 on retry policy.",
    ),
    (
        workflow.start,
        start(retry_policy={"maximum_attempts": -1}),
        "MaximumAttempts cannot be negative on retry policy.",
    ),
    (
        workflow.start,
        start(
            retry_policy={
                "initial_interval": timedelta(seconds=9),
                "maximum_interval": timedelta(seconds=1),
            }
        ),
        "MaximumInterval cannot be less than InitialInterval on retry policy.",
    ),
    (
        workflow.start,
        start(retry_policy={"initial_interval": _NEGATIVE}),
        "invalid InitialInterval set on retry policy: negative duration",
    ),
    (
        workflow.start,
        start(retry_policy={"maximum_interval": _NEGATIVE}),
        "invalid MaximumInterval set on retry policy: negative duration",
    ),
    (
        workflow.start,
        start(retry_policy={"non_retryable_error_types": ["TemporalTimeout:Never"]}),
        "Invalid timeout type value: Never.",
    ),
    (
        workflow.start,
        start(cron_schedule="@every 5s", workflow_start_delay=timedelta(seconds=5)),
        "CronSchedule and WorkflowStartDelay may not be used together.",
    ),
    (workflow.start, start(input=_BLOB), "Blob data size exceeds limit."),
    (
        workflow.start,
        start(memo={"fields": {"m": _BLOB["payloads"][0]}}),
        "Memo size exceeds limit.",
    ),
    (
        workflow.start,
        start(
            workflow_id_reuse_policy=_RUNNING,
            workflow_id_conflict_policy="WORKFLOW_ID_CONFLICT_POLICY_FAIL",
        ),
        (
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot "
            "be used together with a WorkflowIDConflictPolicy"
        ),
    ),
    (
        workflow.start,
        start(
            workflow_id_reuse_policy="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE",
            workflow_id_conflict_policy="WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING",
        ),
        (
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be "
            "used together with WorkflowIdConflictPolicy "
            "WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"
        ),
    ),
    (
        workflow.start,
        start(on_conflict_options={"attach_completion_callbacks": True}),
        "attaching request ID is required for attaching completion callbacks",
    ),
    (workflow.start, start(priority={"priority_key": -1}), "priority key can't be negative"),
    (
        workflow.start,
        start(priority={"fairness_key": "x" * 65}),
        "fairness key length exceeds limit",
    ),
    (
        workflow.start,
        start(links=[{"batch_job": {"job_id": "j"}}] * 11),
        "cannot attach more than 10 links per request, got 11",
    ),
    (workflow.signal_with_start, both(signal_name=""), "SignalName is not set on request."),
    (workflow.signal_with_start, both(signal_input=_BLOB), "Blob data size exceeds limit."),
    (
        workflow.signal_with_start,
        both(workflow_id_conflict_policy="WORKFLOW_ID_CONFLICT_POLICY_FAIL"),
        (
            "Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported "
            "for this operation."
        ),
    ),
    (workflow.signal, signal(signal_name=""), "SignalName is not set on request."),
    (workflow.signal, signal(signal_name=_LONG), "SignalName length exceeds limit."),
    (workflow.signal, signal(workflow_execution={}), "WorkflowId is not set on request."),
    (
        workflow.signal,
        signal(workflow_execution={"workflow_id": "w", "run_id": "x"}),
        "Invalid RunId.",
    ),
    (workflow.signal, signal(input=_BLOB), "Blob data size exceeds limit."),
    (history.page, page(), "WorkflowId is not set on request."),
    (history.page, page(execution={"workflow_id": "w", "run_id": "x"}), "Invalid RunId."),
    (tasks.poll_workflow_task, poll(task_queue={}), "missing task queue name"),
    (tasks.poll_workflow_task, poll(namespace=""), "Namespace is empty."),
    (
        tasks.poll_workflow_task,
        poll(task_queue={"name": _LONG}),
        "taskQueue length exceeds limit",
    ),
    (
        tasks.poll_workflow_task,
        poll(task_queue=_RESERVED),
        "task queue name cannot start with reserved prefix /_sys/",
    ),
    (tasks.poll_activity_task, poll(identity=_LONG), "Identity length exceeds limit."),
    (
        queries.complete_workflow_task,
        answer(task_token=b""),
        "Task token not set on request.",
    ),
    (
        queries.complete_workflow_task,
        answer(task_token=b"nonsense"),
        "Error deserializing task token.",
    ),
    (
        queries.complete_workflow_task,
        answer(),
        "Operation requested with a token from a different namespace.",
    ),
    (tasks.complete_activity_task, b"", "Task token not set on request."),
    (queries.answer, b"", "Task token not set on request."),
    (tasks.complete_activity_by_id, by_id(activity_id=""), "ActivityId is not set on request."),
    (namespaces.describe, named(), "Namespace not set on request."),
    (
        namespaces.describe,
        named("n", "i"),
        "GetNamespace operation failed. Both ID and Name specified in request.",
    ),
    (namespaces.register, register(namespace=""), "Namespace not set on request."),
]


@pytest.mark.parametrize(("function", "request_bytes", "message"), REFUSALS)
async def test_refused_with_temporals_text(
    function: Function, request_bytes: bytes, message: str
) -> None:
    """An invalid request is INVALID_ARGUMENT with the exact text, and nothing is asked."""
    world = World()
    with pytest.raises(ServiceError) as caught:
        await function(world.services(), StubCall(request_bytes))
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)
    assert caught.value.detail is None
    assert (world.gateway.asked, world.matching.polls) == ([], [])


async def _refusal(world: World, function: Function, call: StubCall) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await function(world.services(), call)
    return caught.value


async def test_unknown_namespace_is_refused_after_reading_to_the_end() -> None:
    """N1: not found is said only once the topic is read to its end."""
    world = World()
    found = await _refusal(world, workflow.start, StubCall(start(namespace="nowhere")))
    assert (found.code, found.message) == (Code.NOT_FOUND, "Namespace nowhere is not found.")
    assert type(found.detail).__name__ == "NamespaceNotFoundFailure"
    assert world.namespaces.reads == 1


async def test_namespace_that_was_just_registered_is_found() -> None:
    """N1: reading to the end finds what another node has registered."""
    world = World()
    world.namespaces.unread["new"] = Namespace(id="n", name="new", state=1, retention=1)
    await workflow.start(world.services(), StubCall(start(namespace="new")))
    assert world.gateway.asked[0][:3] == ("new", "w", "StartWorkflowExecution")


async def test_deprecated_namespace_starts_nothing_but_is_signalled() -> None:
    """A deprecated namespace lets what runs go on."""
    world = World()
    world.namespaces.seen["old"] = Namespace(id="o", name="old", state=2, retention=1)
    found = await _refusal(world, workflow.start, StubCall(start(namespace="old")))
    assert (found.code, found.message) == (
        Code.FAILED_PRECONDITION,
        "Namespace has invalid state: Deprecated. Must be Registered.",
    )
    await workflow.signal(world.services(), StubCall(signal(namespace="old")))
    assert world.gateway.asked[0][2] == "SignalWorkflowExecution"


async def test_deleted_namespace_takes_no_calls() -> None:
    """A deleted namespace refuses everything."""
    world = World()
    world.namespaces.seen["gone"] = Namespace(id="g", name="gone", state=3, retention=1)
    found = await _refusal(world, workflow.signal, StubCall(signal(namespace="gone")))
    assert found.message == (
        "Namespace has invalid state: Deleted. Must be Registered or Deprecated."
    )


@pytest.mark.parametrize(
    "more",
    [{"completion_callbacks": [{}]}, {"time_skipping_config": {}}],
)
async def test_what_would_silently_not_happen_is_unimplemented(more: dict[str, Any]) -> None:
    """Options that are not built are refused, not dropped."""
    found = await _refusal(World(), workflow.start, StubCall(start(**more)))
    assert found.code == Code.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("time_left_s", "code", "message"),
    [
        (None, Code.INVALID_ARGUMENT, "Context timeout is not set."),
        (1.9, Code.FAILED_PRECONDITION, "Context timeout is too short."),
    ],
)
async def test_poll_needs_time_to_wait(time_left_s: float | None, code: Code, message: str) -> None:
    """A poll without a deadline, or with a short one, is refused."""
    world = World()
    services = world.services()
    deadline = None if time_left_s is None else services.clock.monotonic() + time_left_s
    found = await _refusal(world, tasks.poll_workflow_task, StubCall(poll(), deadline))
    assert (found.code, found.message) == (code, message)


@pytest.mark.parametrize(
    "run_id", ["", DEFAULT.id, DEFAULT.id.upper(), f"{{{DEFAULT.id}}}", DEFAULT.id.replace("-", "")]
)
async def test_run_ids_in_every_form_of_a_uuid_are_taken(run_id: str) -> None:
    """What Go's parser takes is taken."""
    world = World()
    request = signal(workflow_execution={"workflow_id": "w", "run_id": run_id})
    await workflow.signal(world.services(), StubCall(request))
    assert len(world.gateway.asked) == 1


async def test_retry_policy_of_one_attempt_is_not_looked_at() -> None:
    """One attempt means no retries, whatever else is set."""
    world = World()
    policy = {"maximum_attempts": 1, "backoff_coefficient": 0.1}
    await workflow.start(world.services(), StubCall(start(retry_policy=policy)))
    assert len(world.gateway.asked) == 1


async def test_broken_bytes_are_an_error_of_the_transport() -> None:
    """What is no message is answered as Go does."""
    found = await _refusal(World(), system.system_info, StubCall(b"\xff\xff"))
    assert found.code == Code.INTERNAL
    assert found.message.startswith("grpc: error unmarshalling request: ")
