"""Old deletions are forgotten, young ones are kept."""

from pathlib import Path

from schemas.instants import DAY, HOUR
from search.document import Document
from search.query.expressions import Query
from search.sqlite import SqliteStore
from search.store import Batch, Deletion
from streams.visibility.forgetting import Forgetting
from tests.streams.frontend.stubs import StubClock

LATE = Document("ns", "w", "run", 1, "T", 1, 1, 1)


async def test_a_deletion_is_forgotten_after_a_day(tmp_path: Path) -> None:
    """Until then a late write does not bring the run back."""
    now = [10 * DAY]
    clock = StubClock()
    clock.now = lambda: now[0]  # type: ignore[method-assign]  # it is set here
    store = SqliteStore(tmp_path, clock=clock.now)
    store.write(Batch(deletions=[Deletion("ns", "run", 9)]), store.position().generation)
    for age, count in ((DAY - HOUR, 0), (DAY + HOUR, 1)):
        now[0] = 10 * DAY + age
        await Forgetting(store, clock).forget()
        store.write(Batch([LATE]), store.position().generation)
        assert store.count("ns", Query()) == count
    store.close()
