"""Queries that wait at the owner of their history partition: bounded memory, never written (M4).

asked --planned--> refused, or answered by its reject condition,
asked --planned--> rides on a workflow task --it ends--> answered, or planned again,
asked --planned--> handed over to matching --a poll takes it--> answered by the worker.

Whatever happens to the run while a query waits has it planned again, on accepted state that is as
new as the look (R1), so a query sees all that was accepted before it was asked (R2). What a plan is
lives in `topology/workflow/query.py`. Losing the partition loses the waiter only (C3): it raises
NotTheOwner, and the caller's frontend asks again.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

import structlog

from schemas.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    QueryFailed,
    ResourceExhausted,
    ServiceError,
)
from schemas.ids import workflow_partition
from schemas.instants import SECOND
from schemas.temporal import common, enums, failure, query, service
from streams.log.ports import Clock, Random
from streams.matching.queries import Handed
from topology.decision import Ask, Namespace
from topology.matching.tasks import QueryTask
from topology.own_work import PlanQuery, ReadQueryTask
from topology.tokens import QueryToken, pack
from topology.workflow.query import Direct, Plan, Rides, Turned, plan_of

_log = structlog.get_logger(__name__)

RIDING_LIMIT: Final = 1
"""So many queries may wait for a workflow task of one run."""
WAITING_LIMIT: Final = 1_000
"""So many queries may wait at a node (C3)."""
RESULT_BYTES: Final = 2 * 1024 * 1024
_TAIL_S: Final = 0.2  # our answer leaves this long before the caller gives up
_TIME_UP: Final = "query timed out before a worker could process it"
_NOT_POLLED: Final = "no poller seen for task queue recently, worker may be down"
_OVER: Final = "query task not found, or already expired"
_FULL: Final = (
    "consistent query buffer is full, this may be caused by too many queries "
    "and workflow not able to process query fast enough"
)
_BUSY: Final = enums.ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW
_CONCURRENT: Final = enums.ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT
_SYSTEM: Final = enums.ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_SYSTEM
_TOO_MANY: Final = f"expected fewer than {WAITING_LIMIT} queries to wait at a node, found more"
_NAMESPACE: Final = enums.ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE
_ANSWERED: Final = enums.QueryResultType.QUERY_RESULT_TYPE_ANSWERED

LeaveSticky = Callable[[str], Awaitable[object]]


class History(Protocol):
    """The history partitions of this node."""

    @property
    def partitions(self) -> int:
        """How many history partitions there are, on all nodes."""
        ...

    def origin(self, partition: int) -> tuple[int, bytes]:
        """Return (epoch, incarnation) of our accepted claim; raises NotTheOwner."""
        ...

    async def read(self, partition: int, method: str, request: object, namespace_id: str) -> bytes:
        """Read accepted state (R1); raises NotFound, NotTheOwner."""
        ...

    def watch(self, partition: int, run_id: str) -> asyncio.Future[None]:
        """Return a future resolved at the next accepted transition that touches a run."""
        ...


class Matching(Protocol):
    """The owner of a task queue, wherever it is (C5)."""

    async def query(
        self, namespace_id: str, queue: str, query: QueryTask, *, timeout_s: float
    ) -> Handed:
        """Hand a query over; raises NotTheOwner. Cancelling it withdraws the query."""
        ...


class _Query:
    """One query that waits."""

    __slots__ = (
        "answered", "has_left_sticky", "holds", "is_free", "leave_sticky", "namespace", "news",
        "partition", "query_id", "request", "run_id", "until",
    )  # fmt: skip

    def __init__(
        self,
        query_id: str,
        partition: int,
        namespace: Namespace,
        request: service.QueryWorkflowRequest,
        *,
        leave_sticky: LeaveSticky,
        until: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.query_id = query_id
        self.partition = partition
        self.namespace = namespace
        self.request = request
        self.leave_sticky = leave_sticky
        self.until = until
        self.run_id = ""
        self.answered: asyncio.Future[bytes] = loop.create_future()
        self.news: asyncio.Future[None] = loop.create_future()
        self.has_left_sticky = False
        self.holds = 0
        self.is_free = asyncio.Event()
        self.is_free.set()

    def hold(self) -> None:
        """An answer is on its way: nothing else is tried until it is accepted or refused."""
        self.holds += 1
        self.is_free.clear()

    def release(self) -> None:
        """The answer arrived, or came to nothing."""
        self.holds -= 1
        if not self.holds:
            self.is_free.set()

    def answer(self, answer: bytes | QueryFailed) -> None:
        """Take the first answer."""
        if self.answered.done():
            return
        if isinstance(answer, QueryFailed):
            self.answered.set_exception(answer)
            self.answered.exception()  # looked at: a caller that has gone away is no error of ours
        else:
            self.answered.set_result(answer)


class Queries:
    """All queries that wait at a node."""

    def __init__(
        self, history: History, matching: Matching, *, clock: Clock, random: Random
    ) -> None:
        self._history = history
        self._matching = matching
        self._clock = clock
        self._random = random
        self._waiting: dict[str, _Query] = {}
        self._riding: dict[str, dict[str, _Query]] = {}

    # -- who asks

    async def ask(
        self,
        namespace: Namespace,
        request: service.QueryWorkflowRequest,
        *,
        leave_sticky: LeaveSticky,
        timeout_s: float,
    ) -> bytes:
        """Have a worker answer a query; return the QueryWorkflowResponse.

        `leave_sticky` is awaited with a run id whose sticky worker did not answer. Raises the
        refusals of a plan, QueryFailed, DeadlineExceeded, NotTheOwner.
        """
        if len(self._waiting) >= WAITING_LIMIT:
            raise ResourceExhausted(_TOO_MANY, cause=_CONCURRENT, scope=_SYSTEM)
        waits_s = timeout_s - _TAIL_S
        workflow_id = request.execution.workflow_id
        asked = _Query(
            str(uuid.UUID(bytes=self._random.bytes(16), version=4)),
            workflow_partition(namespace.name, workflow_id, self._history.partitions),
            namespace,
            request,
            leave_sticky=leave_sticky,
            until=self._clock.monotonic() + waits_s,
        )
        self._waiting[asked.query_id] = asked
        try:
            async with asyncio.timeout(waits_s):
                return await self._see_through(asked)
        except TimeoutError:
            raise DeadlineExceeded(_TIME_UP) from None
        finally:
            del self._waiting[asked.query_id]
            self._alight(asked)
            asked.news.cancel()

    async def _see_through(self, asked: _Query) -> bytes:
        while True:
            plan = await self._plan(asked)
            match plan:
                case Turned():
                    return _turned(plan.status)
                case Rides():
                    answer = await self._ride(asked)
                case Direct():
                    self._alight(asked)
                    answer = await self._go_directly(asked, plan)
            if answer is not None:
                return answer

    async def _plan(self, asked: _Query) -> Plan:
        """Look at the run, and have the next change of it told: nothing is missed in between."""
        left_s = asked.until - self._clock.monotonic()
        until = self._clock.now() + round(left_s * SECOND)
        packed = await self._history.read(
            asked.partition,
            "PlanQuery",
            PlanQuery(asked.request, until, asked.run_id),
            asked.namespace.id,
        )
        plan = plan_of(packed)
        if not isinstance(plan, Turned):
            asked.run_id = plan.run_id
            self._watch(asked)
        return plan

    def _watch(self, asked: _Query) -> None:
        asked.news.cancel()
        asked.news = self._history.watch(asked.partition, asked.run_id)

    # -- riding on a workflow task

    async def _ride(self, asked: _Query) -> bytes | None:
        """Wait for the answer with a workflow task, or for a change; None: plan again."""
        riding = self._riding.setdefault(asked.run_id, {})
        if asked.query_id not in riding and len(riding) >= RIDING_LIMIT:
            raise ResourceExhausted(_FULL, cause=_BUSY, scope=_NAMESPACE)
        riding[asked.query_id] = asked
        await _first(asked.answered, asked.news)
        await asked.is_free.wait()
        if asked.answered.done():
            return asked.answered.result()
        asked.news.result()  # raises what the partition was lost with
        return None

    def _alight(self, asked: _Query) -> None:
        riding = self._riding.get(asked.run_id, {})
        riding.pop(asked.query_id, None)
        if not riding:
            self._riding.pop(asked.run_id, None)

    def riding(self, run_id: str) -> bytes:
        """Return what a workflow task of a run is to carry: the `queries` of a poll answer."""
        riding = self._riding.get(run_id)
        if not riding:
            return b""
        carried = {query_id: each.request.query for query_id, each in riding.items()}
        return service.PollWorkflowTaskQueueResponse(queries=carried).SerializeToString()

    def carried(self, ask: Ask, answer: bytes) -> bytes:
        """Return the answer of own work; a started workflow task carries the run's queries."""
        if ask.method == "StartTask" and ask.request.kind == "workflow":
            return answer + self.riding(ask.request.run_id)
        return answer

    @contextmanager
    def answering(
        self, run_id: str, results: Mapping[str, query.WorkflowQueryResult]
    ) -> Iterator[None]:
        """Hold the queries that a completed task answers; they are answered if it is accepted."""
        held = [
            each
            for query_id in results
            if (each := self._waiting.get(query_id)) is not None and each.run_id == run_id
        ]
        for each in held:
            each.hold()
        try:
            yield
            for each in held:
                each.answer(_of_result(results[each.query_id]))
        finally:
            for each in held:
                each.release()

    # -- a task of its own

    async def _go_directly(self, asked: _Query, plan: Direct) -> bytes | None:
        """Ask through the sticky queue first, where there is one; None: plan again."""
        if not plan.sticky_queue or asked.has_left_sticky:
            return await self._hand_over(asked, plan, is_sticky=False)
        try:
            async with asyncio.timeout(plan.sticky_timeout / SECOND):
                return await self._hand_over(asked, plan, is_sticky=True)
        except (TimeoutError, FailedPrecondition, DeadlineExceeded):
            asked.has_left_sticky = True
        if plan.is_open:
            await self._leave_sticky(asked)
        return None

    async def _leave_sticky(self, asked: _Query) -> None:
        try:
            await asked.leave_sticky(asked.run_id)
        except ServiceError as error:  # only the next workflow task would be the faster for it
            _log.info("sticky_queue_not_left", run_id=asked.run_id, reason=str(error))

    async def _hand_over(self, asked: _Query, plan: Direct, *, is_sticky: bool) -> bytes | None:
        left_s = asked.until - self._clock.monotonic()
        if is_sticky:
            left_s = min(left_s, plan.sticky_timeout / SECOND)
        queue = plan.sticky_queue if is_sticky else plan.queue
        task = QueryTask(asked.query_id, await self._task(asked, is_sticky=is_sticky), is_sticky)
        handing = asyncio.ensure_future(
            self._matching.query(asked.namespace.id, queue, task, timeout_s=left_s)
        )
        handing.add_done_callback(_look_at)
        try:
            while not await self._is_over(asked, handing):
                if handing.done():
                    _check_taken(handing.result())
                    self._watch(asked)
                elif await self._plan(asked) != plan:
                    return None
            return asked.answered.result()
        finally:
            handing.cancel()

    async def _is_over(self, asked: _Query, handing: asyncio.Future[Handed]) -> bool:
        """Wait for the answer; False: something else happened."""
        await _first(asked.answered, asked.news, *(() if handing.done() else (handing,)))
        if asked.news.done() and not asked.answered.done():
            asked.news.result()  # raises what the partition was lost with
        return asked.answered.done()

    async def _task(self, asked: _Query, *, is_sticky: bool) -> bytes:
        """Return the poll answer that asks the query."""
        _, incarnation = self._history.origin(asked.partition)
        token = QueryToken(asked.namespace.id, asked.partition, incarnation, asked.query_id)
        ask = ReadQueryTask(
            workflow_id=asked.request.execution.workflow_id,
            run_id=asked.run_id,
            query=asked.request.query.SerializeToString(),
            token=pack(token),
            is_sticky=is_sticky,
        )
        return await self._history.read(asked.partition, "QueryTask", ask, asked.namespace.id)

    def answer(self, token: QueryToken, request: service.RespondQueryTaskCompletedRequest) -> None:
        """Take a worker's answer; raises NotFound, NotTheOwner."""
        _, incarnation = self._history.origin(token.partition)
        asked = self._waiting.get(token.query_id)
        if token.incarnation != incarnation or asked is None or asked.answered.done():
            raise NotFound(_OVER)
        said = request.failure if request.HasField("failure") else None
        if request.completed_type == _ANSWERED:
            asked.answer(_checked(request.query_result))
        else:
            asked.answer(_failed(request.error_message, said))


