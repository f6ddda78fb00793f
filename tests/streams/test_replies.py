"""Replies to Kafka clients are tried twice and never waited for (L17)."""

import asyncio
from collections.abc import Sequence

import pytest

from schemas.errors import Unavailable
from streams.log.clients import Outgoing
from streams.log.ports import Appended
from streams.metrics import Metrics
from streams.replies import UNDERWAY_MAX, Replies

KeyValue = tuple[bytes | None, bytes | None]


class Topic:
    """A topic that fails as often as it is told."""

    def __init__(self) -> None:
        self.appends: list[list[KeyValue]] = []
        self.partitions: set[int] = set()
        self.failures: list[set[int] | Exception] = []
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def append(self, partition: int, records: Sequence[KeyValue]) -> list[Appended]:
        """Append, or fail."""
        await self.is_open.wait()
        self.partitions.add(partition)
        self.appends.append(list(records))
        failure = self.failures.pop(0) if self.failures else set()
        if isinstance(failure, Exception):
            raise failure
        return [Appended(-1 if n in failure else n, 0) for n in range(len(records))]


def _reply(number: int) -> Outgoing:
    return Outgoing("replies", b"key", str(number).encode())


def _values(topic: Topic) -> list[list[bytes | None]]:
    return [[value for _, value in records] for records in topic.appends]


def _made() -> tuple[Replies, Topic, Metrics]:
    topic, metrics = Topic(), Metrics()
    return Replies(lambda _: topic, metrics), topic, metrics


async def test_l17_replies_of_one_turn_go_out_together() -> None:
    """Their partition is the partitioner's choice."""
    replies, topic, _ = _made()
    for number in range(3):
        replies.send(_reply(number))
    await replies.finish(timeout_s=5)
    assert _values(topic) == [[b"0", b"1", b"2"]]
    assert topic.partitions == {-1}


@pytest.mark.parametrize("failure", [{0, 1}, Unavailable("no broker")])
async def test_l17_what_fails_is_tried_once_more(failure: set[int] | Exception) -> None:
    """And then it is there."""
    replies, topic, _ = _made()
    topic.failures = [failure]
    replies.send(_reply(0))
    replies.send(_reply(1))
    await replies.finish(timeout_s=5)
    assert _values(topic) == [[b"0", b"1"], [b"0", b"1"]]


async def test_l17_what_fails_twice_is_given_up() -> None:
    """Only what failed was tried again."""
    replies, topic, _ = _made()
    topic.failures = [{1}, {0}, set()]
    replies.send(_reply(0))
    replies.send(_reply(1))
    await replies.finish(timeout_s=5)
    assert _values(topic) == [[b"0", b"1"], [b"1"]]


async def test_l17_a_topic_that_takes_nothing_costs_a_bounded_memory() -> None:
    """What comes beyond is given up at once; others go on."""
    replies, topic, _ = _made()
    topic.is_open.clear()
    for number in range(UNDERWAY_MAX + 10):
        replies.send(_reply(number))
    topic.is_open.set()
    await replies.finish(timeout_s=5)
    assert sum(len(records) for records in topic.appends) == UNDERWAY_MAX
    replies.send(_reply(0))
    await replies.finish(timeout_s=5)
    assert len(topic.appends) == 2
