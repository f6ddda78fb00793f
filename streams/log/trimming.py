"""Trims the command topics behind what is folded (V2).

About once a minute the owner deletes below the source that was durably folded at its previous
trimming; of `commands` only what is older than its keep time, which is known from marks that the
owner keeps in its store. `events` is never trimmed here.
"""

import msgspec
import structlog

from schemas.errors import ServiceError
from schemas.instants import SECOND
from schemas.rows import pack, unpacker
from streams.log.commands import INTERNAL, OUTSIDE
from streams.log.folded import Folded
from streams.log.outside import Outside

_log = structlog.get_logger(__name__)

KEY = b"\x00t"
_MARKS_MAX = 256


class Marks(msgspec.Struct, array_like=True):
    """When `commands` was folded up to where: (instant in ns, offset, topic id), ascending."""

    marks: list[tuple[int, int, str]]


_unpack = unpacker(Marks)


class Trimming:
    """Trims the command topics of one partition."""

    def __init__(self, folded: Folded, outside: Outside) -> None:
        self._folded = folded
        self._outside = outside
        self._before: dict[str, tuple[str, int]] = {}
        self._deleted: dict[str, int] = {}

    async def trim(self) -> None:
        """Trim once; failures are told and left to the next time."""
        for topic in (INTERNAL, OUTSIDE):
            source = self._folded.position.sources.get(topic)
            before = self._before.get(topic)
            if source is None:
                continue
            self._before[topic] = (source.topic_id, source.position)
            if before is None or before[0] != source.topic_id:
                continue
            below = before[1] + 1
            if topic == OUTSIDE:
                below = self._old_enough(before[1], source.topic_id) + 1
            await self._delete(topic, below)

    async def _delete(self, topic: str, below: int) -> None:
        if below <= self._deleted.get(topic, 0):
            return
        try:
            await self._outside.admin.delete_before(topic, self._folded.partition, below)
        except ServiceError as error:
            _log.warning("trimming_failed", topic=topic, below=below, error=str(error))
        else:
            self._deleted[topic] = below

    def _old_enough(self, position: int, topic_id: str) -> int:
        """Note that `commands` is folded up to a position; return the one that may go."""
        folded, now = self._folded, self._outside.clock.now()
        keep = int(self._outside.settings.commands_keep_s * SECOND)
        packed = folded.store.get(KEY)
        marks = [mark for mark in _unpack(packed).marks if mark[2] == topic_id] if packed else []
        old = [mark for mark in marks if mark[0] <= now - keep]
        if not marks or (marks[-1][1] < position and marks[-1][0] <= now - keep // _MARKS_MAX):
            kept = [*old[-1:], *marks[len(old) :], (now, position, topic_id)]
            folded.store.write({KEY: pack(Marks(kept[-2 * _MARKS_MAX :]))})
        return old[-1][1] if old else -1
