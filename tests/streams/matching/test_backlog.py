"""100,000 tasks wait: memory stays flat, order and count hold, over restarts too."""

import asyncio
import gc
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
TAKEN = 10_000
TRACED = 2_000
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
    """Return the resident size of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def object_count() -> int:
    """Return how many containers live."""
    gc.collect()
    return len(gc.get_objects())


def hint(answer: bytes) -> int:
    """Return how many tasks wait, as an answer says."""
    return service.PollWorkflowTaskQueueResponse.FromString(answer).backlog_count_hint


@pytest.mark.slow
def test_m1_a_backlog_of_100_000_tasks_costs_no_memory(tmp_path: Path) -> None:
    """Restarts while it grows and while it shrinks; tasks go out once, in order."""
    outside = Outside()
    log, history = LongLog(), EagerHistory()
    outside.log, outside.history = log, history

    async def live() -> Life:
        life = Life(outside, ONE, stores=RocksStores(tmp_path).open)
        await life.start()
        await _fold(life)
        return life

    async def main() -> None:
        before_bytes, before_count = rss_bytes(), object_count()
        log.limit = COUNT * 6 // 10
        await (await live()).node.stop()
        log.limit = COUNT
        first = await live()
        assert object_count() - before_count < 20_000
        assert hint(await _take(first, TAKEN, "a")) == COUNT - TAKEN
        await turns()
        await first.node.stop()
        tracemalloc.start()
        second = await live()
        assert hint(await _take(second, TRACED, "b")) == COUNT - TAKEN - TRACED
        assert tracemalloc.get_traced_memory()[1] < 8 * MEBIBYTE
        await turns()
        assert rss_bytes() - before_bytes < 256 * MEBIBYTE
        await second.node.stop()
        assert (history.count, history.order_is_kept) == (TAKEN + TRACED, True)

    try:
        run(main())
    finally:
        tracemalloc.stop()
