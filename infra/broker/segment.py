"""One segment: a file of batches in Kafka's format, named after its first offset, and its index.

A segment knows its size in bytes; what stands behind it in the file is a torn write and is never
read.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from infra.broker.batches import HEADER, HEADER_BYTES, NO_TIMESTAMP, BatchHeader, header_at
from infra.broker.files import Files, sealed_content
from infra.broker.index import SUMMARY_BYTES, SparseIndex, loaded, summary_of

_STRIDE_BYTES = 1 << 18


class Segment:
    """A file of batches; the last segment of a log is the active one."""

    __slots__ = (
        "_descriptor",
        "_index",
        "base_offset",
        "created_ms",
        "max_timestamp",
        "next_offset",
        "path",
        "size",
    )

    def __init__(self, folder: Path, base_offset: int, *, created_ms: int = 0) -> None:
        self.base_offset = base_offset
        self.path = folder / f"{base_offset:020d}.log"
        self.size = 0
        self.next_offset = base_offset
        self.max_timestamp = NO_TIMESTAMP
        self.created_ms = created_ms
        self._index: SparseIndex | None = SparseIndex()
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """Open the file on first use."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._descriptor

    @property
    def index_path(self) -> Path:
        """Where the index of a closed segment is kept."""
        return self.path.with_suffix(".index")

    @property
    def index(self) -> SparseIndex:
        """Load the index of a closed segment on first use; a damaged one is made anew."""
        if self._index is None:
            content = sealed_content(self.index_path)
            self._index = loaded(content) if content else self._scanned()
        return self._index

    def use_index(self, index: SparseIndex) -> None:
        """Take over an index read elsewhere."""
        self._index = index

    def adopt_summary(self) -> bool:
        """Take end, size and newest timestamp from the index file, if it fits the segment file."""
        try:
            with self.index_path.open("rb") as file:
                summary = summary_of(file.read(SUMMARY_BYTES))
            if summary is None or summary[1] != self.path.stat().st_size:
                return False
        except OSError:
            return False
        self.next_offset, self.size, self.max_timestamp = summary
        self._index = None
        return True

    def note(self, base_offset: int, size: int, next_offset: int, max_timestamp: int) -> None:
        """Take a batch into account that was written at the end."""
        self.index.note(base_offset, self.size, size, self.max_timestamp)
        self.size += size
        self.next_offset = next_offset
        self.max_timestamp = max(self.max_timestamp, max_timestamp)

    def write_index(self, files: Files) -> None:
        """Keep the index of a closed segment."""
        content = self.index.dumped(
            next_offset=self.next_offset, size=self.size, max_timestamp=self.max_timestamp
        )
        files.replace(self.index_path, content)

    def headers(self, position: int = 0) -> Iterator[tuple[int, BatchHeader]]:
        """Yield (position, header) of every batch from a position on."""
        chunk, chunk_at = b"", position
        while position + HEADER_BYTES <= self.size:
            if position + HEADER_BYTES > chunk_at + len(chunk):
                chunk, chunk_at = os.pread(self.descriptor, _STRIDE_BYTES, position), position
            header = BatchHeader._make(HEADER.unpack_from(chunk, position - chunk_at))
            yield position, header
            position += header.size

    def read_batch(self, position: int, header: BatchHeader) -> bytes:
        """Read one batch whole."""
        return os.pread(self.descriptor, header.size, position)

    def read(self, offset: int, max_bytes: int) -> bytes | memoryview:
        """Read from the batch that holds offset: at least that one whole, and at most max_bytes.

        The last one may be cut. Empty where every record from offset on was compacted away.
        """
        position, gap = self.index.before_offset(offset)
        length = min(gap + max_bytes, self.size - position)
        chunk = os.pread(self.descriptor, length, position)
        start = 0
        while start + HEADER_BYTES <= len(chunk):
            header = header_at(chunk, start)
            if header.next_offset > offset:
                if start + header.size > len(chunk):
                    return self.read_batch(position + start, header)
                return memoryview(chunk)[start : start + max(max_bytes, header.size)]
            start += header.size
        return self._read_behind(offset, position + start, max_bytes)

    def _read_behind(self, offset: int, position: int, max_bytes: int) -> bytes:
        """Go on where a chunk ended before the batch wanted (batches longer than the gap)."""
        for at, header in self.headers(position):
            if header.next_offset > offset:
                length = min(max(max_bytes, header.size), self.size - at)
                return os.pread(self.descriptor, length, at)
        return b""

    def _scanned(self) -> SparseIndex:
        index, newest = SparseIndex(), NO_TIMESTAMP
        for position, header in self.headers():
            index.note(header.base_offset, position, header.size, newest)
            newest = max(newest, header.max_timestamp)
        return index

    def close(self) -> None:
        """Close the file; it opens again on use."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Delete the segment's files."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.index_path.unlink(missing_ok=True)
