"""The few file operations that a full disk fails, behind one object so that a test can."""

import errno
import os
import zlib
from pathlib import Path

from infra.broker.wire import Buffer


class Files:
    """Positioned writes, flushes and atomic replacement on the real file system."""

    def write(self, descriptor: int, buffer: Buffer, position: int) -> int:
        """Write at a position; may write less than asked."""
        return os.pwrite(descriptor, buffer, position)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file."""
        os.ftruncate(descriptor, size)

    def flush(self, descriptor: int) -> None:
        """Bring written bytes to the disk."""
        os.fdatasync(descriptor)

    def write_all(self, descriptor: int, buffer: Buffer, position: int) -> None:
        """Write everything or raise OSError; what was written of it is cut off again."""
        try:
            written = self._write_some(descriptor, buffer, position)
            while written < len(buffer):
                rest = memoryview(buffer)[written:]
                written += self._write_some(descriptor, rest, position + written)
        except OSError:
            self._cut_quietly(descriptor, position)
            raise

    def _write_some(self, descriptor: int, buffer: Buffer, position: int) -> int:
        count = self.write(descriptor, buffer, position)
        if count == 0:
            raise OSError(errno.ENOSPC, "expected room for a write, found none")
        return count

    def _cut_quietly(self, descriptor: int, position: int) -> None:
        """Drop a torn write; what stays if this fails is overwritten next or fails its CRC."""
        try:
            self.truncate(descriptor, position)
        except OSError:
            return

    def replace(self, path: Path, content: Buffer) -> None:
        """Write a small file whole or not at all, with a checksum behind it."""
        scratch = path.with_name(path.name + ".new")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            sealed = bytes(content) + zlib.crc32(content).to_bytes(4, "big")
            self.write_all(descriptor, sealed, 0)
            self.flush(descriptor)
        finally:
            os.close(descriptor)
        scratch.replace(path)


def sealed_content(path: Path) -> bytes | None:
    """Read a file that `Files.replace` wrote; None where it is absent or damaged."""
    try:
        sealed = path.read_bytes()
    except OSError:
        return None
    content, check = sealed[:-4], sealed[-4:]
    return content if zlib.crc32(content).to_bytes(4, "big") == check else None
