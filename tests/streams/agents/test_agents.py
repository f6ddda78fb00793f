"""The agents of the roles: batches of their topics reach their node, and so do assignments."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streams.agents.history import build_history
from streams.agents.matching import build_matching
from streams.app import GroupSettings
from streams.kafka.admin import KafkaAdmin
from streams.kafka.creation import prepare_topics
from streams.kafka.producer import Producers
from streams.log.ports import CommandBatch
from tests.support.waiting import until
from topology.topics import PartitionCounts


class Node:
    """A node of either role that keeps what it is told."""

    def __init__(self) -> None:
        self.taken: set[tuple[str, int, bytes | None]] = set()
        self.ends: dict[tuple[str, int], int] = {}
        self.assignments: list[tuple[Any, ...]] = []

    def wants(self, _topic: str, _partition: int) -> bool:
        """Want everything."""
        return True

    def position(self, topic: str, partition: int) -> int:
        """Begin at the beginning."""
        return self.ends.get((topic, partition), 0)

    def submit(self, batch: CommandBatch) -> None:
        """Keep a batch."""
        self.ends[batch.topic, batch.partition] = batch.end
        self.taken |= {(batch.topic, batch.partition, record.value) for record in batch.records}

    def assigned(self, *told: Any) -> None:
        """Keep an assignment."""
        self.assignments.append(told)


async def test_both_roles_of_a_node(
    admin: KafkaAdmin, address: str, name: str, tmp_path: Path
) -> None:
    """One process, one loop, two groups; both command topics in one, `tasks` in the other."""
    await prepare_topics(admin, PartitionCounts(history=2, matching=2), replication=1)
    producers = Producers(address)
    crashes: list[BaseException] = []
    history, matching = Node(), Node()
    apps = [
        build_history(
            GroupSettings(address, tmp_path / "history", 2, group_prefix=name),
            history,
            on_crash=crashes.append,
        ),
        build_matching(
            GroupSettings(address, tmp_path / "matching", 2, group_prefix=name),
            matching,
            on_crash=crashes.append,
        ),
    ]
    for app in apps:
        app.watch(admin.stable_end)
    await asyncio.gather(producers.start(), *(app.start() for app in apps))
    value = name.encode()
    await producers.commands_internal.append(1, [(b"k", value)])
    await producers.tasks.append(0, [(b"k", value)])
    await until("the command", lambda: ("commands-internal", 1, value) in history.taken)
    await until("the task", lambda: ("tasks", 0, value) in matching.taken)
    assert [told[:-1] for told in history.assignments] == [({0, 1}, set())]
    assert [told[:-1] for told in matching.assignments] == [({0, 1},)]
    assert {topic for topic, _, _ in matching.taken} == {"tasks"}
    await asyncio.gather(*(app.stop() for app in reversed(apps)))
    await producers.stop()
    assert crashes == []


@pytest.mark.parametrize("build", [build_history, build_matching])
async def test_an_app_that_never_started_stops(build: Any, tmp_path: Path) -> None:
    """A process that failed early still ends cleanly."""
    app = build(GroupSettings("127.0.0.1:1", tmp_path, 2), Node(), on_crash=lambda _: None)
    await app.stop()
