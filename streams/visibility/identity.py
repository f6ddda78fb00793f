"""Whether an index was made from the log that is there now (L6)."""

from collections.abc import Mapping

from search.store import Cursor
from streams.log.ports import Admin
from streams.log.records import decode
from topology.topics import EVENTS


async def is_of_log(cursors: Mapping[int, Cursor], topic_id: str, admin: Admin) -> bool:
    """Whether the record at each cursor is the one that was taken there."""
    for partition, cursor in cursors.items():
        if cursor.offset < 0:
            continue
        if cursor.topic_id != topic_id:
            return False
        if not await _is_at(partition, cursor, admin):
            return False
    return True


async def _is_at(partition: int, cursor: Cursor, admin: Admin) -> bool:
    if await admin.start(EVENTS.name, partition) > cursor.offset:
        return True  # trimmed behind us: what was read stays true (V2)
    record = await admin.record_at(EVENTS.name, partition, cursor.offset)
    if record is None:
        return False
    read = decode(record.value)
    found = (read.epoch, read.incarnation, read.seq)
    return found == (cursor.epoch, cursor.incarnation, cursor.seq)
