"""A partition of `tasks` in the hands of a node: claims, folds, what is refused and swept."""

import asyncio

import pytest

from schemas.codec import Undecodable
from schemas.errors import NotTheOwner, Unavailable
from schemas.ids import queue_partition
from streams.log.ports import CommandBatch, Record
from streams.matching.settings import MatchingSettings
from tests.streams.matching.world import (
    NOT_THE_OWNER,
    OUTCOME_UNKNOWN,
    SECOND,
    Life,
    Outside,
    answer_to,
    offer_of,
    run,
    started,
    task_id,
    turns,
)
from topology.matching.tasks import offered, value_of

ONE = MatchingSettings(partitions=1)


async def backlog_of(outside: Outside, count: int) -> None:
    """Let a life append some tasks, fold them, and die."""
    life = await Life(outside, ONE).start()
    for number in range(count):
        await life.offer(offer_of(number))
    await turns()
    life.is_dead = True


async def drained(life: Life) -> list[bytes]:
    """Return what polls get until there is nothing."""
    answers: list[bytes] = []
    while answer := await life.poll(f"poll-{len(answers)}", timeout_s=3.0):
        answers.append(answer.split(b")")[0] + b")")
    return answers


def test_c1_a_partition_is_claimed_before_anything_is_offered() -> None:
    """Polls that came before wait for the claim; each owner has a higher epoch."""

    async def main() -> None:
        outside = Outside()
        await backlog_of(outside, 1)
        life = await Life(outside, ONE).start()
        assert outside.claims.epochs == {0: 2}
        assert await drained(life) == [answer_to(offer_of(0))]

    run(main())


def test_v3_recovery_of_a_compacted_topic_does_not_wait_for_a_record_that_is_gone() -> None:
    """The last records are compacted away; the new owner's mark says that all is read."""

    async def main() -> None:
        outside = Outside()
        await backlog_of(outside, 3)
        outside.log.append(0, [(offered(0, offer_of(2)).key, None)])
        outside.log.compact()
        outside.rows.clear()
        life = await Life(outside, ONE).start()
        assert await drained(life) == [answer_to(offer_of(0)), answer_to(offer_of(1))]

    run(main())


def test_v3_recovery_ends_by_position_where_the_reader_knows_it() -> None:
    """A poll that found nothing moved the position to the end: nothing is there any more."""

    async def main() -> None:
        outside = Outside()
        await backlog_of(outside, 3)
        end = outside.log.ends[0]
        life = Life(outside, ONE)
        life.is_reading = False
        outside.rows.clear()
        await life.start()
        records = outside.log.records[0][:2]
        outside.log.records[0] = []
        life.node.submit(CommandBatch("tasks", 0, 0, records, end))
        life.node.submit(CommandBatch("tasks", 0, end, [], end + 1))
        await turns()
        assert life.node.position("tasks", 0) == end + 1
        assert await drained(life) == [answer_to(offer_of(0)), answer_to(offer_of(1))]

    run(main())


def test_m1_the_state_is_a_fold_of_the_log_that_goes_on_from_its_position() -> None:
    """A restart reads only what is new; with an empty store it reads all."""

    async def main() -> None:
        outside = Outside()
        await backlog_of(outside, 5)
        rows = dict(outside.rows[0])
        outside.rows[0].clear()
        life = await Life(outside, ONE).start()
        life.is_dead = True
        mark_offset = outside.log.ends[0] - 1
        again = Life(outside, ONE)
        await again.start()
        assert again.node.position("tasks", 0) == outside.log.ends[0] == mark_offset + 1
        keys = {key for key in rows if not key.startswith(b"\x00")}
        assert {key for key in outside.rows[0] if not key.startswith(b"\x00")} == keys

    run(main())


@pytest.mark.parametrize("is_recreated", [True, False])
def test_l6_a_store_of_another_log_is_discarded(*, is_recreated: bool) -> None:
    """The topic was made anew, or lost its tail: what is stored is not its fold."""

    async def main() -> None:
        outside = Outside()
        await backlog_of(outside, 5)
        if is_recreated:
            outside.log.topic_id = "topic-2"
        outside.log.records[0] = outside.log.records[0][:1]
        outside.log.ends[0] = 1
        life = await Life(outside, ONE).start()
        assert await drained(life) == [answer_to(offer_of(0))]
        assert outside.stored() == []

    run(main())


