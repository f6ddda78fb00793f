"""Follows the log of one partition: a reader folds, the loop hears how it ended.

A hole is sought back, never skipped (L3); a position the log does not reach to means that the
store's log must be looked at (L6). Giving the partition from reader to owner is: take the lock,
forget the sink.
"""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto

from streams.log.faults import LogFault
from streams.log.folded import Folded
from streams.log.ports import Readers, Record


class Ended(Enum):
    """How following ended."""

    REACHED = auto()
    HOLE = auto()
    OUT_OF_RANGE = auto()


class _Sink:
    """Folds what a reader reads, in the reader's thread; implements `ports.Sink`."""

    def __init__(self, following: "Following", end: int | None) -> None:
        self._following = following
        self._end = end
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Ended] = self._loop.create_future()

    def fold(self, records: Sequence[Record]) -> bool:
        """Fold records in order; False: this reader no longer follows the partition."""
        folded = self._following.folded
        with folded.lock:
            if self._following.sink is not self:
                return False
            try:
                is_dense = folded.fold(records)
            except Exception as error:  # noqa: BLE001  (L7) the loop that owns this fold
                self._following.sink = None
                self._tell(folded.fault(error))
                return False
            next_offset = folded.position.next_offset
        if not is_dense:
            self._tell(Ended.HOLE)
            return False
        if self._end is not None and next_offset >= self._end:
            self._tell(Ended.REACHED)
        return True

    def out_of_range(self) -> None:
        """Take note that the log does not reach to the position asked for."""
        self._tell(Ended.OUT_OF_RANGE)

    def _tell(self, outcome: Ended | LogFault) -> None:
        self._loop.call_soon_threadsafe(self._settle, outcome)

    def _settle(self, outcome: Ended | LogFault) -> None:
        if self.ended.done():
            return
        if isinstance(outcome, LogFault):
            self.ended.set_exception(outcome)
        else:
            self.ended.set_result(outcome)


class Following:
    """Who folds into one partition at the moment: a reader's sink, or nobody."""

    def __init__(self, folded: Folded, readers: Readers) -> None:
        self.folded = folded
        self.sink: _Sink | None = None
        self._readers = readers

    async def fold_to(self, end: int | None, *, far: bool) -> Ended:
        """Let a reader fold up to an end (None: for ever); return why it ended."""
        folded = self.folded
        sink = _Sink(self, end)
        with folded.lock:
            self.sink = sink
            position = folded.position.next_offset
        self._readers.follow(folded.partition, position, sink, far=far)
        try:
            return await sink.ended
        finally:
            with folded.lock:
                self.sink = None
            self._readers.forget(folded.partition)
