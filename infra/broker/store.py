"""Everything but records, in one SQLite file: topics, log starts, groups, offsets, transactions.

Rows in, rows out; what they mean is decided elsewhere. A commit is a write() to the WAL, so it
survives the process; topics are flushed before they are answered, the rest within about a second
(`flush`), or at once under durability `fsync`. A full disk is KAFKA_STORAGE_ERROR.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from infra.broker.errors import ErrorCode, KafkaError

FORMAT = 1
_PRODUCER_ID_BLOCK = 1000
_TABLES = """
create table if not exists setting(name text primary key, value text) without rowid;
create table if not exists topic(
    name text primary key, id blob, partition_count int, config text) without rowid;
create table if not exists log_start(
    topic_id blob, partition int, offset int, primary key(topic_id, partition)) without rowid;
create table if not exists member_group(name text primary key, state text) without rowid;
create table if not exists committed(
    group_name text, topic text, partition int, offset int, leader_epoch int, metadata text,
    committed_ms int, primary key(group_name, topic, partition)) without rowid;
create table if not exists txn(id text primary key, state text) without rowid;
"""


class StoredTopic(NamedTuple):
    """A topic as stored."""

    name: str
    id: bytes
    partition_count: int
    config: dict[str, str]


class StoredOffset(NamedTuple):
    """A committed offset as stored."""

    group: str
    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str
    committed_ms: int


class NewerFormatError(Exception):
    """The folder was written by a later version of this broker."""


class Store:
    """The metadata file."""

    def __init__(self, path: Path, *, is_flushed: bool) -> None:
        self._path = path
        self._is_flushed = is_flushed
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._run("pragma journal_mode=wal")
        self._run("pragma wal_autocheckpoint=0")
        self._set_synchronous(is_full=is_flushed)
        self._check_format()
        self._connection.executescript(_TABLES)
        self.setting("format", str(FORMAT))
        self.cluster_id = self.setting("cluster_id", uuid.uuid4().hex[:22])
        self._next_producer_id = self._producer_id_limit = int(self.setting("producer_id", "0"))

    def _check_format(self) -> None:
        tables = self._run("select 1 from sqlite_master where name='setting'").fetchone()
        row = tables and self._run("select value from setting where name='format'").fetchone()
        if row and int(row[0]) > FORMAT:
            raise NewerFormatError(f"expected data of format {FORMAT} or older, found {row[0]}")

    def _run(self, statement: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, tuple(values))
        except sqlite3.OperationalError as error:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error

    def _set_synchronous(self, *, is_full: bool) -> None:
        self._run(f"pragma synchronous={'full' if is_full else 'normal'}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside at once, or nothing."""
        self._run("begin immediate")
        try:
            yield
            self._run("commit")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise

    @contextmanager
    def _flushed(self) -> Iterator[None]:
        self._set_synchronous(is_full=True)
        try:
            yield
        finally:
            self._set_synchronous(is_full=self._is_flushed)

    def setting(self, name: str, default: str) -> str:
        """Return a setting of the folder, stored on first use."""
        row = self._run("select value from setting where name=?", (name,)).fetchone()
        if row:
            return str(row[0])
        self._run("insert into setting values(?, ?)", (name, default))
        return default

    def new_producer_id(self) -> int:
        """Return an id never given before; ids are reserved in blocks."""
        if self._next_producer_id >= self._producer_id_limit:
            limit = self._next_producer_id + _PRODUCER_ID_BLOCK
            self._run("update setting set value=? where name='producer_id'", (str(limit),))
            self._producer_id_limit = limit
        self._next_producer_id += 1
        return self._next_producer_id - 1

    def topics(self) -> list[StoredTopic]:
        """Return all topics."""
        rows = self._run("select name, id, partition_count, config from topic").fetchall()
        return [StoredTopic(name, key, count, json.loads(text)) for name, key, count, text in rows]

    def save_topic(self, topic: StoredTopic) -> None:
        """Create or replace a topic; it is on the disk when this returns."""
        config = json.dumps(topic.config)
        with self._flushed():
            self._run(
                "insert or replace into topic values(?, ?, ?, ?)",
                (topic.name, topic.id, topic.partition_count, config),
            )

    def delete_topic(self, name: str, topic_id: bytes) -> None:
        """Forget a topic, its log starts and all offsets committed for it."""
        with self._flushed(), self.transaction():
            self._run("delete from topic where name=?", (name,))
            self._run("delete from log_start where topic_id=?", (topic_id,))
            self._run("delete from committed where topic=?", (name,))

    def log_starts(self) -> dict[tuple[bytes, int], int]:
        """Return the first offset of each partition that ever moved, by (topic id, partition)."""
        rows = self._run("select topic_id, partition, offset from log_start").fetchall()
        return {(topic_id, partition): offset for topic_id, partition, offset in rows}

    def save_log_start(self, topic_id: bytes, partition: int, offset: int) -> None:
        """Move the first offset of a partition."""
        self._run("insert or replace into log_start values(?, ?, ?)", (topic_id, partition, offset))

    def groups(self) -> list[tuple[str, dict[str, Any]]]:
        """Return all groups with their state."""
        rows = self._run("select name, state from member_group").fetchall()
        return [(name, json.loads(state)) for name, state in rows]

    def save_group(self, name: str, state: dict[str, Any]) -> None:
        """Keep the state of a group."""
        self._run("insert or replace into member_group values(?, ?)", (name, json.dumps(state)))

    def delete_group(self, name: str) -> None:
        """Forget a group and its offsets."""
        with self.transaction():
            self._run("delete from member_group where name=?", (name,))
            self._run("delete from committed where group_name=?", (name,))

    def offsets(self) -> list[StoredOffset]:
        """Return all committed offsets."""
        return [StoredOffset(*row) for row in self._run("select * from committed").fetchall()]

    def save_offsets(self, offsets: Iterable[StoredOffset]) -> None:
        """Keep committed offsets; the caller has a transaction open."""
        for offset in offsets:
            self._run("insert or replace into committed values(?, ?, ?, ?, ?, ?, ?)", offset)

    def delete_offsets(self, group: str, partitions: Iterable[tuple[str, int]]) -> None:
        """Forget offsets of a group."""
        with self.transaction():
            for topic, partition in partitions:
                self._run(
                    "delete from committed where group_name=? and topic=? and partition=?",
                    (group, topic, partition),
                )

    def transactions(self) -> list[tuple[str, dict[str, Any]]]:
        """Return all transactional ids with their state."""
        rows = self._run("select id, state from txn").fetchall()
        return [(key, json.loads(state)) for key, state in rows]

    def save_transaction(self, transactional_id: str, state: dict[str, Any]) -> None:
        """Keep the state of a transactional id."""
        self._run("insert or replace into txn values(?, ?)", (transactional_id, json.dumps(state)))

    def delete_transaction(self, transactional_id: str) -> None:
        """Forget a transactional id."""
        self._run("delete from txn where id=?", (transactional_id,))

    @property
    def change_count(self) -> int:
        """Rows changed so far; it moves whenever something waits to be flushed."""
        return self._connection.total_changes

    def flush(self) -> None:
        """Bring commits to the disk and shorten the WAL; called from upkeep's thread."""
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.execute("pragma wal_checkpoint(passive)")
        finally:
            connection.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