def _look_at(handing: asyncio.Future[Handed]) -> None:
    """Nobody may be there to hear that a query could not be handed over."""
    if not handing.cancelled():
        handing.exception()


def _check_taken(handed: Handed) -> None:
    if handed is Handed.NOT_POLLED:
        raise FailedPrecondition(_NOT_POLLED)
    if handed is Handed.TIME_UP:
        raise DeadlineExceeded(_TIME_UP)


def _turned(status: int) -> bytes:
    response = service.QueryWorkflowResponse()
    response.query_rejected.status = status  # type: ignore[assignment]  # enums travel as ints
    return response.SerializeToString()


def _of_result(result: query.WorkflowQueryResult) -> bytes | QueryFailed:
    if result.result_type == _ANSWERED:
        return _checked(result.answer)
    said = result.failure if result.HasField("failure") else None
    return _failed(result.error_message, said)


def _failed(message: str, said: failure.Failure | None) -> QueryFailed:
    return QueryFailed(message, said)


def _checked(result: common.Payloads) -> bytes | QueryFailed:
    if result.ByteSize() > RESULT_BYTES:
        return QueryFailed("Blob data size exceeds limit.")
    return service.QueryWorkflowResponse(query_result=result).SerializeToString()


async def _first(
    *futures: asyncio.Future[bytes] | asyncio.Future[None] | asyncio.Future[Handed],
) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
