"""RocksDB through rocksdict: the rows of one partition on disk, one database per partition.

Rows and the position of the log are written in one batch, so a crash between append and write is
a replay. Writes go to the WAL without a sync: after a power loss a prefix of them is there, and
the log has the rest. All partitions of a process share one block cache and one budget for write
buffers, so memory does not grow with their number.

A store that RocksDB finds damaged is emptied at the next opening: the log has all of it. A disk
that is full ends the node with one sentence.

No caching of decoded rows here, and nothing about what rows mean.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import structlog
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from streams.log.faults import LogFault

_log = structlog.get_logger(__name__)

_MEBIBYTE: Final = 1 << 20
_BLOOM_BITS: Final = 10
_BLOCK_BYTES: Final = 16 << 10
_SUFFIX: Final = ".rocksdb"
_MARK: Final = ".damaged"  # beside a store that is to be emptied
_DAMAGED: Final = "Corruption"  # so RocksDB's messages begin


class StoreUnusable(LogFault):
    """A store that cannot be read or written; the message is for people."""


class TableSettings(msgspec.Struct, frozen=True):
    """How much memory and how many files the stores of a process may use, all together."""

    block_cache_bytes: int = 64 * _MEBIBYTE
    """Memory for what was read from files, of all partitions, bytes."""
    write_buffers_bytes: int = 64 * _MEBIBYTE
    """Memory for what is not in a file yet, of all partitions, bytes."""
    write_buffer_bytes: int = 16 * _MEBIBYTE
    """Memory for what is not in a file yet, of one partition, bytes."""
    max_open_files: int = 256
    """Files that one partition keeps open at most, count."""


class RocksStores:
    """The stores of one role in one folder, sharing memory."""

    def __init__(self, folder: Path, settings: TableSettings | None = None) -> None:
        self.folder = folder
        self._settings = settings or TableSettings()
        self._cache = Cache(self._settings.block_cache_bytes)
        self._buffers = WriteBufferManager(
            self._settings.write_buffers_bytes,
            False,  # noqa: FBT003  # positional only: never stall writers
        )

    def open(self, partition: int) -> "RocksStore":
        """Open the store of a partition; raises when another process has it open."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return RocksStore(self.folder / f"{partition}{_SUFFIX}", self._options())

    def found(self) -> set[int]:
        """Return the partitions that have a store on disk (V4)."""
        return {int(path.name.removesuffix(_SUFFIX)) for path in self.folder.glob(f"*{_SUFFIX}")}

    def _options(self) -> Options:
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_block_size(_BLOCK_BYTES)
        blocks.set_bloom_filter(_BLOOM_BITS, False)  # noqa: FBT003  # positional: full filters
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
        blocks.set_format_version(5)
        options = Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003  # positional only
        options.set_block_based_table_factory(blocks)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_write_buffer_size(self._settings.write_buffer_bytes)
        options.set_write_buffer_manager(self._buffers)
        options.set_max_open_files(self._settings.max_open_files)
        options.set_keep_log_file_num(2)
        options.set_skip_stats_update_on_db_open(True)  # opening is on the way to serving
        options.set_max_total_wal_size(4 * self._settings.write_buffer_bytes)
        options.set_max_background_jobs(2)
        # due rows and outbox rows are written and deleted at once: files full of tombstones
        # are compacted before they slow down scans
        options.add_compact_on_deletion_collector_factory(10_000, 5_000, 0.5)
        return options


class RocksStore:
    """`ports.Store` on one RocksDB."""

    def __init__(self, path: Path, options: Options) -> None:
        self._path = path
        self._options = options
        self._mark = path.with_suffix(_MARK)
        self._db = self._opened()
        self._is_open = True

    def _opened(self) -> Rdict:
        """Open it; one that is damaged, now or when it was last used, is emptied first."""
        if not self._mark.exists():
            try:
                return Rdict(str(self._path), options=self._options)
            except Exception as error:  # noqa: BLE001, RUF100  RocksDB has one type for all
                if not str(error).startswith(_DAMAGED):
                    raise
                _log.warning("damaged_store_emptied", store=str(self._path), reason=str(error))
        shutil.rmtree(self._path, ignore_errors=True)
        self._mark.unlink(missing_ok=True)
        return Rdict(str(self._path), options=self._options)

    def _unusable(self, error: Exception) -> StoreUnusable:
        """Return what to raise for an error of RocksDB, which has one type for all."""
        if not str(error).startswith(_DAMAGED):
            return StoreUnusable(
                f"expected to use the store {self._path}, found: {error}. Nothing that was "
                "accepted is lost; the node goes on from here once that is mended"
            )
        self._mark.touch()
        return StoreUnusable(
            f"expected the store {self._path} to be whole, found: {error}. It is made anew from "
            "the log at the next start"
        )

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:  # noqa: BLE001, RUF100  RocksDB has one type for all
            raise self._unusable(error) from error
        return value

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys have a prefix, ascending, from `start` on.

        It sees the rows as they were at its first step, whatever is written meanwhile.
        """
        bounds = ReadOptions()
        if (end := prefix_end(prefix)) is not None:
            bounds.set_iterate_upper_bound(end)
        rows = self._db.iter(bounds)
        rows.seek(max(prefix, start))
        while rows.valid():
            yield rows.key(), rows.value()
            rows.next()

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write rows atomically; None deletes."""
        batch = WriteBatch(raw_mode=True)
        for key, value in rows.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        try:
            self._db.write(batch)
        except Exception as error:  # noqa: BLE001, RUF100  RocksDB has one type for all
            raise self._unusable(error) from error

    def delete_prefix(self, prefix: bytes) -> None:
        """Delete all rows whose keys have a prefix, by one mark, however many they are."""
        end = prefix_end(prefix)
        assert end is not None, f"expected a prefix with keys above it, found {prefix!r}"
        self._db.delete_range(prefix, end)

    def discard(self) -> None:
        """Empty the store (L6)."""
        self._db.close()
        Rdict.destroy(str(self._path), Options(raw_mode=True))
        self._db = Rdict(str(self._path), options=self._options)

    def close(self) -> None:
        """Close it; idempotent."""
        if self._is_open:
            self._is_open = False
            try:
                self._db.close()
            except Exception as error:  # noqa: BLE001  what is not in a file yet, the log has
                _log.warning("store_not_flushed", store=str(self._path), reason=str(error))


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the least key above all keys with a prefix, or None: there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None
