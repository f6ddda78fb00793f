"""What search stores cost: pages and counts out of many runs, and what filling them costs us.

A page of 100 runs in the default order, by type, by a custom keyword and 500 pages deep; a count by
status. Runs start and close; one in a hundred stays open. `python -m tests.bench.search` prints it.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator

from search.attributes import Attribute, ValueType
from search.document import Document
from search.query.expressions import Query
from search.query.resolve import Names, list_query, resolve
from search.store import Batch, Cursor, Store

NAMESPACE = str(uuid.UUID(int=1))
NAMES = Names({"Customer": ValueType.KEYWORD, "Amount": ValueType.INT})
STARTED = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
PAGE = 100
DEEP = 500
BATCH = 2_000
ROUNDS = 21
WARM_ROUNDS = 10
LISTS = {
    "list, default order": "",
    "list, by type": "WorkflowType = 'Type3'",
    "list, by type and status": "WorkflowType = 'Type3' AND ExecutionStatus = 'Failed'",
    "list, by custom keyword": "Customer = 'c7'",
    "list, by workflow id prefix": "WorkflowId STARTS_WITH 'order-12'",
    "list, by start time": "StartTime BETWEEN '2023-11-14T22:20:00Z' AND '2023-11-14T22:40:00Z'",
    "list, by number range": "Amount < 50000",
    "list, ORDER BY StartTime DESC": "ORDER BY StartTime DESC",
}
MUST_MS = 20.0
MUST_GROUP_MS = 150.0


def documents(number: int) -> tuple[Document, Document]:
    """Return a run as it starts and as it closes."""
    chance = random.Random(number)
    started_at = STARTED + number * SECOND
    run_id = str(uuid.UUID(int=number + 1))
    workflow_id = f"order-{number}"
    attributes = {
        "Customer": Attribute(ValueType.KEYWORD, (f"c{number % 5_000}",)),
        "Amount": Attribute(ValueType.INT, (number % 100_000,)),
    }

    def state(version: int, status: int, closed_at: int | None) -> Document:
        return Document(
            NAMESPACE,
            workflow_id,
            run_id,
            version,
            f"Type{number % 20}",
            status,
            started_at,
            started_at,
            closed_at,
            task_queue="orders",
            root_workflow_id=workflow_id,
            root_run_id=run_id,
            history_length=None if closed_at is None else 11,
            memo=b"m" * 50,
            attributes=attributes,
        )

    status = chance.choice([2, 2, 2, 2, 2, 2, 3, 5, 7])
    return state(1, 1, None), state(2, status, started_at + chance.randrange(1_000 * SECOND))


def fill(store: Store, runs: int) -> None:
    """Write runs as they start and close; one in a hundred stays open."""
    generation = store.position().generation
    for first in range(0, runs, BATCH):
        made = [documents(number) for number in range(first, min(runs, first + BATCH))]
        closed = [close for number, (_, close) in enumerate(made) if number % 100]
        store.write(Batch([start for start, _ in made], cursors={0: Cursor(first)}), generation)
        store.write(Batch(closed, cursors={0: Cursor(first)}), generation)
    store.refresh()


def median_ms(work: Callable[[], object]) -> float:
    """Return the median time of some rounds, once the store is warm."""
    taken = []
    for _ in range(WARM_ROUNDS):
        work()
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[ROUNDS // 2] * 1_000


def rows(store: Store) -> Iterator[tuple[str, float, float]]:
    """Yield what was measured: what, ms, and what it must be."""
    for what, text in LISTS.items():
        query = list_query(text, NAMES)
        yield what, median_ms(lambda query=query: store.list(NAMESPACE, query, PAGE)), MUST_MS
    everything = list_query("", NAMES)
    token = _deep_token(store, everything)
    deep = median_ms(lambda: store.list(NAMESPACE, everything, PAGE, token))
    yield f"list, default order, page {DEEP}", deep, MUST_MS
    by_status = resolve("GROUP BY ExecutionStatus", NAMES)
    grouped = median_ms(lambda: store.count_groups(NAMESPACE, by_status))
    yield "count, GROUP BY ExecutionStatus", grouped, MUST_GROUP_MS


def _deep_token(store: Store, query: Query) -> bytes:
    token = b""
    for _ in range(DEEP - 1):
        page = store.list(NAMESPACE, query, PAGE, token)
        if not page.token:
            break
        token = page.token
    return token
