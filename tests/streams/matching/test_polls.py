"""Polls at one node: their time, their end, and what becomes of their tasks."""

import asyncio

import pytest

from schemas.errors import NotTheOwner, ResourceExhausted
from streams.matching.settings import MatchingSettings
from tests.streams.matching.world import (
    NAMESPACE,
    Life,
    Outside,
    answer_to,
    offer_of,
    run,
    started,
    turns,
)
from topology.matching.tasks import Task

ONE = MatchingSettings(partitions=1)


def test_c4_a_poll_is_answered_empty_a_second_before_its_deadline() -> None:
    """Nothing came: the answer is empty, and it is there in time."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert await life.poll("p1", timeout_s=10.0) == b""
        assert loop.time() - before == pytest.approx(9.0)
        before = loop.time()
        assert await life.poll("p2", timeout_s=300.0) == b""
        assert loop.time() - before == pytest.approx(60.0)

    run(main())


def test_c4_nothing_is_offered_to_a_poll_whose_time_is_up() -> None:
    """A task that comes in the last second goes to the log."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        assert await life.poll("p1", timeout_s=0.5) == b""
        await life.offer(offer_of(1))
        assert life.outside.history.asked == 0

    run(main())


@pytest.mark.parametrize("turns_count", [0, 5])
def test_m2_a_cancelled_poll_is_not_asked_for(turns_count: int) -> None:
    """A poll that is gone before history is asked leaves its place to the next one."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        gone, there = life.poll("p1"), life.poll("p2")
        await turns()
        gone.cancel()
        await turns(turns_count)
        await life.offer(offer_of(1))
        assert await there == answer_to(offer_of(1))
        assert life.outside.history.started == {("run-1", 2, 1, 0): "p2"}
        assert life.outside.history.handed_back == []

    run(main())


@pytest.mark.parametrize("is_offered_first", [True, False])
def test_m2_a_poll_gone_after_the_verdict_hands_its_task_back(*, is_offered_first: bool) -> None:
    """History has started the task, but nobody is there: history hears of it."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        if is_offered_first:
            await life.offer(offer_of(1))
            await turns()
        life.holds_history = asyncio.Event()
        poll = life.poll("p1")
        await turns()
        offer = None if is_offered_first else life.offer(offer_of(1))
        await turns()
        poll.cancel()
        await turns()
        life.holds_history.set()
        await turns()
        assert poll.cancelled()
        assert life.outside.history.handed_back == [("run-1", 2, 1, 0)]
        assert offer is None or offer.done()
        assert life.outside.stored() == []

    run(main())


def test_m2_a_poll_cancelled_as_it_is_answered_hands_its_task_back() -> None:
    """The answer is set, but the caller's coroutine is cancelled before it could return it."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        poll = life.poll("p1")
        await turns()
        remember = life.node._polls.remember

        def cancel_too(poll_id: str, task: Task) -> None:
            remember(poll_id, task)
            poll.cancel()

        life.node._polls.remember = cancel_too  # type: ignore[method-assign]  # the very moment
        await life.offer(offer_of(1))
        await turns()
        assert poll.cancelled()
        assert life.outside.history.handed_back == [("run-1", 2, 1, 0)]

    run(main())


def test_m2_an_answer_that_its_caller_never_saw_can_be_handed_back_by_its_poll_id() -> None:
    """The transport found nobody; it knows the poll's id only."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        poll = life.poll("p1")
        await turns()
        await life.offer(offer_of(1))
        await poll
        life.node.hand_back(NAMESPACE, "p1")
        life.node.hand_back(NAMESPACE, "p1")
        await turns()
        assert life.outside.history.handed_back == [("run-1", 2, 1, 0)]

    run(main())


def test_too_many_polls_are_refused() -> None:
    """More than the limit in one namespace: RESOURCE_EXHAUSTED in Temporal's words."""

    async def main() -> None:
        life = await Life(Outside(), MatchingSettings(partitions=1, polls_limit=2)).start()
        polls = [life.poll("p1"), life.poll("p2", queue="other")]
        await turns()
        with pytest.raises(
            ResourceExhausted, match=r"^namespace concurrent poller limit exceeded$"
        ):
            await life.poll("p3")
        for poll in polls:
            poll.cancel()
        await turns()
        assert await life.poll("p4", timeout_s=2.0) == b""

    run(main())


