"""Queries that wait at the owner of a history partition: a history of one run, a queue by hand."""

import asyncio
from typing import Any

import msgspec
import pytest

from schemas.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    NotTheOwner,
    QueryFailed,
    ResourceExhausted,
    WorkflowNotReady,
)
from schemas.temporal import common, enums, failure, query, service
from streams import queries
from streams.matching.queries import Handed
from streams.queries import Queries
from tests.streams.matching.world import VirtualClock, run, turns
from topology.decision import Ask, Namespace
from topology.effects import TaskKind
from topology.matching.tasks import QueryTask
from topology.own_work import PlanQuery, ReadQueryTask, StartTask
from topology.tokens import QueryToken, unpack_query
from topology.workflow.query import Direct, Plan, Rides, Turned

NAMESPACE = Namespace("ns-id", "default", 1, 0)
ANSWERED = enums.QueryResultType.QUERY_RESULT_TYPE_ANSWERED
FAILED = enums.QueryResultType.QUERY_RESULT_TYPE_FAILED
RIDES = Rides("run-1")
DIRECT = Direct("run-1", "tq", next_event_id=6, is_open=True)
STICKY = Direct("run-1", "tq", 6, is_open=True, sticky_queue="sticky", sticky_timeout=5 * 10**9)
LOST = NotTheOwner("moved")


class Count:
    """Random bytes that count."""

    def __init__(self) -> None:
        self.count = 0

    def bytes(self, count: int) -> bytes:
        """The next number."""
        self.count += 1
        return self.count.to_bytes(count)

    def fraction(self) -> float:
        """Always a half."""
        return 0.5


class History:
    """One run, whose plan the test sets; telling is by hand."""

    partitions = 1

    def __init__(self, plan: Plan | Exception) -> None:
        self.plan = plan
        self.incarnation = b"one"
        self.looks = 0
        self._news: list[asyncio.Future[None]] = []

    def origin(self, partition: int) -> tuple[int, bytes]:
        """Our claim."""
        assert partition == 0
        return 1, self.incarnation

    async def read(self, partition: int, method: str, request: object, namespace_id: str) -> bytes:
        """Return the plan, or a task that is its token."""
        assert (partition, namespace_id) == (0, NAMESPACE.id)
        await asyncio.sleep(0)
        if isinstance(request, ReadQueryTask):
            return request.token
        assert (method, isinstance(request, PlanQuery)) == ("PlanQuery", True)
        self.looks += 1
        if isinstance(self.plan, Exception):
            raise self.plan
        return msgspec.msgpack.encode(self.plan)

    def watch(self, partition: int, run_id: str) -> asyncio.Future[None]:
        """Promise the next change."""
        assert (partition, run_id) == (0, "run-1")
        self._news.append(asyncio.get_running_loop().create_future())
        return self._news[-1]

    def become(self, plan: Plan | Exception) -> None:
        """Let something happen to the run."""
        self.plan = plan
        news, self._news = self._news, []
        for each in news:
            if each.done():
                continue
            if isinstance(plan, NotTheOwner):
                each.set_exception(plan)
            else:
                each.set_result(None)


class Matching:
    """Remembers what it was handed; the test says what came of it."""

    def __init__(self) -> None:
        self.handed: list[tuple[str, QueryTask, float]] = []
        self.outcomes: list[asyncio.Future[Handed]] = []

    async def query(
        self, namespace_id: str, queue: str, query: QueryTask, *, timeout_s: float
    ) -> Handed:
        """Wait until the test says."""
        assert namespace_id == NAMESPACE.id
        self.handed.append((queue, query, timeout_s))
        self.outcomes.append(asyncio.get_running_loop().create_future())
        return await self.outcomes[-1]

    def take(self) -> QueryToken:
        """Let a poll take what was handed over last; return the token."""
        self.outcomes[-1].set_result(Handed.TAKEN)
        return unpack_query(self.handed[-1][1].answer)


class World:
    """An owner with its queries."""

    def __init__(self, plan: Plan | Exception) -> None:
        self.history = History(plan)
        self.matching = Matching()
        self.queries = Queries(self.history, self.matching, clock=VirtualClock(), random=Count())
        self.left: list[str] = []

    def ask(self, *, timeout_s: float = 30.0) -> asyncio.Task[bytes]:
        """Ask the run."""
        request = service.QueryWorkflowRequest(
            execution={"workflow_id": "w"}, query={"query_type": "state"}
        )
        return asyncio.create_task(
            self.queries.ask(NAMESPACE, request, leave_sticky=self._leave, timeout_s=timeout_s)
        )

    async def _leave(self, run_id: str) -> None:
        self.left.append(run_id)

    def riding(self) -> list[str]:
        """Return the ids of the queries that a task of the run would carry."""
        packed = self.queries.riding("run-1")
        return sorted(service.PollWorkflowTaskQueueResponse.FromString(packed).queries)

    def answer(self, token: QueryToken, **fields: Any) -> None:
        """Answer as a worker does."""
        given = {"completed_type": ANSWERED, "query_result": payloads("out")} | fields
        self.queries.answer(token, service.RespondQueryTaskCompletedRequest(**given))


