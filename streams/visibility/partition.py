"""Which records of one partition of `events` count, and where the reader is (L1, V1)."""

from collections.abc import Iterator

from search.store import Cursor
from streams.log.accept import accepts_claim, accepts_transition
from streams.log.ports import CommandBatch
from streams.log.records import Claim, Transition, decode


class Followed:
    """The reader's place in one partition."""

    def __init__(self, cursor: Cursor | None, topic_id: str) -> None:
        self.epoch = cursor.epoch if cursor else 0
        self.incarnation = cursor.incarnation if cursor else bytes(8)
        self.seq = cursor.seq if cursor else 0
        self._accepted_offset = cursor.offset if cursor else -1
        self._topic_id = topic_id
        self.wanted = self._accepted_offset + 1

    def read(self, batch: CommandBatch) -> Iterator[Transition]:
        """Yield the accepted transitions of a batch that fits."""
        for record in batch.records:
            if record.offset < self.wanted:
                continue
            self.wanted = record.offset + 1
            read = decode(record.value)
            if not self._accepts(read):
                continue
            self.seq = read.seq
            self._accepted_offset = record.offset
            if isinstance(read, Claim):
                self.epoch, self.incarnation = read.epoch, read.incarnation
            else:
                yield read

    def cursor(self) -> Cursor:
        """Return where a reader goes on behind what was read."""
        return Cursor(self._accepted_offset, self.epoch, self.incarnation, self.seq, self._topic_id)

    def _accepts(self, read: Claim | Transition) -> bool:
        if isinstance(read, Claim):
            return accepts_claim(self, epoch=read.epoch, seq=read.seq)
        return accepts_transition(
            self, epoch=read.epoch, incarnation=read.incarnation, seq=read.seq
        )
