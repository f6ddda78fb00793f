"""Workers' own queues (M3): alive, dead, dropped; and workers that stop."""

import asyncio
from typing import NamedTuple

from msgspec.structs import replace

from schemas.errors import Stale
from streams.matching.queries import Handed
from streams.matching.settings import MatchingSettings
from tests.streams.matching.world import (
    NAMESPACE,
    NOT_THE_OWNER,
    History,
    Life,
    Outside,
    TaskId,
    answer_to,
    offer_of,
    run,
    started,
    task_id,
    turns,
)
from topology.decision import Ask
from topology.effects import OfferTask, TaskKind
from topology.matching.tasks import QueryTask, Worker, WorkerEnd, offered, value_of
from topology.own_work import StickyDead

ONE = MatchingSettings(partitions=1)


class StickyHistory(History):
    """Hears of dead sticky queues."""

    def __init__(self) -> None:
        super().__init__()
        self.moved: list[TaskId] = []

    def decide(self, ask: Ask) -> bytes:
        """Move a task to the normal queue, if it waits."""
        if not isinstance(ask.request, StickyDead):
            return super().decide(ask)
        given = ask.request
        named = (given.run_id, given.scheduled_event_id, given.attempt, given.stamp)
        assert (ask.workflow_id, ask.namespace.name) == ("workflow-1", NAMESPACE.name)
        if named not in self.waiting:
            raise Stale("started, or gone")
        self.waiting.discard(named)
        self.moved.append(named)
        return b""


def sticky(number: int = 1) -> OfferTask:
    """Return a task for a worker's own queue."""
    return replace(offer_of(number, queue="sticky"), is_sticky=True, normal_queue="q")


class Scene(NamedTuple):
    """A life, and the history it asks."""

    life: Life
    history: StickyHistory


async def begin(outside: Outside | None = None) -> Scene:
    """Start a life with a history that knows sticky queues."""
    outside = outside or Outside()
    history = outside.history = StickyHistory()
    return Scene(await Life(outside, ONE).start(), history)


def end(queue: str = "q", kind: TaskKind = "workflow", worker: str = "") -> WorkerEnd:
    """Return the end of a worker."""
    return WorkerEnd(NAMESPACE.id, queue, kind, worker=worker, is_sticky=not worker)


def test_m3_an_offer_to_a_queue_that_nobody_ever_polled_is_told_to_history() -> None:
    """At once, and nothing is written."""

    async def main() -> None:
        life, history = await begin()
        await life.offer(sticky())
        assert history.moved == [task_id(sticky())]
        assert life.outside.log.values() == 0
        assert life.node.counts.left_sticky == 1

    run(main())


def test_m3_a_poller_that_was_there_lately_is_waited_for() -> None:
    """Its last poll ended: ten seconds later nobody expects it any more."""

    async def main() -> None:
        life, history = await begin()
        assert await life.poll("p1", queue="sticky", timeout_s=30) == b""
        await asyncio.sleep(9)
        await life.offer(sticky())
        assert history.moved == []
        assert await life.poll("p2", queue="sticky") == answer_to(sticky())
        await turns()
        await asyncio.sleep(11)
        again = replace(sticky(), stamp=1)
        await life.offer(again)
        assert history.moved == [task_id(again)]

    run(main())


def test_m3_a_poll_that_waits_gets_the_task() -> None:
    """However long it has waited."""

    async def main() -> None:
        life, history = await begin()
        poll = life.poll("p1", queue="sticky", timeout_s=50)
        await asyncio.sleep(40)
        await life.offer(sticky())
        assert started(await poll) == answer_to(sticky())
        assert history.moved == []

    run(main())


def test_m3_after_a_takeover_the_ten_seconds_begin_anew() -> None:
    """The new owner cannot know who polled before; only the first owner ever can."""

    async def main() -> None:
        outside = Outside()
        (await begin(outside)).life.is_dead = True
        life, history = await begin(outside)
        await life.offer(sticky())
        assert (history.moved, outside.log.values()) == ([], 1)
        assert await life.poll("p1", queue="sticky") == answer_to(sticky())
        await asyncio.sleep(10)
        again = replace(sticky(), stamp=1, queue="other")
        await life.offer(again)
        assert history.moved == [task_id(again)]

    run(main())


def test_m3_a_task_whose_history_cannot_be_told_waits_on_the_log() -> None:
    """Its own timeout decides then."""

    async def main() -> None:
        life, history = await begin()
        life.faults = [NOT_THE_OWNER]
        life.is_reading = False
        await life.offer(sticky())
        assert (history.moved, life.outside.log.values()) == ([], 1)

    run(main())


def test_m3_a_sticky_task_that_another_node_appended_is_looked_at_when_it_is_read() -> None:
    """That node could not know who polls; once moved, its record is removed."""

    async def main() -> None:
        life, history = await begin()
        task = offered(0, sticky())
        history.schedule(sticky())
        life.outside.log.append(0, [(task.key, value_of(task))])
        life.pump()
        await turns()
        assert history.moved == [task_id(sticky())]
        assert life.outside.stored() == []

    run(main())


def test_m3_a_worker_that_stops_gives_its_queue_up_at_once() -> None:
    """Its polls end empty, tasks and queries that wait there go elsewhere, later ones too."""

    async def main() -> None:
        life, history = await begin()
        waiting = life.poll("p1", queue="sticky", timeout_s=50)
        await turns()
        life.node.end_worker(end("sticky"))
        assert await waiting == b""
        await life.offer(sticky())
        assert history.moved == [task_id(sticky())]

    run(main())


def test_m3_tasks_and_queries_that_wait_in_a_queue_that_is_given_up_leave_it() -> None:
    """Those offered while the worker was busy."""

    async def main() -> None:
        life, history = await begin()
        await life.poll("p1", queue="sticky", timeout_s=2)
        offer = life.offer(sticky())
        asked = asyncio.ensure_future(
            life.node.query(
                NAMESPACE.id, "sticky", QueryTask("1", b"?", is_sticky=True), timeout_s=5
            )
        )
        await turns()
        life.node.end_worker(end("sticky"))
        assert await asked is Handed.NOT_POLLED
        await offer
        await turns()
        assert history.moved == [task_id(sticky())]
        assert life.outside.stored() == []

    run(main())


def test_polls_of_a_worker_that_stops_are_answered_empty_late_ones_too() -> None:
    """Those of another worker of the same process wait on."""

    async def main() -> None:
        life, _ = await begin()
        poll = {
            name: asyncio.create_task(
                life.node.poll(
                    NAMESPACE,
                    "q",
                    "workflow",
                    poll_id=f"poll-{name}",
                    identity="process",
                    timeout_s=50,
                    worker=Worker(name),
                )
            )
            for name in ("one", "two")
        }
        await turns()
        life.node.end_worker(end(worker="one"))
        assert await poll["one"] == b""
        late = await life.node.poll(
            NAMESPACE,
            "q",
            "workflow",
            poll_id="late",
            identity="process",
            timeout_s=50,
            worker=Worker("one"),
        )
        assert late == b""
        await life.offer(offer_of(1))
        assert await poll["two"] == answer_to(offer_of(1))

    run(main())
