"""Taking a partition: fold its log to the end, then claim it (L2, L3, L5, L6).

Nothing is decided here. A claim that is not acknowledged exactly where the folded log ended is
lost: fold again, claim again.
"""

from collections.abc import Mapping
from typing import NamedTuple

import structlog

from streams.log.append import Flight, KeyValue, is_contiguous
from streams.log.commands import INTERNAL, OUTSIDE, TOPICS
from streams.log.counts import Counts
from streams.log.faults import LogFault
from streams.log.folded import Folded
from streams.log.following import Ended, Following
from streams.log.outside import HISTORY, Outside
from streams.log.position import Position, Source
from streams.log.records import Claim, decode, encode_claim
from topology import topics

_log = structlog.get_logger(__name__)

EVENTS = topics.EVENTS.name


class Claimed(NamedTuple):
    """An accepted claim, and from where to read the command topics under it."""

    wanted: dict[str, int]
    gate: dict[str, int]
    topic_ids: dict[str, str]
    appended_at: int


class Takeover:
    """Takes one partition, as often as needed."""

    def __init__(self, folded: Folded, outside: Outside, counts: Counts) -> None:
        self._folded = folded
        self._outside = outside
        self._counts = counts
        self.following = Following(folded, outside.readers)
        self.flight: Flight | None = None
        """The newest append of ours; a takeover waits for it (L5)."""
        self.is_warm = False
        """The log was folded to its end once, and has been followed since (V4)."""

    async def wait_for_own(self) -> None:
        """Wait for an append of ours that may still be in flight (L5)."""
        if self.flight is not None:
            await self.flight.wait(self._outside.settings.flight_timeout_s)
            self.flight = None

    def launch(self, records: list[KeyValue]) -> Flight:
        """Hand records over to the producer of `events`."""
        self.flight = Flight(self._outside.events, self._folded.partition, records)
        return self.flight

    # -- to the end (L3, L6)

    async def fold_to_end(self) -> None:
        """Fold up to the log's end; raises LogFault, Unavailable."""
        await self.verify()
        end = await self._outside.admin.end(EVENTS, self._folded.partition)
        while self._folded.position.next_offset < end:
            ended = await self.following.fold_to(end, far=self._is_far(end))
            if ended is Ended.OUT_OF_RANGE:
                await self.verify()
                await self._check_start()
                end = await self._outside.admin.end(EVENTS, self._folded.partition)
        self.is_warm = True

    async def stand_by(self) -> None:
        """Follow the log for ever; raises LogFault, Unavailable."""
        await self.fold_to_end()
        while True:
            ended = await self.following.fold_to(None, far=False)
            if ended is Ended.OUT_OF_RANGE:
                await self.fold_to_end()

    async def verify(self) -> None:
        """Check that the store was folded from this very log, else empty it (L6)."""
        folded, admin = self._folded, self._outside.admin
        at = folded.position
        log_id = await admin.topic_id(EVENTS)
        is_ours = at.log_id in ("", log_id)
        if is_ours and at.accepted_offset >= 0:
            record = await admin.record_at(EVENTS, folded.partition, at.accepted_offset)
            is_ours = record is not None and _is_it(record.value, at)
        with folded.lock:
            if not is_ours:
                self._discard(log_id)
            folded.rewind()
            folded.position.log_id = log_id

    def _discard(self, log_id: str) -> None:
        at = self._folded.position
        self._counts.discards += 1
        _log.error(
            "store_of_another_log_discarded",
            partition=self._folded.partition,
            offset=at.accepted_offset,
            seq=at.seq,
            stored_log=at.log_id,
            found_log=log_id,
        )
        self._folded.discard()

    async def _check_start(self) -> None:
        partition, wanted = self._folded.partition, self._folded.position.next_offset
        start = await self._outside.admin.start(EVENTS, partition)
        if start > wanted:
            raise LogFault(
                f"events-{partition}: expected the log to reach back to offset {wanted}, found "
                f"its first record at {start}: records that are needed were deleted (V2)"
            )

    def _is_far(self, end: int) -> bool:
        behind = end - self._folded.position.next_offset
        return behind > self._outside.settings.far_count

    # -- the claim

    async def claim(self, claimed_at: int) -> Claimed | None:
        """Claim the partition at the folded end; None: the claim is lost."""
        folded = self._folded
        ends, starts = await self._command_ends()
        claim = self._claim(ends, claimed_at)
        with folded.lock:
            base = folded.position.next_offset
        flight = self.launch([(None, encode_claim(claim))])
        await flight.wait(self._outside.settings.append_timeout_s)
        acknowledged = flight.acknowledgements()
        with folded.lock:
            is_still = folded.position.next_offset == base
            if not is_still or not is_contiguous(acknowledged, base, 1):
                self._counts.claims_lost += 1
                return None
            folded.accept_claim(claim)
            sources = dict(folded.position.sources)
        self._counts.claims += 1
        self._counts.accepted += 1
        return Claimed(
            wanted=_wanted(sources, starts),
            gate={topic: end.position + 1 for topic, end in ends.items()},
            topic_ids={topic: end.topic_id for topic, end in ends.items()},
            appended_at=acknowledged[0].appended_at,
        )

    def _claim(self, ends: dict[str, Source], claimed_at: int) -> Claim:
        at, outside = self._folded.position, self._outside
        highest = outside.owners.highest_epoch(HISTORY, self._folded.partition)
        lowered = lowered_sources(at.sources, ends)
        for topic, source in lowered.items():
            _log.error(
                "source_lowered",
                partition=self._folded.partition,
                topic=topic,
                from_offset=at.sources[topic].position,
                to_offset=source.position,
            )
        return Claim(
            epoch=max(at.epoch, highest) + 1,
            incarnation=outside.random.bytes(8),
            seq=at.seq + 1,
            generation=outside.settings.generation,
            partitions=outside.partitions,
            command_ends=ends,
            sources=lowered,
            node=outside.settings.node,
            address=outside.settings.address,
            claimed_at=claimed_at,
        )

    async def _command_ends(self) -> tuple[dict[str, Source], dict[str, int]]:
        admin, partition = self._outside.admin, self._folded.partition
        ids = {topic: await admin.topic_id(topic) for topic in TOPICS}
        starts = {topic: await admin.start(topic, partition) for topic in TOPICS}
        ends = {
            INTERNAL: Source(ids[INTERNAL], await admin.end(INTERNAL, partition) - 1),
            OUTSIDE: Source(ids[OUTSIDE], await admin.stable_end(OUTSIDE, partition) - 1),
        }
        return ends, starts


def lowered_sources(sources: Mapping[str, Source], ends: Mapping[str, Source]) -> dict[str, Source]:
    """Return the sources that a claim must lower: a topic lost its tail or was made anew (L6)."""
    lowered = {}
    for topic, end in ends.items():
        source = sources.get(topic)
        if source is None:
            continue
        if source.topic_id != end.topic_id:
            lowered[topic] = Source(end.topic_id, -1)
        elif source.position > end.position:
            lowered[topic] = end
    return lowered


def _wanted(sources: Mapping[str, Source], starts: Mapping[str, int]) -> dict[str, int]:
    """Return the offsets to read on from; what was trimmed below them was folded before."""
    wanted = {}
    for topic, start in starts.items():
        source = sources.get(topic)
        wanted[topic] = max(source.position + 1 if source else 0, start)
    return wanted


def _is_it(value: bytes | None, at: Position) -> bool:
    try:
        record = decode(value)
    except LogFault:
        return False
    return (record.epoch, record.incarnation, record.seq) == (at.epoch, at.incarnation, at.seq)