def test_l7_a_record_that_cannot_be_folded_stops_the_node() -> None:
    """It is never skipped."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        life.outside.log.append(0, [(b"key", b"no task")])
        life.pump()
        with pytest.raises(Undecodable):
            await life.node.failed

    run(main())


def test_l10_a_batch_that_begins_too_late_is_refused_and_sought_back() -> None:
    """What a rebalance dropped is read again."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        life.is_reading = False
        for number in range(3):
            await life.offer(offer_of(number))
        life.is_reading = True
        last = life.outside.log.records[0][-1]
        life.node.submit(CommandBatch("tasks", 0, last.offset, [last]))
        await turns()
        assert await drained(life) == [answer_to(offer_of(number)) for number in range(3)]

    run(main())


def test_l6_a_batch_that_arrives_before_the_store_is_checked_is_read_again() -> None:
    """A partition that came back while a poll of its former time was on its way."""

    async def main() -> None:
        outside = Outside()
        await backlog_of(outside, 3)
        outside.rows.clear()
        life = Life(outside, ONE)
        await life.node.start()
        life.node.assigned({0}, 1)
        last = outside.log.records[0][-1]
        life.node.submit(CommandBatch("tasks", 0, last.offset, [last]))
        life.node.submit(CommandBatch("tasks", 0, 0, outside.log.records[0]))
        assert await drained(life) == [answer_to(offer_of(number)) for number in range(3)]

    run(main())


@pytest.mark.parametrize("turn_count", range(12))
def test_c7_a_partition_may_be_lost_at_any_moment_of_its_takeover(turn_count: int) -> None:
    """Its store is closed then, and nobody looks into it any more."""

    async def main() -> None:
        outside = Outside()
        await backlog_of(outside, 3)
        life = Life(outside, ONE)
        await life.node.start()
        life.node.assigned({0}, 1)
        await turns(turn_count)
        life.node.assigned(set(), 2)
        await turns()
        assert not life.node.failed.done()
        life.node.assigned({0}, 3)
        assert await drained(life) == [answer_to(offer_of(number)) for number in range(3)]

    run(main())


def test_l10_records_that_were_folded_already_are_skipped() -> None:
    """A batch may overlap what was read."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        for number in range(3):
            await life.offer(offer_of(number))
        await turns()
        life.node.submit(CommandBatch("tasks", 0, 0, life.outside.log.records[0]))
        await turns()
        assert len(await drained(life)) == 3

    run(main())


def test_l18_a_task_of_a_partition_elsewhere_goes_to_the_log_only() -> None:
    """Its owner finds it there."""

    async def main() -> None:
        life = await Life(Outside(), MatchingSettings(partitions=2)).start(0)
        queues = {int(queue_partition("ns-id", name, 2)): name for name in ("q1", "q2", "q3", "q4")}
        await life.offer(offer_of(1, queue=queues[1]))
        assert len(life.outside.log.records[1]) == 1
        with pytest.raises(NotTheOwner):
            await life.poll("p1", queue=queues[1])

    run(main())


def test_m1_a_stored_task_whose_history_is_elsewhere_is_offered_again_later() -> None:
    """The poll is free for the next task; the first one rests."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        for number in range(2):
            await life.offer(offer_of(number))
        await turns()
        life.faults = [NOT_THE_OWNER]
        assert await drained(life) == [answer_to(offer_of(1)), answer_to(offer_of(0))]
        assert life.outside.stored() == []

    run(main())


def test_m1_an_unknown_outcome_of_a_stored_task_is_asked_again_for_the_same_poll() -> None:
    """It is answered to that poll, once."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        await life.offer(offer_of(1))
        life.late_faults = [OUTCOME_UNKNOWN] * 3
        assert await drained(life) == [answer_to(offer_of(1))]
        assert len(life.outside.history.starts) == 1

    run(main())


def test_m1_an_unknown_outcome_gives_the_task_to_no_other_poll() -> None:
    """It may be started for the first one, which is offered nothing else meanwhile."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        for number in range(3):
            await life.offer(offer_of(number))
        await turns()
        life.late_faults = [OUTCOME_UNKNOWN]
        await asyncio.gather(life.poll("p1"), life.poll("p2"))
        started = {
            number: life.outside.history.started.get(task_id(offer_of(number)))
            for number in range(3)
        }
        assert started == {0: "p1", 1: "p2", 2: None}

    run(main())


