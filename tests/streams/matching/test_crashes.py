"""A process that dies at its k-th touch of the outside, for every k (M1)."""

import asyncio

import pytest

from streams.matching.settings import MatchingSettings
from tests.streams.matching.world import Life, Outside, TaskId, offer_of, run, task_id, turns
from topology.effects import OfferTask

HOLDING = MatchingSettings(partitions=1)
WRITING = MatchingSettings(partitions=1, held_limit=0)
BEFORE = 4
"""Offers that no poll waits for."""
AFTER = 4
"""Offers that polls wait for."""
CROWD = 3


class Story:
    """What is offered, and what workers got, over several lives."""

    def __init__(self, settings: MatchingSettings) -> None:
        self.outside = Outside()
        self._settings = settings
        self.offers = [offer_of(number) for number in range(BEFORE + AFTER)]
        self.performed: set[TaskId] = set()
        self.answers: list[bytes] = []
        self.life_count = 0
        for offer in self.offers:
            self.outside.history.schedule(offer)

    async def live(self, crash_at: int) -> int:
        """Live until all is quiet, or until the crash; return how often the outside was touched."""
        self.life_count += 1
        self.outside.claims.listeners.clear()
        life = Life(self.outside, self._settings, crash_at=crash_at)
        story = asyncio.create_task(self._act(life))
        crash = asyncio.create_task(life.crashed.wait())
        await asyncio.wait({story, crash}, return_when=asyncio.FIRST_COMPLETED)
        life.is_dead = True
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await turns()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await turns()
        return life.points

    async def _act(self, life: Life) -> None:
        """Offer some tasks, poll, have one poll cancelled, offer the rest."""
        await life.start()
        first, rest = self.offers[:BEFORE], self.offers[BEFORE:]
        await asyncio.gather(*(self._offer(life, each) for each in first))
        workers = [asyncio.create_task(self._work(life, number)) for number in range(CROWD)]
        await turns(3)
        workers.pop().cancel()
        await asyncio.gather(*(self._offer(life, each) for each in rest))
        await asyncio.gather(*workers)
        await asyncio.sleep(100)

    async def _offer(self, life: Life, offer: OfferTask) -> None:
        """Perform an offer, as the outbox does: again in each life until it is done."""
        if task_id(offer) not in self.performed:
            await life.node.offer(0, offer)
            if not life.is_dead:
                self.performed.add(task_id(offer))

    async def _work(self, life: Life, number: int) -> None:
        """Poll until there is nothing."""
        for count in range(20):
            answer = await life.poll(f"{self.life_count}-{number}-{count}", timeout_s=5.0)
            if life.is_dead or not answer:
                return
            self.answers.append(answer)


def touches(settings: MatchingSettings) -> int:
    """Return how often a life without a crash touches the outside."""

    async def main() -> int:
        return await Story(settings).live(0)

    return run(main())


CASES = [
    pytest.param(settings, first, id=f"{name}-{first}")
    for name, settings in (("holding", HOLDING), ("writing", WRITING))
    for first in range(1, touches(settings) + 1)
]


@pytest.mark.parametrize(("settings", "first"), CASES)
def test_m1_a_crash_anywhere_loses_nothing_and_starts_nothing_twice(
    settings: MatchingSettings, first: int
) -> None:
    """Die at one point, and again at the same one in the next life; the third life finds all."""

    async def main() -> None:
        story = Story(settings)
        await story.live(first)
        await story.live(first)
        await story.live(0)
        await story.live(0)
        expected = sorted(task_id(offer) for offer in story.offers)
        assert sorted(story.outside.history.starts) == expected
        assert story.performed == set(expected)
        assert story.outside.stored() == []
        assert len(story.answers) <= len(expected)
        assert len(set(story.answers)) == len(story.answers)

    run(main())


@pytest.mark.parametrize("settings", [HOLDING, WRITING])
def test_m1_without_a_crash_every_task_reaches_a_worker_or_is_handed_back(
    settings: MatchingSettings,
) -> None:
    """Each start has one answer or one handing back."""

    async def main() -> None:
        story = Story(settings)
        await story.live(0)
        history = story.outside.history
        assert (
            len(story.answers) + len(history.handed_back) == len(history.starts) == BEFORE + AFTER
        )

    run(main())
