"""Stores that survive a crash: what was written is there, what was not is gone."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping


class Disk:
    """The rows of one partition on one node's disk."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.is_open = False

    def put(self, key: bytes, value: bytes) -> None:
        """Write a row."""
        if key not in self.rows:
            insort(self.keys, key)
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        """Delete a row."""
        if self.rows.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def clear(self) -> None:
        """Delete everything."""
        self.rows.clear()
        self.keys.clear()


class SimStore:
    """A handle on a disk, dead with its node; implements `ports.Store`."""

    def __init__(
        self, disk: Disk, is_alive: Callable[[], bool], before_write: Callable[[], object]
    ) -> None:
        assert not disk.is_open, "expected one process to have a store open"
        disk.is_open = True
        self._disk = disk
        self._is_alive = is_alive
        self._before_write = before_write
        self._is_open = True

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        return self._disk.rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield rows, as they were at the first step."""
        keys = self._disk.keys
        first = bisect_left(keys, max(prefix, start))
        position = first
        while position < len(keys) and keys[position].startswith(prefix):
            yield keys[position], self._disk.rows[keys[position]]
            position += 1

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write rows atomically."""
        self._before_write()
        if not self._is_alive():
            return
        assert self._is_open, "expected to write to an open store"
        for key, value in rows.items():
            if value is None:
                self._disk.delete(key)
            else:
                self._disk.put(key, value)

    def delete_prefix(self, prefix: bytes) -> None:
        """Delete the rows of a prefix."""
        self._before_write()
        if self._is_alive():
            for key in [key for key, _ in self.scan(prefix)]:
                self._disk.delete(key)

    def discard(self) -> None:
        """Empty the store."""
        if self._is_alive():
            self._disk.clear()

    def close(self) -> None:
        """Close it."""
        if self._is_open and self._is_alive():
            self._is_open = False
            self._disk.is_open = False
