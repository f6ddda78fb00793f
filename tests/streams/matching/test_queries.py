"""Queries in matching (M4): given to polls, refused in time, never written."""

import asyncio

import pytest

from schemas.errors import NotTheOwner
from streams.matching.queries import Handed
from streams.matching.settings import MatchingSettings
from tests.streams.matching.world import NAMESPACE, Life, Outside, answer_to, offer_of, run, turns
from topology.matching.tasks import QueryTask

ONE = MatchingSettings(partitions=1)


def ask(
    life: Life, query_id: str = "1", *, timeout_s: float = 30, is_sticky: bool = False
) -> asyncio.Task[Handed]:
    """Hand a query over; its task is `?` and its id."""
    query = QueryTask(query_id, f"?{query_id}".encode(), is_sticky)
    return asyncio.create_task(life.node.query(NAMESPACE.id, "q", query, timeout_s=timeout_s))


def now() -> float:
    """Return the virtual time."""
    return asyncio.get_running_loop().time()


def test_m4_a_query_is_given_to_a_poll_that_waits() -> None:
    """Nothing is written, history is not asked."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        poll = life.poll("p1")
        await turns()
        assert await ask(life) is Handed.TAKEN
        assert await poll == b"?1"
        assert (life.outside.log.ends, life.outside.history.asked) == ({}, 0)
        assert life.node.counts.queries == 1

    run(main())


def test_m4_a_query_waits_for_a_poll_and_goes_before_tasks() -> None:
    """A query's caller waits now, a task has time."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        await life.offer(offer_of(1))
        first, second = ask(life, "1"), ask(life, "2")
        await turns()
        answers = [await life.poll(f"p{number}") for number in range(3)]
        assert answers == [b"?1", b"?2", answer_to(offer_of(1))]
        assert await first is await second is Handed.TAKEN

    run(main())


def test_m4_where_nobody_has_polled_lately_a_query_is_refused_before_its_end() -> None:
    """A second before, so that the refusal arrives; where somebody has, it waits to the end."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        began_at = now()
        assert await ask(life, timeout_s=5) is Handed.NOT_POLLED
        assert now() - began_at == 4
        await life.poll("p1", timeout_s=2)
        assert await ask(life, timeout_s=5) is Handed.TIME_UP
        assert await ask(life, timeout_s=30) is Handed.NOT_POLLED
        assert await life.poll("p2", timeout_s=2) == b""

    run(main())


def test_m3_a_query_to_a_dead_sticky_queue_is_refused_at_once() -> None:
    """Its asker turns to the normal queue."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        began_at = now()
        assert await ask(life, is_sticky=True) is Handed.NOT_POLLED
        await life.poll("p1", timeout_s=2)
        asked = ask(life, is_sticky=True, timeout_s=5)
        await turns()
        assert now() - began_at == 1
        assert await life.poll("p2") == b"?1"
        assert await asked is Handed.TAKEN

    run(main())


def test_m4_a_query_whose_asker_is_gone_is_withdrawn() -> None:
    """Nobody is bothered with it."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        asked = ask(life)
        await turns()
        asked.cancel()
        await turns()
        assert await life.poll("p1", timeout_s=2) == b""

    run(main())


def test_m2_a_query_is_given_again_when_its_poll_was_gone() -> None:
    """A poll cancelled before it was answered, and one whose answer nobody took."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        gone = life.poll("p1")
        await turns()
        asked = ask(life)
        await asyncio.sleep(0)  # it is given, and p1 has not heard of it yet
        gone.cancel()
        await turns()
        assert gone.cancelled()
        assert await asked is Handed.TAKEN
        assert await life.poll("p2") == b"?1"
        life.node.hand_back(NAMESPACE, "p2")
        assert await life.poll("p3") == b"?1"
        await asyncio.sleep(30)
        life.node.hand_back(NAMESPACE, "p3")
        assert await life.poll("p4", timeout_s=2) == b""

    run(main())


def test_c3_losing_the_queue_loses_its_queries() -> None:
    """They are handed over to the next owner."""

    async def main() -> None:
        life = await Life(Outside(), ONE).start()
        asked = ask(life)
        await turns()
        life.node.assigned(set(), 2)
        with pytest.raises(NotTheOwner):
            await asked
        with pytest.raises(NotTheOwner):
            await ask(life)

    run(main())
