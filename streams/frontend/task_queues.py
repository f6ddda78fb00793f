"""DescribeTaskQueue and ShutdownWorker: what is known of a task queue, and workers that stop.

Counts and rates are approximate: they are of one moment, and of the node that owns the queue.
"""

from collections.abc import Mapping
from typing import Final

from schemas.instants import duration_of, timestamp_of
from schemas.temporal import enums, service, taskqueue
from streams.frontend.namespaces import namespace_of
from streams.frontend.services import Services
from streams.frontend.transport import Call
from topology.effects import TaskKind
from topology.matching.queue import Described, Poller, Stats
from topology.matching.tasks import WorkerEnd
from topology.validation import check_task_queue, parse

UNBOUND_RATE: Final = 100_000.0
"""What a poller is said to take where it named no bound, tasks a second."""
SYSTEM_RATE: Final = 4_000.0
"""The bound of a queue where no worker named one, tasks a second."""

_WORKFLOW: Final = int(enums.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)
_KINDS: Final[Mapping[int, TaskKind]] = {
    0: "workflow",
    _WORKFLOW: "workflow",
    int(enums.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY): "activity",
}
_ENHANCED: Final = enums.DescribeTaskQueueMode.DESCRIBE_TASK_QUEUE_MODE_ENHANCED
_OF_WORKER: Final = enums.RateLimitSource.RATE_LIMIT_SOURCE_WORKER
_OF_SYSTEM: Final = enums.RateLimitSource.RATE_LIMIT_SOURCE_SYSTEM
_EMPTY: Final = Described([], Stats(0, 0, 0.0, 0.0, None))


async def describe(services: Services, call: Call) -> bytes:
    """DescribeTaskQueue, in both of its modes."""
    request = parse(service.DescribeTaskQueueRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    check_task_queue(request.task_queue)
    if request.api_mode == _ENHANCED:
        return _by_version(services, namespace.id, request)
    described = _described(services, namespace.id, request, request.task_queue_type)
    response = service.DescribeTaskQueueResponse()
    response.pollers.extend(map(_poller, described.pollers))
    limit = described.stats.limit
    is_bound = limit is not None and limit < SYSTEM_RATE
    effective = response.effective_rate_limit
    effective.requests_per_second = limit if limit is not None and is_bound else SYSTEM_RATE
    effective.rate_limit_source = _OF_WORKER if is_bound else _OF_SYSTEM
    if request.report_stats:
        response.stats.CopyFrom(_stats(described.stats))
    if request.report_config:
        response.config.SetInParent()
    if request.include_task_queue_status:
        status = response.task_queue_status
        status.backlog_count_hint = described.stats.backlog_count
        status.rate_per_second = effective.requests_per_second
    return response.SerializeToString()


def _by_version(
    services: Services, namespace_id: str, request: service.DescribeTaskQueueRequest
) -> bytes:
    """Answer the older form that tells versions apart: all that is here is unversioned."""
    response = service.DescribeTaskQueueResponse()
    types = response.versions_info[""].types_info
    for each in request.task_queue_types or (_WORKFLOW,):
        described = _described(services, namespace_id, request, each)
        shown = types[int(each)]
        if request.report_pollers:
            shown.pollers.extend(map(_poller, described.pollers))
        if request.report_stats:
            shown.stats.CopyFrom(_stats(described.stats))
    return response.SerializeToString()


def _described(
    services: Services, namespace_id: str, request: service.DescribeTaskQueueRequest, kind: int
) -> Described:
    if kind not in _KINDS:  # Nexus: nobody polls
        return _EMPTY
    return services.matching.describe(namespace_id, request.task_queue.name, _KINDS[kind])


def _poller(poller: Poller) -> taskqueue.PollerInfo:
    limit = poller.tasks_per_second
    return taskqueue.PollerInfo(
        identity=poller.identity,
        last_access_time=timestamp_of(poller.polled_at),
        rate_per_second=UNBOUND_RATE if limit is None else limit,
    )


def _stats(stats: Stats) -> taskqueue.TaskQueueStats:
    return taskqueue.TaskQueueStats(
        approximate_backlog_count=stats.backlog_count,
        approximate_backlog_age=duration_of(stats.backlog_age),
        tasks_add_rate=stats.add_rate,
        tasks_dispatch_rate=stats.dispatch_rate,
    )


async def shut_down_worker(services: Services, call: Call) -> bytes:
    """ShutdownWorker: its own queue is given up, its polls are answered empty."""
    request = parse(service.ShutdownWorkerRequest, call.request)
    namespace = await namespace_of(services, request.namespace)
    ends = []
    if request.sticky_task_queue:
        ends.append(WorkerEnd(namespace.id, request.sticky_task_queue, "workflow", is_sticky=True))
    if request.worker_instance_key and request.task_queue:
        types = request.task_queue_types or _KINDS
        ends += [
            WorkerEnd(namespace.id, request.task_queue, kind, worker=request.worker_instance_key)
            for kind in sorted({_KINDS[each] for each in types if each in _KINDS})
        ]
    for end in ends:
        await services.workers.end_worker(end)
    return service.ShutdownWorkerResponse().SerializeToString()
