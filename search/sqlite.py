"""The search store in SQLite: nothing to install, one folder, one node.

One connection writes, others read beside it (WAL); a batch and its cursors are one transaction,
so a crash repeats no change and loses none. Each generation is a file; `current` names the live
one and is replaced atomically. What is sent comes from `to_sql.py`, `sql_plan.py` and
`sql_rows.py`; this file only runs it.
"""

import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Self

from schemas.errors import Unavailable
from search import sql_schema
from search.attributes import Value
from search.document import Document
from search.pages import orderings, unpack_token
from search.query.expressions import Query
from search.settings import SqliteSettings
from search.sql_connection import Connection, Results
from search.sql_reading import Reading, found_records
from search.sql_writing import Writing, read_cursors
from search.store import (
    Batch,
    CatchUp,
    Health,
    Page,
    Position,
    RunKey,
    Superseded,
    already,
)
from search.to_sql import COLUMNS

_CURRENT: Final = "current"
_STEPS: Final = 10_000  # of SQLite's machine between two looks at the clock
_SETTINGS: Final = SqliteSettings()


class InUse(Unavailable):
    """Another process, or another store of this one, has the folder."""


class SqliteStore:
    """A search store in a folder."""

    def __init__(
        self,
        folder: Path,
        settings: SqliteSettings = _SETTINGS,
        *,
        clock: Callable[[], int] = time.time_ns,
        generation: str = "",
    ) -> None:
        """Open the live generation of a folder, or `generation`, and create what is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = None if generation else _locked(folder)
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._is_beside = bool(generation)
        self._swap = threading.Lock()
        self._live = _Generation(folder, generation or _current(folder), settings)
        if not generation:
            _remove_left_over(folder, self._live.name)

    def position(self) -> Position:
        """Return the cursors of what is durably in the store."""
        live = self._live
        with live.reading() as reader:
            return Position(live.name, read_cursors(reader))

    def write(self, batch: Batch, generation: str) -> None:
        """Write a batch durably; Superseded if `generation` is not the one to write to."""
        with self._swap:
            if generation != self._live.name:
                raise Superseded(f"expected to write to {self._live.name}, not to {generation}")
            self._live.write(batch, self._clock())

    def refresh(self) -> None:
        """Return when everything written before is visible: it is."""

    def find(self, runs: Sequence[RunKey]) -> dict[RunKey, Document]:
        """Return the records of some runs as they were last written."""
        with self._live.reading() as reader:
            return found_records(reader, runs)

    def list(self, namespace_id: str, query: Query, size: int, token: bytes = b"") -> Page:
        """Return a page: open runs first, then the newest closed, unless the query says else."""
        after = unpack_token(token, orderings(query))
        with self._live.reading() as reader:
            return Reading(reader, namespace_id, query).page(size, after)

    def count(self, namespace_id: str, query: Query) -> int:
        """Return how many runs match."""
        with self._live.reading() as reader:
            return sum(Reading(reader, namespace_id, query).counts("").values())

    def count_groups(self, namespace_id: str, query: Query) -> dict[Value, int]:
        """Return how many runs match by value of `query.group_by`; lacking it counts as ""."""
        assert query.group_by is not None, "expected a query with GROUP BY"
        column = COLUMNS[query.group_by.name]
        with self._live.reading() as reader:
            return dict(Reading(reader, namespace_id, query).counts(column))

    def add_attributes(self, namespace_id: str, attributes: Mapping[str, int]) -> None:
        """Make custom attributes searchable: they are, by their rows."""

    def forget_deletions(self, before: int) -> int:
        """Forget what keeps runs deleted before an instant (ns) from coming back; how many."""
        with self._swap, self._live.writing() as writer:
            done = writer.execute("DELETE FROM tombstones WHERE deleted_at < ?", (before,))
            return done.rowcount

    def beside(self) -> Self:
        """Return an empty store that is built beside the live one, for `replace_by`."""
        name = _name(_number(self._live.name) + 1)
        _remove(self._folder / name)
        return type(self)(self._folder, self._settings, clock=self._clock, generation=name)

    def replace_by(self, rebuilt: Self, catch_up: CatchUp = already) -> None:
        """Make a store from `beside` the live one atomically and remove the old one.

        While it catches up nothing is written to the live one; lists and counts go on.
        """
        with self._swap:
            catch_up(self.position().cursors)
            _point(self._folder, rebuilt._live.name)
            old, self._live = self._live, rebuilt._live
        old.close()
        _remove(old.path)

    def discard(self) -> None:
        """Remove a store from `beside` that is not wanted."""
        assert self._is_beside, "expected a store that was built beside the live one"
        self.close()
        _remove(self._live.path)

    def health(self) -> Health:
        """Say how it is; does not raise."""
        description = f"SQLite {sqlite3.sqlite_version}, {self._live.path}"
        try:
            with self._live.reading() as reader:
                (runs,) = reader.execute("SELECT coalesce(sum(count), 0) FROM counters").fetchone()
        except Unavailable as error:
            return Health(is_serving=False, description=f"{description}: {error.message}")
        return Health(is_serving=True, description=description, runs_count=runs)

    def close(self) -> None:
        """Close it; idempotent."""
        self._live.close()
        if self._lock is not None:
            self._lock.close()


class _Generation:
    """One file: a connection that writes, and some that read."""

    def __init__(self, folder: Path, name: str, settings: SqliteSettings) -> None:
        self.name = name
        self.path = folder / name
        self._settings = settings
        self._writer = self._opened()
        self._lock = threading.Lock()
        self._readers: queue.LifoQueue[sqlite3.Connection | None] = queue.LifoQueue()
        self._is_open = True
        for _ in range(settings.readers_count):
            self._readers.put(None)
        self._spaces: dict[tuple[str, str | None], int] = {
            (namespace_id, division): number
            for number, namespace_id, division in self._writer.execute(
                "SELECT id, namespace_id, division FROM spaces"
            )
        }
        self._attributes: dict[tuple[int, str], int] = {
            (space, key): number
            for number, space, key in self._writer.execute("SELECT id, space, key FROM attributes")
        }
        last = self._writer.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()
        self._last_run = int(last[0])

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the writing connection inside a transaction."""
        with self._lock, _translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a reading connection with a snapshot of the store."""
        lent = self._readers.get()
        try:
            if not self._is_open:
                raise Unavailable(f"expected an open search store, but {self.name} is closed")
            with _translated():
                lent = lent or self._connect(self._settings.cache_bytes // 4)
                deadline = time.monotonic() + self._settings.query_timeout_s
                lent.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
                lent.execute("BEGIN")
                try:
                    yield lent
                finally:
                    lent.set_progress_handler(None, 0)
                    lent.execute("COMMIT")
        finally:
            self._readers.put(lent)

    def write(self, batch: Batch, now: int) -> None:
        """Write a batch in one transaction."""
        with self.writing() as writer:
            try:
                Writing(writer, self, now).write(batch)
            except BaseException:
                self._attributes.clear()  # what was numbered is rolled back: number it anew
                self._spaces.clear()
                raise

    def space(self, writer: Connection, namespace_id: str, division: str | None) -> int:
        """Return the number of a space, given now if it is new."""
        key = (namespace_id, division)
        if key not in self._spaces:
            found = writer.execute(
                "SELECT id FROM spaces WHERE namespace_id = ? AND division IS ?", key
            ).fetchone()
            insert = "INSERT INTO spaces (namespace_id, division) VALUES (?, ?)"
            self._spaces[key] = found[0] if found else _last(writer.execute(insert, key))
        return self._spaces[key]

    def attribute(self, writer: Connection, space: int, name: str) -> int:
        """Return the number of an attribute in a space, given now if it is new."""
        key = (space, name)
        if key not in self._attributes:
            found = writer.execute(
                "SELECT id FROM attributes WHERE space = ? AND key = ?", key
            ).fetchone()
            insert = "INSERT INTO attributes (space, key) VALUES (?, ?)"
            self._attributes[key] = found[0] if found else _last(writer.execute(insert, key))
        return self._attributes[key]

    def next_run(self) -> int:
        """Return the number of a new run."""
        self._last_run += 1
        return self._last_run

    def close(self) -> None:
        """Close all connections, waiting for those that read."""
        if not self._is_open:
            return
        self._is_open = False
        lent = [self._readers.get() for _ in range(self._settings.readers_count)]
        for reader in lent:
            if reader is not None:
                reader.close()
            self._readers.put(None)
        with self._lock:
            self._writer.close()

    def _opened(self) -> sqlite3.Connection:
        """Return the writing connection; a file of another version is begun anew."""
        writer = self._connect(self._settings.cache_bytes)
        (version,) = writer.execute("PRAGMA user_version").fetchone()
        if version not in (0, sql_schema.VERSION):
            writer.close()
            _remove(self.path)
            writer = self._connect(self._settings.cache_bytes)
        if version != sql_schema.VERSION:
            writer.execute("BEGIN IMMEDIATE")
            for statement in sql_schema.TABLES.split(";\n"):
                writer.execute(statement)
            writer.execute(f"PRAGMA user_version = {sql_schema.VERSION}")
            writer.execute("COMMIT")
        return writer

    def _connect(self, cache_bytes: int) -> sqlite3.Connection:
        with _translated():
            connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, cached_statements=512
            )
            for pragma in sql_schema.PRAGMAS:
                connection.execute(pragma)
            connection.execute(f"PRAGMA cache_size = -{cache_bytes >> 10}")
        return connection


def _last(results: Results) -> int:
    assert results.lastrowid is not None
    return results.lastrowid


@contextmanager
def _translated() -> Iterator[None]:
    """Raise Unavailable for what the file or the disk does to us."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(f"search store: {error}") from error


def _locked(folder: Path) -> IO[bytes]:
    """Return the folder's lock file, locked: a rebuild in one process would pass another by."""
    lock = (folder / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise InUse(f"{folder} is in use") from None
    return lock


def _name(number: int) -> str:
    return f"search-{number:06d}.sqlite"


def _number(name: str) -> int:
    return int(name.removeprefix("search-").removesuffix(".sqlite"))


def _current(folder: Path) -> str:
    pointer = folder / _CURRENT
    return pointer.read_text().strip() if pointer.exists() else _name(1)


def _point(folder: Path, name: str) -> None:
    fresh = folder / f"{_CURRENT}.fresh"
    fresh.write_text(f"{name}\n")
    os.replace(fresh, folder / _CURRENT)  # noqa: PTH105 - names the atomic call


def _remove_left_over(folder: Path, live: str) -> None:
    """Remove what a rebuild left that was killed."""
    for path in folder.glob("search-*.sqlite"):
        if path.name != live:
            _remove(path)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