def test_nothing_is_offered_before_all_is_folded() -> None:
    """A tombstone may stand behind the task."""

    async def main() -> None:
        outside = Outside()
        await backlog_of(outside, 2)
        outside.rows.clear()
        life = Life(outside, ONE)
        life.is_reading = False
        await life.start()
        poll = life.poll("p1")
        life.node.submit(CommandBatch("tasks", 0, 0, outside.log.records[0][:1]))
        await turns()
        assert outside.history.asked == 0
        life.is_reading = True
        life.seek("tasks", 0, 1)
        answer = await poll
        assert started(answer) == answer_to(offer_of(0))
        assert answer.endswith(b"8\x01")  # one more waits

    run(main())


@pytest.mark.parametrize(("delay_s", "is_answered"), [(9.5, True), (11.0, False)])
def test_m2_a_verdict_in_the_last_second_still_reaches_its_poll(
    delay_s: float, *, is_answered: bool
) -> None:
    """A later one finds the poll answered empty, and the task is handed back."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        await life.offer(offer_of(1))
        await turns()
        life.holds_history = asyncio.Event()
        poll = life.poll("p1", timeout_s=10.0)
        asyncio.get_running_loop().call_later(delay_s, life.holds_history.set)
        assert await poll == (answer_to(offer_of(1)) if is_answered else b"")
        await asyncio.sleep(5)
        assert life.outside.history.handed_back == ([] if is_answered else [("run-1", 2, 1, 0)])
        assert life.outside.stored() == []

    run(main())


def test_m2_handing_back_is_tried_again() -> None:
    """Until history has decided."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        life.holds_history = asyncio.Event()
        poll = life.poll("p1")
        await turns()
        offer = life.offer(offer_of(1))
        await turns()
        poll.cancel()
        await turns()
        life.holds_history.set()
        await offer
        life.faults = [NOT_THE_OWNER, OUTCOME_UNKNOWN]
        await asyncio.sleep(5)
        assert life.outside.history.handed_back == [("run-1", 2, 1, 0)]

    run(main())


def test_l18_an_offer_that_cannot_be_appended_fails_when_the_node_stops() -> None:
    """The outbox performs it again in the next life."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        life.failing_appends = 1_000
        before, after = life.offer(offer_of(1)), life.offer(offer_of(2))
        await turns()
        await life.node.stop()
        late = life.offer(offer_of(3))
        for offer in (before, after, late):
            with pytest.raises(Unavailable):
                await offer
        assert life.node._log._open == {}

    run(main())


def test_expired_tasks_of_a_queue_that_nobody_polls_are_swept() -> None:
    """Silently, with tombstones, some at a time."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        now = life.node._ports.clock.now()
        for number in range(10):
            await life.offer(offer_of(number, expires_at=now + (number % 2 + 1) * 60 * SECOND))
        await asyncio.sleep(100)
        assert len(life.outside.stored()) == 5
        await asyncio.sleep(100)
        assert life.outside.stored() == []

    run(main())


def test_tasks_of_a_deleted_namespace_are_swept() -> None:
    """Nobody can poll them any more, and they need not expire."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        for number in range(5):
            await life.offer(offer_of(number))
        await asyncio.sleep(200)
        assert len(life.outside.stored()) == 5
        life.deleted.add(offer_of(1).namespace_id)
        await asyncio.sleep(100)
        assert life.outside.stored() == []

    run(main())


def test_records_are_not_wanted_while_many_wait_to_be_folded() -> None:
    """The drain of the topic stops: memory is bounded."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        life.is_reading = False
        start = life.node.position("tasks", 0)
        records = []
        for number in range(6_000):
            task = offered(0, offer_of(number))
            records.append(Record(start + number, task.key, value_of(task), 0))
        life.node.submit(CommandBatch("tasks", 0, start, records))
        assert not life.node.wants("tasks", 0)
        await turns()
        assert life.node.wants("tasks", 0)

    run(main())