def payloads(text: str) -> common.Payloads:
    """Return a payload."""
    return common.Payloads(payloads=[common.Payload(data=text.encode())])


def result(text: str = "out") -> bytes:
    """Return the response that holds a payload."""
    return service.QueryWorkflowResponse(query_result=payloads(text)).SerializeToString()


def answered(text: str = "out") -> query.WorkflowQueryResult:
    """Return what a completed task says of a query."""
    return query.WorkflowQueryResult(result_type=ANSWERED, answer=payloads(text))


def test_a_turned_query_is_answered_with_the_status() -> None:
    """Nobody else is asked."""

    async def main() -> None:
        world = World(Turned(2))
        response = service.QueryWorkflowResponse.FromString(await world.ask())
        assert response.query_rejected.status == 2
        assert world.matching.handed == []

    run(main())


def test_m4_a_direct_query_is_handed_over_and_answered_by_its_token() -> None:
    """The token names partition, claim and query; the answer is taken once."""

    async def main() -> None:
        world = World(DIRECT)
        asked = world.ask(timeout_s=30.2)
        await turns()
        ((queue, task, timeout_s),) = world.matching.handed
        assert (queue, task.is_sticky, round(timeout_s)) == ("tq", False, 30)
        token = world.matching.take()
        assert (token.partition, token.incarnation, token.query_id) == (0, b"one", task.query_id)
        await turns()
        world.answer(token)
        assert await asked == result()
        with pytest.raises(NotFound, match="query task not found, or already expired"):
            world.answer(token)

    run(main())


def test_c5_a_token_of_another_claim_is_not_found() -> None:
    """Whoever waited then waits elsewhere now."""

    async def main() -> None:
        world = World(DIRECT)
        asked = world.ask()
        await turns()
        token = world.matching.take()
        world.history.incarnation = b"two"
        with pytest.raises(NotFound):
            world.answer(token)
        asked.cancel()

    run(main())


def test_a_worker_that_fails_a_query_fails_it_for_good() -> None:
    """With what it said, and with its failure where it has one."""

    async def main() -> None:
        world = World(DIRECT)
        for said in (None, failure.Failure(message="inner")):
            asked = world.ask()
            await turns()
            token = world.matching.take()
            world.answer(token, completed_type=FAILED, error_message="no", failure=said)
            with pytest.raises(QueryFailed) as refusal:
                await asked
            assert refusal.value.message == "no"
            assert refusal.value.detail is not None
            assert refusal.value.detail.HasField("failure") == (said is not None)

    run(main())


@pytest.mark.parametrize(
    ("handed", "kind", "message"),
    [
        (
            Handed.NOT_POLLED,
            FailedPrecondition,
            "no poller seen for task queue recently, worker may be down",
        ),
        (
            Handed.TIME_UP,
            DeadlineExceeded,
            "query timed out before a worker could process it",
        ),
    ],
)
def test_a_query_that_nobody_takes_is_refused(
    handed: Handed, kind: type[Exception], message: str
) -> None:
    """In Temporal's words."""

    async def main() -> None:
        world = World(DIRECT)
        asked = world.ask()
        await turns()
        world.matching.outcomes[-1].set_result(handed)
        with pytest.raises(kind) as refusal:
            await asked
        assert str(refusal.value) == message

    run(main())


def test_a_query_that_a_worker_does_not_answer_ends_with_its_time() -> None:
    """A little before the caller's own end, so that the words arrive."""

    async def main() -> None:
        world = World(DIRECT)
        asked = world.ask(timeout_s=5)
        await turns()
        world.matching.take()
        before = VirtualClock().monotonic()
        with pytest.raises(DeadlineExceeded, match="query timed out before a worker"):
            await asked
        assert 4 < VirtualClock().monotonic() - before < 5

    run(main())


def test_a_sticky_worker_is_asked_first_and_left_when_it_does_not_answer() -> None:
    """Then the normal queue, within the same call; a late answer of the first one counts."""

    async def main() -> None:
        world = World(STICKY)
        asked = world.ask()
        await turns()
        assert [each[0] for each in world.matching.handed] == ["sticky"]
        late = world.matching.take()
        await asyncio.sleep(6)
        assert [each[0] for each in world.matching.handed] == ["sticky", "tq"]
        assert world.left == ["run-1"]
        world.answer(late)
        assert await asked == result()

    run(main())


def test_m3_a_dead_sticky_queue_costs_a_query_no_time() -> None:
    """Of a closed run nothing has to be left."""

    async def main() -> None:
        world = World(Direct("run-1", "tq", 6, False, "sticky", 5 * 10**9))  # noqa: FBT003
        asked = world.ask()
        await turns()
        world.matching.outcomes[-1].set_result(Handed.NOT_POLLED)
        await turns()
        assert [each[0] for each in world.matching.handed] == ["sticky", "tq"]
        assert world.left == []
        world.answer(world.matching.take())
        assert await asked == result()

    run(main())


