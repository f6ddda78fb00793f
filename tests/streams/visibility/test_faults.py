"""The agent before an Elasticsearch that is slow, busy, cut off or down: it catches up."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from search.elastic import ElasticStore
from search.sqlite import SqliteStore
from search.store import Store
from streams.log.ports import CommandBatch
from streams.visibility import node as agent
from streams.visibility.node import VisibilityNode
from tests.search.conftest import elastic_settings
from tests.streams.visibility.log_of import OneLog, records_of
from tests.streams.visibility.test_node import desk, follow, listed
from tests.support.core import Desk
from tests.support.elastic_faults import Faults, standing_before

__all__ = ["desk"]

pytestmark = pytest.mark.real


@pytest.fixture
def faults(elastic_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A stand-in before the cluster, for an agent that does not wait long."""
    monkeypatch.setattr(agent, "_RETRY_MIN_S", 0.01)
    monkeypatch.setattr(agent, "_RETRY_MAX_S", 0.05)
    with standing_before(elastic_url) as server:
        yield server


@pytest.fixture
def store(faults: Faults) -> Iterator[ElasticStore]:
    """A store behind it, of little patience of its own."""
    settings = msgspec.structs.replace(elastic_settings(faults.url), write_timeout_s=0.05)
    made = ElasticStore(settings)
    yield made
    faults.is_down = False
    made.close()


async def expected(desk: Desk, tmp_path: Path) -> dict[str, object]:
    """Return what the fold of the log comes to."""
    plain = SqliteStore(tmp_path / "expected")
    await follow(plain, records_of(desk), size=100)
    found: dict[str, object] = dict(listed(plain))
    plain.close()
    return found


def in_cluster(store: Store) -> dict[str, object]:
    """Return all runs that lists show."""
    store.refresh()
    return dict(listed(store))


@pytest.mark.parametrize(
    "answers",
    [[429] * 7, [503, 429, 500, 503], [0] * 5, [-1] * 4, [-1, 429, 0, -1, 503, 0, -1, 429]],
    ids=["busy", "failing", "reset", "reset after it was done", "all of it"],
)
async def test_v1_nothing_is_lost_and_nothing_doubled(
    desk: Desk, tmp_path: Path, faults: Faults, store: ElasticStore, answers: list[int]
) -> None:
    """Whatever a bulk meets, the index comes to the fold of the log."""
    node = store.position().generation
    assert node
    faults.answers = list(answers)
    await follow(store, records_of(desk), size=2)
    assert faults.answers == []
    assert await expected(desk, tmp_path) == in_cluster(store)


async def test_v1_latency_makes_writes_fewer_and_loses_none(
    desk: Desk, tmp_path: Path, faults: Faults, store: ElasticStore
) -> None:
    """What comes while a write is on its way goes into the next one."""
    assert store.position().generation
    faults.latency_s = 0.2
    await follow(store, records_of(desk), size=100)
    faults.latency_s = 0
    assert await expected(desk, tmp_path) == in_cluster(store)


async def test_v1_a_cluster_that_is_down_is_waited_for(
    desk: Desk, tmp_path: Path, faults: Faults, store: ElasticStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may wait is bounded, and its age is known; when the cluster is back all of it is in."""
    monkeypatch.setattr(agent, "_BACKLOG_MAX", 4)
    records = records_of(desk)
    node = VisibilityNode(store, OneLog(records))
    await node.start()
    node.assigned({0}, 1)
    faults.is_down = True
    at = 0
    async with asyncio.timeout(30):
        while node.wants("events", 0):
            node.submit(CommandBatch("events", 0, at, records[at : at + 1]))
            at += 1
            await asyncio.sleep(0)
    assert at < len(records)
    assert node.oldest_at() is not None
    faults.is_down = False
    async with asyncio.timeout(30):
        while at < len(records):
            await node.caught_up()
            node.submit(CommandBatch("events", 0, at, records[at : at + 1]))
            at += 1
        await node.caught_up()
    assert node.oldest_at() is None
    await node.stop()
    assert await expected(desk, tmp_path) == in_cluster(store)
