"""The sparse index of one segment: where to start looking for an offset or a timestamp.

An entry is made for the first batch after every `INTERVAL_BYTES`. Its timestamp is the largest one
of all batches *before* it, so it never goes down and can be searched.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right

INTERVAL_BYTES = 4096
_HEADER = struct.Struct(">Bqqqi")
_VERSION = 1


class SparseIndex:
    """Positions of some batches, in order."""

    __slots__ = ("_since_bytes", "offsets", "positions", "timestamps")

    def __init__(self) -> None:
        self.offsets = array("q")
        self.positions = array("q")
        self.timestamps = array("q")
        self._since_bytes = INTERVAL_BYTES

    def note(self, base_offset: int, position: int, size: int, earlier_timestamp: int) -> None:
        """Take a batch into account; earlier_timestamp is the largest of those before it."""
        if self._since_bytes >= INTERVAL_BYTES:
            self.offsets.append(base_offset)
            self.positions.append(position)
            self.timestamps.append(earlier_timestamp)
            self._since_bytes = 0
        self._since_bytes += size

    def before_offset(self, offset: int) -> tuple[int, int]:
        """Return (position, bytes to the next entry) of the entry at or before offset."""
        at = bisect_right(self.offsets, offset) - 1
        if at < 0:
            return 0, INTERVAL_BYTES
        position = self.positions[at]
        if at + 1 < len(self.positions):
            return position, self.positions[at + 1] - position
        return position, self._since_bytes

    def before_timestamp(self, timestamp: int) -> int:
        """Return a position at or before the first batch that has this timestamp or a later one."""
        at = bisect_left(self.timestamps, timestamp) - 1
        return self.positions[at] if at >= 0 else 0

    def before_position(self, position: int) -> int:
        """Return the position of the last entry at or before a position."""
        at = bisect_right(self.positions, position) - 1
        return self.positions[at] if at >= 0 else 0

    def cut(self, position: int) -> None:
        """Forget entries at or behind a position; the next batch gets one."""
        keep = bisect_left(self.positions, position)
        for column in (self.offsets, self.positions, self.timestamps):
            del column[keep:]
        self._since_bytes = INTERVAL_BYTES

    def dumped(self, *, next_offset: int, size: int, max_timestamp: int) -> bytes:
        """Return the content of an index file for a segment that ends so."""
        head = _HEADER.pack(_VERSION, next_offset, size, max_timestamp, len(self.offsets))
        columns = (self.offsets, self.positions, self.timestamps)
        return head + b"".join(column.tobytes() for column in columns)


def summary_of(content: bytes) -> tuple[int, int, int] | None:
    """Return (next offset, size, max timestamp) from the start of an index file."""
    if len(content) < _HEADER.size:
        return None
    version, next_offset, size, max_timestamp, _ = _HEADER.unpack_from(content)
    return (next_offset, size, max_timestamp) if version == _VERSION else None


SUMMARY_BYTES = _HEADER.size


def loaded(content: bytes) -> SparseIndex:
    """Rebuild an index from the content of its file."""
    index = SparseIndex()
    count = _HEADER.unpack_from(content)[4]
    position = _HEADER.size
    for column in (index.offsets, index.positions, index.timestamps):
        column.frombytes(content[position : position + 8 * count])
        position += 8 * count
    return index
