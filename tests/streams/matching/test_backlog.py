"""100,000 tasks wait: memory stays flat, order and count hold, over restarts too."""

import asyncio
import resource
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from schemas.temporal import service
from streams.log.ports import Record
from streams.matching.settings import MatchingSettings
from streams.tables import RocksStores
from tests.streams.matching.world import History, Life, Log, Outside, offer_of, run, task_id, turns
from topology.matching.tasks import offered, value_of

ONE = MatchingSettings(partitions=1)
COUNT = 100_000
MEBIBYTE = 1 << 20


class LongLog(Log):
    """A log whose first records are made as they are read; tombstones follow."""

    def __init__(self) -> None:
        super().__init__()
        self.ends[0] = COUNT
        self.limit = COUNT

    def read(self, partition: int, start: int, limit: int) -> Sequence[Record]:
        """Return records from an offset on."""
        if start >= COUNT:
            return self.records.get(partition, [])[start - COUNT :][:limit]
        return [_record(at) for at in range(start, min(start + limit, self.limit))]


class EagerHistory(History):
    """Starts whatever it is asked for, once, and remembers only how many and which was last."""

    def __init__(self) -> None:
        super().__init__()
        self.order_is_kept = True
        self.count = 0

    def _start(self, named: tuple[str, int, int, int], poll_id: str) -> bytes:
        assert poll_id
        self.order_is_kept &= named == task_id(offer_of(self.count))
        self.count += 1
        return b""


def _record(number: int) -> Record:
    task = offered(0, offer_of(number))
    return Record(number, task.key, value_of(task), 0)


async def _fold(life: Life) -> None:
    """Wait until all that may be read is folded."""
    log = life.outside.log
    assert isinstance(log, LongLog)
    end = log.limit if log.limit < COUNT else log.ends[0]
    while life.node._served[0]._position < end:  # noqa: ASYNC110  time is virtual
        await asyncio.sleep(0.01)


async def _take(life: Life, count: int, name: str) -> bytes:
    """Poll one after another; return the last answer."""
    answer = b""
    for number in range(count):
        answer = await life.poll(f"{name}-{number}")
    return answer


def rss_bytes() -> int:
    """Return the largest resident size so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def hint(answer: bytes) -> int:
    """Return how many tasks wait, as an answer says."""
    return service.PollWorkflowTaskQueueResponse.FromString(answer).backlog_count_hint


@pytest.mark.slow
@pytest.mark.parametrize("is_traced", [True, False])
def test_m1_a_backlog_of_100_000_tasks_costs_no_memory(tmp_path: Path, *, is_traced: bool) -> None:
    """Restarts while it grows and while it shrinks; every task goes out once, in order."""
    count = 6_000 if is_traced else COUNT

    async def main() -> None:
        outside = Outside()
        log, history = LongLog(), EagerHistory()
        outside.log, outside.history = log, history
        log.limit = COUNT * 6 // 10
        await live_through_growth(outside)
        log.limit = COUNT
        first = Life(outside, ONE, stores=RocksStores(tmp_path).open)
        await first.start()
        await _fold(first)
        assert hint(await _take(first, count // 2, "a")) == COUNT - count // 2
        await turns()
        await first.node.stop()
        second = Life(outside, ONE, stores=RocksStores(tmp_path).open)
        await second.start()
        await _fold(second)
        assert hint(await _take(second, count // 2, "b")) == COUNT - count
        await turns()
        if count == COUNT:
            assert not list(second.node._served[0].store.scan(b"t"))
        await second.node.stop()
        assert (history.count, history.order_is_kept) == (count, True)

    async def live_through_growth(outside: Outside) -> None:
        life = Life(outside, ONE, stores=RocksStores(tmp_path).open)
        life.pump()
        await life.start()
        await _fold(life)
        await life.node.stop()

    before_bytes = rss_bytes()
    if is_traced:
        tracemalloc.start()
    try:
        run(main())
        if is_traced:
            assert tracemalloc.get_traced_memory()[1] < 24 * MEBIBYTE
    finally:
        tracemalloc.stop()
    assert rss_bytes() - before_bytes < 256 * MEBIBYTE
