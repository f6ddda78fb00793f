"""What the log engine needs from outside: log, store, group, clock. Protocols only.

Production implements them on Kafka and RocksDB (`streams/kafka/`, `streams/tables.py`), the
simulation with stand-ins under one seed (`tests/simulation/world.py`). The engine itself runs
unchanged on both.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """A record as read from a topic."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int  # ms since 1970, as the topic's timestamp type says


class CommandBatch(NamedTuple):
    """What one poll returned of one command partition (L10).

    Everything in [start, first record) does not exist, nor does what lies behind the last record
    and before `end`, where the reader knows it (control records); a batch without records may
    say just that.
    """

    topic: str
    partition: int
    start: int
    records: Sequence[Record]
    end: int = -1  # the position after the poll; -1: not known


class Appended(NamedTuple):
    """The acknowledgement of one record; offset -1: it failed."""

    offset: int
    appended_at: int  # ns since 1970 by the log's clock; 0: unknown


class Store(Protocol):
    """The rows of one partition on disk."""

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        ...

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys have a prefix, ascending, from `start` on."""
        ...

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write rows atomically; None deletes."""
        ...

    def delete_prefix(self, prefix: bytes) -> None:
        """Delete all rows whose keys have a prefix, by one mark."""
        ...

    def discard(self) -> None:
        """Empty the store (L6)."""
        ...

    def close(self) -> None:
        """Close it; idempotent."""
        ...


class Producer(Protocol):
    """Appends records to one topic; one idempotent producer behind it."""

    async def append(
        self, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> list[Appended]:
        """Append records in order; return their acknowledgements in order, failures included.

        The records are handed over before the first suspension, so calls keep their order.
        """
        ...


class Admin(Protocol):
    """Questions about topics, and trimming."""

    async def end(self, topic: str, partition: int) -> int:
        """Return the end offset (the next record's)."""
        ...

    async def stable_end(self, topic: str, partition: int) -> int:
        """Return the last stable offset: the end of what read-committed readers get."""
        ...

    async def start(self, topic: str, partition: int) -> int:
        """Return the offset of the oldest record that is still there."""
        ...

    async def topic_id(self, topic: str) -> str:
        """Return the id of the topic; another one: it was deleted and made anew."""
        ...

    async def record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        """Return the record at an offset, or None where there is none (any more)."""
        ...

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Trim a partition below an offset."""
        ...


class Sink(Protocol):
    """Who folds what a reader reads; called in the reader's thread."""

    def fold(self, records: Sequence[Record]) -> bool:
        """Fold records in order; False: this reader no longer follows the partition."""
        ...

    def out_of_range(self) -> None:
        """Take note that the log does not reach to the position asked for (L6)."""
        ...


class Readers(Protocol):
    """The two consumers that read `events` for folding: one near the ends, one far behind."""

    def follow(self, partition: int, position: int, sink: Sink, *, far: bool) -> None:
        """Read a partition from a position on and give it to the sink; replaces a former one."""
        ...

    def forget(self, partition: int) -> None:
        """Stop reading a partition."""
        ...


class CommandTopics(Protocol):
    """The command topics as the group's consumer reads them."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read on from an offset; batches that start elsewhere may still arrive (L10).

        Called also at each claim: where the reader is there already, nothing need be thrown away.
        """
        ...

    def last_heartbeat(self) -> float:
        """Return the monotonic instant (s) of the group's last good heartbeat or join (L5)."""
        ...


class Clock(Protocol):
    """The only source of time in the engine (T1)."""

    def now(self) -> int:
        """Wall clock, ns since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class Random(Protocol):
    """The only source of randomness in the engine."""

    def bytes(self, count: int) -> bytes:
        """Return random bytes."""
        ...

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        ...
