"""Polls and offers at one node: who gets what, and what is written."""

import asyncio

import pytest

from schemas.errors import NotTheOwner, ResourceExhausted
from schemas.temporal import service
from streams.matching.settings import MatchingSettings
from tests.streams.matching.world import (
    NAMESPACE,
    NOT_THE_OWNER,
    OUTCOME_UNKNOWN,
    Life,
    Outside,
    answer_to,
    offer_of,
    run,
    turns,
)
from topology.matching.tasks import Task

ONE = MatchingSettings(partitions=1)


def started(answer: bytes) -> bytes:
    """Return an answer without the hint that matching appended."""
    return answer.split(b")")[0] + b")" if answer else answer


def test_l18_a_sync_match_writes_no_task() -> None:
    """A task offered while a poll waits goes straight to history and to the poll."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        poll = life.poll("p1")
        await turns()
        await life.offer(offer_of(1))
        assert await poll == answer_to(offer_of(1))
        assert life.outside.log.values() == 0
        assert life.outside.history.starts == [("run-1", 2, 1, 0)]

    run(main())


def test_l18_an_offer_without_a_poll_is_performed_once_it_is_on_the_log() -> None:
    """Nobody waits: the task is appended, and a later poll gets it; then its tombstone follows."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        await life.offer(offer_of(1))
        assert life.outside.log.values() == 1
        await turns()
        assert await life.poll("p1") == answer_to(offer_of(1))
        await turns()
        assert life.outside.stored() == []

    run(main())


def test_many_offers_of_one_turn_are_one_append() -> None:
    """Offers are gathered over a loop turn, not over time."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        await asyncio.gather(*(life.offer(offer_of(n)) for n in range(50)))
        assert life.outside.log.appends == [50]

    run(main())


def test_tasks_and_polls_are_first_come_first_served() -> None:
    """Tasks go out in the order they came, to polls in the order they came."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        for number in range(5):
            await life.offer(offer_of(number))
        polls = [life.poll(f"p{number}") for number in range(10)]
        for number in range(5, 10):
            await turns()
            await life.offer(offer_of(number))
        answers = [started(await poll) for poll in polls]
        assert answers == [answer_to(offer_of(number)) for number in range(10)]

    run(main())


def test_a_task_on_its_way_to_the_log_is_matched_at_once() -> None:
    """A poll does not wait until a task is read back; its offer is performed by the verdict."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        first = life.poll("p0", timeout_s=2.0)
        await first
        life.is_reading = False
        await life.offer(offer_of(1))
        assert await life.poll("p1") == answer_to(offer_of(1))
        life.is_reading = True
        life.pump()
        await turns()
        assert life.outside.stored() == []

    run(main())


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


def test_m1_an_obsolete_task_is_dropped_and_the_poll_waits_on() -> None:
    """History refuses: the task is gone for good, the poll gets the next one."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        for number in range(3):
            await life.offer(offer_of(number))
        life.outside.history.waiting -= {("run-0", 2, 1, 0), ("run-1", 2, 1, 0)}
        await turns()
        assert await life.poll("p1") == answer_to(offer_of(2))
        await turns()
        assert life.outside.stored() == []

    run(main())


def test_m1_a_repeated_poll_gets_the_same_answer() -> None:
    """The same poll id asks again after it was answered: history answers as the first time."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        first = life.poll("p1")
        await turns()
        await life.offer(offer_of(1))
        await life.offer(offer_of(2))
        assert await first == answer_to(offer_of(1))
        assert started(await life.poll("p1")) == answer_to(offer_of(1))
        assert len(life.outside.history.starts) == 1

    run(main())


def test_m1_a_poll_that_asks_again_while_it_waits_keeps_its_place() -> None:
    """Its first call ends empty, the second one is answered."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        first = life.poll("p1")
        await turns()
        other = life.poll("p2")
        await turns()
        again = life.poll("p1")
        await turns()
        assert await first == b""
        await life.offer(offer_of(1))
        assert await again == answer_to(offer_of(1))
        assert not other.done()
        other.cancel()

    run(main())


def test_m1_an_unknown_outcome_is_asked_again_for_the_same_poll() -> None:
    """History has started the task but its answer was lost: the poll gets it all the same."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        life.late_faults = [OUTCOME_UNKNOWN, OUTCOME_UNKNOWN]
        poll = life.poll("p1")
        await turns()
        await life.offer(offer_of(1))
        assert await poll == answer_to(offer_of(1))
        assert len(life.outside.history.starts) == 1

    run(main())


def test_m1_a_task_whose_history_is_elsewhere_waits_on_the_log() -> None:
    """The poll is free for other tasks meanwhile, and the task comes again later."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        life.faults = [NOT_THE_OWNER]
        first, second = life.poll("p1"), life.poll("p2")
        await turns()
        await life.offer(offer_of(1))
        await life.offer(offer_of(2))
        assert {started(await first), started(await second)} == {
            answer_to(offer_of(1)),
            answer_to(offer_of(2)),
        }
        await turns()
        assert life.outside.stored() == []

    run(main())


def test_m1_an_offer_cancelled_while_history_is_asked_still_answers_its_poll() -> None:
    """Whoever offered has gone; the start is asked for again under the same poll id."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        poll = life.poll("p1")
        await turns()
        life.holds_history = asyncio.Event()
        offer = life.offer(offer_of(1))
        await turns()
        offer.cancel()
        await turns()
        life.holds_history.set()
        assert await poll == answer_to(offer_of(1))
        assert len(life.outside.history.starts) == 1

    run(main())


def test_failed_appends_are_tried_again() -> None:
    """The log was away; the offer is performed when it is back."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        life.failing_appends = 3
        await life.offer(offer_of(1))
        assert life.outside.log.values() == 1

    run(main())


def test_expired_tasks_are_dropped_with_a_tombstone() -> None:
    """Nobody is told of them; history's timers decide."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        now = life.node._ports.clock.now()
        await life.offer(offer_of(1, expires_at=now - 1))
        await life.offer(offer_of(2, expires_at=now + 10**15))
        await turns()
        assert await life.poll("p1") == answer_to(offer_of(2))
        await turns()
        assert life.outside.stored() == []
        assert life.outside.history.asked == 1

    run(main())


def test_priorities_are_strict_within_a_queue() -> None:
    """A lower number comes first; no number is 3."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        for number, priority in enumerate([5, 0, 1, 3, 4, 2, 1]):
            await life.offer(offer_of(number, priority=priority))
        await turns()
        order = [started(await life.poll(f"p{number}")) for number in range(7)]
        assert order == [answer_to(offer_of(n)) for n in [2, 6, 5, 1, 3, 4, 0]]

    run(main())


def test_the_backlog_is_counted_in_workflow_answers() -> None:
    """The hint excludes the delivered task, and is not there when it is zero."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        for number in range(300):
            await life.offer(offer_of(number))
        await turns()
        answer = await life.poll("p1")
        hint = answer.removeprefix(answer_to(offer_of(0)))
        assert service.PollWorkflowTaskQueueResponse.FromString(hint).backlog_count_hint == 299

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
        assert await again == answer_to(offer_of(1))

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
        assert ([name for name, _ in described.pollers], described.backlog_count) == (["alice"], 1)
        await asyncio.sleep(400)
        (served,) = life.node._served.values()
        assert served.queues == {}
        described = life.node.describe("ns-id", "q", "workflow")
        assert (described.pollers, described.backlog_count) == ([], 1)
        assert await life.poll("p3") == answer_to(offer_of(1))

    run(main())
