"""What indexing costs us: CPU from records of the log to a store, a run that starts and closes."""

import asyncio
import time

from search.query.resolve import Names, resolve
from search.store import Store
from streams.log.ports import CommandBatch
from streams.visibility.node import VisibilityNode
from tests.streams.visibility.log_of import OneLog, records_of
from tests.support.core import NAMESPACE, Desk
from tests.support.core_words import complete

RUNS = 2_000
POLL = 100  # records that one poll brings


def indexing_cpu_ms(store: Store) -> float:
    """Return our CPU, all threads, ms a run."""
    desk = Desk()
    for number in range(RUNS):
        desk.start(f"w{number}", queue="q")
        desk.step(complete(), queue="q")
    claim, *rest = records_of(desk)
    own = [claim, *rest[::2]]  # the others are a zombie's
    records = [each._replace(offset=at) for at, each in enumerate(own)]

    async def follow() -> float:
        node = VisibilityNode(store, OneLog(records))
        await node.start()
        node.assigned({0}, 1)
        begun = time.process_time()
        for at in range(0, len(records), POLL):
            node.submit(CommandBatch("events", 0, at, records[at : at + POLL]))
            await node.caught_up()
        taken = time.process_time() - begun
        await node.stop()
        return taken

    taken = asyncio.run(follow())
    store.refresh()
    closed = resolve("ExecutionStatus = 'Completed'", Names())
    assert store.count(NAMESPACE.id, closed) == RUNS
    return taken / RUNS * 1_000
