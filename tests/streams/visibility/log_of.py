"""A log of one partition made from what happened at a core's desk, zombies included."""

import asyncio
from collections.abc import Sequence
from functools import partial

from schemas.errors import Unavailable
from search.store import Batch, Store
from streams.log.ports import Record
from streams.log.records import Claim, Written, encode_claim, encode_transition
from tests.support.core import Desk
from topology.decision import Change

CLAIMED = (1, b"11111111")
ZOMBIE = (1, b"22222222")


def records_of(desk: Desk) -> list[Record]:
    """Return a claim and a transition for each decision; after each one, a zombie's twin."""
    records = [_record(0, _claim())]
    for at, (decided_at, changes) in enumerate(desk.log):
        for incarnation in (CLAIMED, ZOMBIE):
            written = _transition(at + 2, decided_at, changes, incarnation)
            records.append(_record(len(records), written))
    return records


class OneLog:
    """Admin of a topic with one partition, of which these are the records."""

    def __init__(self, records: Sequence[Record], topic_id: str = "topic") -> None:
        self.records = records
        self.id = topic_id

    async def topic_id(self, _topic: str) -> str:
        """Its id."""
        return self.id

    async def start(self, _topic: str, _partition: int) -> int:
        """Nothing was trimmed."""
        return 0

    async def end(self, _topic: str, _partition: int) -> int:
        """The next record's offset."""
        return len(self.records)

    async def stable_end(self, topic: str, partition: int) -> int:
        """Everything is stable."""
        return await self.end(topic, partition)

    async def record_at(self, _topic: str, _partition: int, offset: int) -> Record | None:
        """The record at an offset."""
        return self.records[offset] if offset < len(self.records) else None

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Nobody trims here."""
        raise AssertionError(f"expected no trimming, found {topic}-{partition}@{offset}")


class Failing:
    """A store whose k-th write fails, before or after it took effect."""

    def __init__(self, store: Store, at: int, *, is_done: bool) -> None:
        loop = asyncio.get_running_loop()
        self.died = loop.create_future()
        self._die = partial(loop.call_soon_threadsafe, self._note)
        self._store = store
        self._left = at
        self._is_done = is_done

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def _note(self) -> None:
        if not self.died.done():
            self.died.set_result(None)

    def write(self, batch: Batch, generation: str) -> None:
        """Write, or die in the middle of it."""
        self._left -= 1
        if self._left:
            self._store.write(batch, generation)
            return
        if self._is_done:
            self._store.write(batch, generation)
        self._die()
        raise Unavailable("the process was killed here")


def _record(offset: int, value: bytes) -> Record:
    return Record(offset, b"key", value, 0)


def _claim() -> bytes:
    epoch, incarnation = CLAIMED
    return encode_claim(
        Claim(
            epoch=epoch,
            incarnation=incarnation,
            seq=1,
            generation=1,
            partitions=1,
            command_ends={},
            sources={},
            node="n",
            address="a",
            claimed_at=0,
        )
    )


def _transition(
    seq: int, decided_at: int, changes: list[Change], claim: tuple[int, bytes]
) -> bytes:
    return encode_transition(*claim, Written(seq, {}, 0, decided_at, changes, [], []))
