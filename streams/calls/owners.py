"""Who owns what: `owners`, folded whole by every node (C1).

For each (role, partition) the highest epoch counts; between equal ones the first in the log. The
history owner writes its entry after its claim on `events`; matching, which has no `events`, claims
here. An entry of ours with a lower one behind it is written again: compaction keeps the last
record of a key, which could be a zombie's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from schemas.codec import OWNER
from schemas.errors import NotTheOwner, Unavailable
from streams.kafka.whole_topic import PARTITION, Origin, WholeTopic
from streams.log.ports import Appended, Clock, Producer, Random, Record
from topology.topics import OWNERS

_log = structlog.get_logger(__name__)

GENERATION: Final = 1
"""Which mapping of keys to partitions holds; it changes when partitions are split."""

_INCARNATION_BYTES: Final = 8
_CLOCK: Final = "clock"
"""Not a role: a record that only asks for its own append time."""


class WrongPartitions(Exception):
    """The settings disagree with the recorded generation or partition count (L11)."""


class Owner(msgspec.Struct, frozen=True):
    """Who owns a partition of a role: an entry of `owners`."""

    role: str
    partition: int
    generation: int
    partitions: int
    epoch: int
    incarnation: bytes
    node: str
    address: str
    member_id: str
    claimed_at: int  # ns

    @property
    def key(self) -> tuple[str, int]:
        """What it is an entry of."""
        return self.role, self.partition

    def is_same_claim(self, other: "Owner") -> bool:
        """Say whether both name the same claim."""
        return (self.epoch, self.incarnation) == (other.epoch, other.incarnation)


class Identity(msgspec.Struct, frozen=True):
    """This node, as it stands in its entries."""

    node: str
    address: str
    partitions: Mapping[str, int]  # count of each role
    member_id: Callable[[str], str]  # of a role; empty before the join
    generation: int = GENERATION


class Owners:
    """All entries, folded from the topic; and the way to write ours."""

    def __init__(
        self,
        origin: Origin,
        producer: Producer,
        identity: Identity,
        *,
        clock: Clock,
        random: Random,
        topic: str = OWNERS.name,
    ) -> None:
        """Start reading, inside a running loop."""
        self._producer = producer
        self._identity = identity
        self._clock = clock
        self._random = random
        self._entries: dict[tuple[str, int], Owner] = {}
        self._ours: dict[tuple[str, int], Owner] = {}
        self._writes: set[asyncio.Task[int]] = set()
        self._listeners: list[Callable[[Owner], None]] = []
        self._whole = WholeTopic(origin, topic, self.fold)

    def owner(self, role: str, partition: int) -> Owner | None:
        """Return who owns a partition, as far as it is known here."""
        return self._entries.get((role, partition))

    def entries(self) -> list[Owner]:
        """Return who owns what."""
        return list(self._entries.values())

    def highest_epoch(self, role: str, partition: int) -> int:
        """Return the highest epoch of a partition; 0: none yet."""
        entry = self._entries.get((role, partition))
        return entry.epoch if entry is not None else 0

    def is_ours(self, role: str, partition: int, incarnation: bytes) -> bool:
        """Say whether a claim of ours is still the one that counts."""
        entry = self._entries.get((role, partition))
        return entry is not None and entry.incarnation == incarnation

    def listen(self, listener: Callable[[Owner], None]) -> None:
        """Call a listener whenever another claim counts for a partition."""
        self._listeners.append(listener)

    async def read_to_end(self) -> None:
        """Know all that is in the topic now; raises Unavailable."""
        await self._whole.read_to_end()

    async def check(self) -> None:
        """Read to the end and compare with the settings; raises WrongPartitions (L11)."""
        await self.read_to_end()
        for entry in self._entries.values():
            recorded = (entry.generation, entry.partitions)
            ours = (self._identity.generation, self._identity.partitions.get(entry.role))
            if ours[1] is not None and recorded != ours:
                raise WrongPartitions(
                    f"expected generation {recorded[0]} with {recorded[1]} {entry.role} partitions "
                    f"as recorded in `owners`, found {ours[0]} with {ours[1]} in the settings: "
                    f"keys would map elsewhere, so this node does not start"
                )

    async def claim_written(
        self, role: str, partition: int, epoch: int, incarnation: bytes
    ) -> None:
        """Write our entry after an accepted claim; raises Unavailable."""
        entry = self._entry(role, partition, epoch, incarnation)
        self._ours[entry.key] = entry
        await self._write(entry)

    async def claim(self, role: str, partition: int) -> Owner:
        """Claim a partition of a role without `events`: valid once read back as the highest.

        Raises NotTheOwner when another claim was faster, Unavailable.
        """
        await self.read_to_end()
        epoch = self.highest_epoch(role, partition) + 1
        incarnation = self._random.bytes(_INCARNATION_BYTES)
        entry = self._entry(role, partition, epoch, incarnation)
        self._ours[entry.key] = entry
        await self._whole.wait_for(await self._write(entry) + 1)
        now = self._entries[entry.key]
        if not now.is_same_claim(entry):
            self._ours.pop(entry.key, None)
            raise NotTheOwner(f"expected to own {role} {partition}, found {now.node} was faster")
        return entry

    async def log_time(self) -> int:
        """Return what Kafka's clock says now, ns; 0: the topic has its producers' timestamps.

        Raises Unavailable.
        """
        entry = self._entry(_CLOCK, 0, 0, bytes(_INCARNATION_BYTES))
        return (await self._append(entry)).appended_at

    def stop(self) -> None:
        """Stop reading and writing."""
        self._whole.stop()
        for task in self._writes:
            task.cancel()

    def fold(self, records: Sequence[Record]) -> None:
        """Take entries in the order of the log."""
        for record in records:
            assert record.value is not None, "expected no tombstone on `owners`"
            self._take(msgspec.convert(OWNER.decode(record.value), Owner))

    def _take(self, entry: Owner) -> None:
        if entry.role == _CLOCK:
            return
        known = self._entries.get(entry.key)
        if known is None or entry.epoch > known.epoch:
            self._entries[entry.key] = entry
            self._forget_fenced(entry)
            for listener in self._listeners:
                listener(entry)
        elif not entry.is_same_claim(known):
            self._write_again(known)

    def _forget_fenced(self, entry: Owner) -> None:
        ours = self._ours.get(entry.key)
        if ours is not None and entry.epoch > ours.epoch:
            del self._ours[entry.key]

    def _write_again(self, known: Owner) -> None:
        """Stand behind a lower entry again, if the one that counts is ours."""
        ours = self._ours.get(known.key)
        if ours is None or not ours.is_same_claim(known):
            return
        task = asyncio.ensure_future(self._write(ours))
        self._writes.add(task)
        task.add_done_callback(self._written_again)

    def _written_again(self, task: asyncio.Task[int]) -> None:
        self._writes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("owner_not_written_again", error=str(error))

    async def _write(self, entry: Owner) -> int:
        return (await self._append(entry)).offset

    async def _append(self, entry: Owner) -> Appended:
        key = f"{entry.role}/{entry.partition}".encode()
        value = OWNER.encode(msgspec.structs.asdict(entry))
        (appended,) = await self._producer.append(PARTITION, [(key, value)])
        if appended.offset < 0:
            raise Unavailable("expected the owner to be acknowledged, found the append failed")
        return appended

    def _entry(self, role: str, partition: int, epoch: int, incarnation: bytes) -> Owner:
        me = self._identity
        return Owner(
            role=role,
            partition=partition,
            generation=me.generation,
            partitions=me.partitions.get(role, 0),
            epoch=epoch,
            incarnation=incarnation,
            node=me.node,
            address=me.address,
            member_id=me.member_id(role),
            claimed_at=self._clock.now(),
        )