def test_c3_losing_the_partition_fails_its_polls_with_not_the_owner() -> None:
    """Their frontends ask the new owner."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        poll = life.poll("p1")
        await turns()
        life.node.assigned(set(), 2)
        with pytest.raises(NotTheOwner):
            await poll
        with pytest.raises(NotTheOwner):
            await life.poll("p2")

    run(main())


def test_c1_a_higher_claim_of_another_node_fences_ours_until_we_claim_again() -> None:
    """Polls are failed; since the group still names us, the partition is claimed once more."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        poll = life.poll("p1")
        await turns()
        life.outside.claims.claim("matching", 0)
        with pytest.raises(NotTheOwner):
            await poll
        again = life.poll("p2")
        await asyncio.sleep(5)
        assert life.outside.claims.epochs == {0: 3}
        await life.offer(offer_of(1))
        assert started(await again) == answer_to(offer_of(1))

    run(main())


def test_polls_wait_until_the_partition_is_ready() -> None:
    """A poll that comes before the claim is answered after it, without failing."""

    async def main() -> None:
        outside = Outside()
        first = await Life(outside, ONE).start()
        await first.offer(offer_of(1))
        second = Life(outside, ONE)
        first.is_dead = True
        poll = second.poll("p1")
        await turns()
        await second.start()
        assert await poll == answer_to(offer_of(1))

    run(main())


def test_c4_a_poll_before_the_first_assignment_ends_in_time() -> None:
    """The group has not named us yet; the poll's deadline holds all the same."""

    async def main() -> None:
        life = Life(Outside(), ONE)
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert await life.poll("p1", timeout_s=5.0) == b""
        assert loop.time() - before == pytest.approx(4.0)
        poll = life.poll("p2", timeout_s=5.0)
        await asyncio.sleep(3.0)
        await life.start()
        assert await poll == b""
        assert loop.time() - before == pytest.approx(8.0)

    run(main())


def test_c7_a_stop_does_not_wait_for_ever_for_history() -> None:
    """What is not decided in time: the poll is answered empty, the offer is offered again later."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        poll = life.poll("p1")
        await turns()
        life.holds_history = asyncio.Event()
        offer = life.offer(offer_of(1))
        await turns()
        await life.node.stop()
        await turns()
        assert offer.cancelled()
        assert await poll == b""
        assert await life.poll("p2") == b""

    run(main())


def test_c7_a_stop_answers_polls_empty() -> None:
    """Nobody waits for a node that stops; what history is asked for is finished first."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        idle, matched = life.poll("p1", queue="other"), life.poll("p2")
        await turns()
        life.holds_history = asyncio.Event()
        offer = life.offer(offer_of(1))
        await turns()
        stop = asyncio.create_task(life.node.stop())
        await turns()
        assert await idle == b""
        life.holds_history.set()
        await stop
        await offer
        assert await matched == answer_to(offer_of(1))

    run(main())


def test_pollers_are_remembered_for_five_minutes_and_idle_queues_forgotten() -> None:
    """What DescribeTaskQueue will say; a queue's rows stay."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        await life.poll("p1", identity="alice", timeout_s=2.0)
        await life.offer(offer_of(1))
        await life.poll("p2", queue="other", identity="bob", timeout_s=2.0)
        described = life.node.describe("ns-id", "q", "workflow")
        assert [each.identity for each in described.pollers] == ["alice"]
        assert described.stats.backlog_count == 1
        await asyncio.sleep(400)
        (served,) = life.node._served.values()
        assert served.queues == {}
        described = life.node.describe("ns-id", "q", "workflow")
        assert (described.pollers, described.stats.backlog_count) == ([], 1)
        assert await life.poll("p3") == answer_to(offer_of(1))

    run(main())
