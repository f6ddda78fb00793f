"""Tasks of queues that workers keep polling are written late, or never (L15, L18)."""

import asyncio

from streams.matching.settings import MatchingSettings
from tests.streams.matching.world import Life, Outside, answer_to, offer_of, run, started, turns

ONE = MatchingSettings(partitions=1, held_limit=2)


async def busy() -> Life:
    """Return a life whose queue was polled a moment ago."""
    life = await Life(Outside(), ONE).start()
    poll = life.poll("before")
    await turns()
    await life.offer(offer_of(0))
    await poll
    return life


def test_l18_a_task_that_is_polled_for_soon_is_never_written() -> None:
    """No poll waited, but one came in time: history answered, and the offer is performed."""

    async def main() -> None:
        life = await busy()
        offer = life.offer(offer_of(1))
        await turns()
        assert not offer.done()
        assert await life.poll("p1") == answer_to(offer_of(1))
        await offer
        await asyncio.sleep(5)
        assert life.outside.log.ends == {}
        assert life.node.describe("ns-id", "q", "workflow").stats.backlog_count == 0

    run(main())


def test_l18_a_held_task_is_written_when_its_time_is_up() -> None:
    """Then its offer is performed, and it is in the backlog like any other."""

    async def main() -> None:
        life = await busy()
        loop = asyncio.get_running_loop()
        before = loop.time()
        await life.offer(offer_of(1))
        assert loop.time() - before >= 1.0
        assert life.outside.log.values() == 1
        assert started(await life.poll("p1")) == answer_to(offer_of(1))
        await turns()
        assert life.outside.stored() == []

    run(main())


def test_l18_a_task_written_while_history_is_asked_gets_its_tombstone() -> None:
    """It was held when it was matched, and is on the log at the verdict."""

    async def main() -> None:
        life = await busy()
        life.holds_history = asyncio.Event()
        offer = life.offer(offer_of(1))
        poll = life.poll("p1")
        await asyncio.sleep(2)
        assert life.outside.log.values() == 1
        life.holds_history.set()
        assert started(await poll) == answer_to(offer_of(1))
        await offer
        await turns()
        assert life.outside.stored() == []

    run(main())


def test_only_some_tasks_are_held() -> None:
    """One more, and the oldest is written: memory and the outbox stay small."""

    async def main() -> None:
        life = await busy()
        offers = [life.offer(offer_of(number)) for number in range(1, 5)]
        await turns()
        assert [offer.done() for offer in offers] == [True, True, False, False]
        answers = [(await life.poll(f"p{number}")).split(b")")[0] + b")" for number in range(4)]
        assert answers == [answer_to(offer_of(number)) for number in range(1, 5)]
        await turns()
        assert all(offer.done() for offer in offers)
        assert life.outside.log.values() == 2
        assert life.outside.stored() == []

    run(main())


def test_a_repeated_offer_of_a_held_task_waits_with_the_first() -> None:
    """Nothing is written for either when history has decided."""

    async def main() -> None:
        life = await busy()
        first, second = life.offer(offer_of(1)), life.offer(offer_of(1))
        assert started(await life.poll("p1")) == answer_to(offer_of(1))
        await asyncio.gather(first, second)
        assert life.outside.log.ends == {}

    run(main())


def test_c7_a_stop_writes_what_is_held() -> None:
    """The next life finds it."""

    async def main() -> None:
        life = await busy()
        offer = life.offer(offer_of(1))
        await life.node.stop()
        await offer
        life.is_dead = True
        again = await Life(life.outside, ONE).start()
        assert await again.poll("p1") == answer_to(offer_of(1))

    run(main())