def test_r2_a_query_that_nobody_has_taken_is_planned_again_when_the_run_changes() -> None:
    """News means a workflow task: it rides on that; what does not matter changes nothing."""

    async def main() -> None:
        world = World(DIRECT)
        asked = world.ask()
        await turns()
        world.history.become(DIRECT)
        await turns()
        assert (world.history.looks, len(world.matching.handed)) == (2, 1)
        world.history.become(RIDES)
        await turns()
        assert world.matching.outcomes[0].cancelled()
        (query_id,) = world.riding()
        with world.queries.answering("run-1", {query_id: answered("later")}):
            pass
        assert await asked == result("later")

    run(main())


def test_r2_a_query_rides_on_the_next_task_that_starts() -> None:
    """Its start carries the question; activities and other runs do not."""

    async def main() -> None:
        world = World(RIDES)
        asked = world.ask()
        await turns()
        (query_id,) = world.riding()
        starts: list[tuple[TaskKind, str]] = [("workflow", "run-1"), ("activity", "run-1")]
        starts.append(("workflow", "run-2"))
        for kind, run_id in starts:
            ask = StartTask("poll", "me", kind, "tq", run_id, 2, 1, 1)
            carried = world.queries.carried(Ask("StartTask", NAMESPACE, "w", ask), b"")
            found = service.PollWorkflowTaskQueueResponse.FromString(carried)
            assert list(found.queries) == ([query_id] if (kind, run_id) == starts[0] else [])
        asked.cancel()
        await turns()
        assert world.riding() == []

    run(main())


def test_a_query_whose_task_ends_without_an_answer_has_a_task_of_its_own() -> None:
    """It came while the task was out already."""

    async def main() -> None:
        world = World(RIDES)
        asked = world.ask()
        await turns()
        world.history.become(DIRECT)
        await turns()
        assert world.riding() == []
        world.answer(world.matching.take())
        assert await asked == result()

    run(main())


def test_an_answer_on_its_way_is_waited_for_before_a_query_is_planned_again() -> None:
    """The end of the task is heard of before its answers: the query is not asked twice."""

    async def main() -> None:
        world = World(RIDES)
        asked = world.ask()
        await turns()
        (query_id,) = world.riding()
        with world.queries.answering("run-1", {query_id: answered()}):
            world.history.become(DIRECT)
            await turns()
            assert not asked.done()
        assert await asked == result()
        assert world.matching.handed == []

    run(main())


def test_answers_of_a_refused_completion_come_to_nothing() -> None:
    """The query waits for the next attempt; answers of another run's task are no answers."""

    async def main() -> None:
        world = World(RIDES)
        asked = world.ask()
        await turns()
        (query_id,) = world.riding()
        with (
            pytest.raises(NotFound),
            world.queries.answering("run-1", {query_id: answered()}),
        ):
            raise NotFound("Workflow task not found.")
        with world.queries.answering("run-2", {query_id: answered()}):
            pass
        await turns()
        assert (asked.done(), world.riding()) == (False, [query_id])
        asked.cancel()

    run(main())


def test_one_query_may_wait_for_a_workflow_task_of_a_run() -> None:
    """A second one is told to come again."""

    async def main() -> None:
        world = World(RIDES)
        first = world.ask()
        await turns()
        with pytest.raises(ResourceExhausted, match="consistent query buffer is full"):
            await world.ask()
        assert len(world.riding()) == 1
        first.cancel()
        await turns()
        second = world.ask()
        await turns()
        assert len(world.riding()) == 1
        second.cancel()

    run(main())


def test_c3_queries_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than the limit is refused; a query that ends makes room."""
    monkeypatch.setattr(queries, "WAITING_LIMIT", 2)

    async def main() -> None:
        world = World(DIRECT)
        waiting = [world.ask() for _ in range(2)]
        await turns()
        with pytest.raises(ResourceExhausted, match="queries to wait at a node"):
            await world.ask()
        waiting[0].cancel()
        await turns()
        waiting.append(world.ask())
        await turns()
        assert len(world.matching.handed) == 3
        for each in waiting:
            each.cancel()

    run(main())


def test_a_query_hears_that_its_run_can_no_longer_be_asked() -> None:
    """The task failed for the third time, or the run closed before any."""

    async def main() -> None:
        world = World(RIDES)
        asked = world.ask()
        await turns()
        world.history.become(WorkflowNotReady("failed"))
        with pytest.raises(WorkflowNotReady):
            await asked

    run(main())


@pytest.mark.parametrize("phase", ["rides", "waits", "taken", "the task queue"])
def test_c3_losing_the_partition_loses_the_waiter_only(phase: str) -> None:
    """Its frontend asks the next owner, of the run or of its task queue."""

    async def main() -> None:
        world = World(RIDES if phase == "rides" else DIRECT)
        asked = world.ask()
        await turns()
        if phase == "taken":
            world.matching.take()
            await turns()
        if phase == "the task queue":
            world.matching.outcomes[-1].set_exception(LOST)
        else:
            world.history.become(LOST)
        with pytest.raises(NotTheOwner):
            await asked

    run(main())
