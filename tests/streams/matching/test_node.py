"""Polls and offers at one node: who gets what, and what is written."""

import asyncio

from schemas.temporal import service
from streams.matching.counts import Counts
from streams.matching.settings import MatchingSettings
from tests.streams.matching.world import (
    NOT_THE_OWNER,
    OUTCOME_UNKNOWN,
    Life,
    Outside,
    answer_to,
    offer_of,
    run,
    started,
    turns,
)

ONE = MatchingSettings(partitions=1)


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
        assert life.node.counts == Counts(sync_matches=1)

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
        await life.offer(offer_of(0, expires_at=now))
        assert life.outside.log.values() == 0
        await life.offer(offer_of(1, expires_at=now + 1_000))
        await life.offer(offer_of(2, expires_at=now + 10**15))
        await asyncio.sleep(1)
        assert await life.poll("p1") == answer_to(offer_of(2))
        await turns()
        assert life.outside.stored() == []
        assert life.outside.history.asked == 1
        assert life.node.counts.expired == 2

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
