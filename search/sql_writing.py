"""A batch on its way into the tables of an SQLite search store.

Rows are gathered and written table by table; a change that is not newer than what is there is
dropped. The transaction around it is the caller's.
"""
# ruff: noqa: S608 - the pieces are constants of this package; values are always parameters

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from search import sql_rows, sql_schema
from search.document import Document, pack
from search.sql_connection import Connection, Row
from search.store import Batch, Cursor, Deletion, RunKey

_CHUNK: Final = 500
_cursor_encoder = msgspec.msgpack.Encoder()
_cursor_decoder = msgspec.msgpack.Decoder(Cursor)


class Numbers(Protocol):
    """The numbers that stand for spaces, attributes and runs; new ones are given as needed."""

    def space(self, writer: Connection, namespace_id: str, division: str | None) -> int:
        """Return the number of a space."""
        ...

    def attribute(self, writer: Connection, space: int, name: str) -> int:
        """Return the number of an attribute in a space."""
        ...

    def next_run(self) -> int:
        """Return the number of a new run."""
        ...


def read_cursors(reader: Connection) -> dict[int, Cursor]:
    """Return the cursors by partition."""
    rows = reader.execute("SELECT partition, cursor FROM cursors")
    return {partition: _cursor_decoder.decode(packed) for partition, packed in rows}


class _Known(NamedTuple):
    """What the table has of a run that is written again."""

    run: int
    version: int
    space: int
    workflow_type: str
    status: str
    has_postings: bool
    has_texts: bool


class Writing:
    """One batch on its way into the tables: rows are gathered and written table by table."""

    def __init__(self, writer: Connection, numbers: Numbers, now: int) -> None:
        self._writer = writer
        self._numbers = numbers
        self._now = now
        self._counts: Counter[tuple[int, str | None, str, str]] = Counter()
        self._divisions: dict[int, str | None] = {}
        self._rows: dict[str, list[Row]] = {}

    def write(self, batch: Batch) -> None:
        """Write a batch; changes that are not newer than what is there are dropped."""
        newest = _newest(batch)
        keys = list(newest)
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            known = self._known(chunk)
            buried = self._buried(chunk)
            for key in chunk:
                found = known.get(key)
                version = max(found.version if found else 0, buried.get(key, 0))
                if newest[key].version > version:
                    self._apply(newest[key], found)
        self._flush()
        rows = [(each, _cursor_encoder.encode(cursor)) for each, cursor in batch.cursors.items()]
        self._writer.executemany("INSERT OR REPLACE INTO cursors VALUES (?, ?)", rows)

    def _known(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], _Known]:
        marks = ", ".join("?" * len(keys))
        rows = self._writer.execute(
            "SELECT s.namespace_id, r.run_id, s.division, r.id, r.version, r.space, "
            "r.workflow_type, r.status, r.has_postings, r.has_texts "
            f"FROM runs AS r JOIN spaces AS s ON s.id = r.space WHERE r.run_id IN ({marks})",
            [run_id for _, run_id in keys],
        )
        known = {}
        for namespace_id, run_id, division, *rest in rows:
            known[namespace_id, run_id] = _Known(*rest)
            self._divisions[rest[2]] = division
        return known

    def _buried(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        namespaces = {namespace_id for namespace_id, _ in keys}
        marks = ", ".join("?" * len(keys))
        return {
            (namespace_id, run_id): version
            for namespace_id in namespaces
            for run_id, version in self._writer.execute(
                "SELECT run_id, version FROM tombstones "
                f"WHERE namespace_id = ? AND run_id IN ({marks})",
                [namespace_id, *(run_id for _, run_id in keys)],
            )
        }

    def _apply(self, change: Document | Deletion, known: _Known | None) -> None:
        if known is not None:
            self._take_out(known)
        if isinstance(change, Deletion):
            row = (change.namespace_id, change.run_id, change.version, self._now)
            self._add("INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?)", row)
            if known is not None:
                self._add("DELETE FROM runs WHERE id = ?", (known.run,))
                self._add("DELETE FROM records WHERE run = ?", (known.run,))
            return
        self._put(change, known)

    def _take_out(self, known: _Known) -> None:
        division = self._divisions[known.space]
        self._counts[known.space, division, known.workflow_type, known.status] -= 1
        if known.has_postings:
            self._add("DELETE FROM postings WHERE run = ?", (known.run,))
        if known.has_texts:
            self._add("DELETE FROM texts WHERE rowid = ?", (known.run,))

    def _put(self, document: Document, known: _Known | None) -> None:
        numbers, writer = self._numbers, self._writer
        space = numbers.space(writer, document.namespace_id, document.division)
        run = known.run if known else numbers.next_run()
        row = sql_rows.run_row(document, run, space)
        self._add(sql_schema.UPDATE_RUN if known else sql_schema.INSERT_RUN, row)
        self._add("INSERT OR REPLACE INTO records VALUES (?, ?)", (run, pack(document)))
        self._counts[space, document.division, document.workflow_type, str(row[8])] += 1
        for key, attribute in sql_rows.posted_attributes(document):
            number = numbers.attribute(writer, space, key)
            for posting in sql_rows.posting_rows(attribute, number, document, run):
                self._add("INSERT INTO postings VALUES (?, ?, ?, ?, ?)", posting)
        words = [
            token
            for key, attribute in sql_rows.texts(document)
            for token in sql_rows.tokens_of(attribute, numbers.attribute(writer, space, key))
        ]
        if words:
            self._add("INSERT INTO texts (rowid, words) VALUES (?, ?)", (run, " ".join(words)))

    def _add(self, statement: str, row: Row) -> None:
        self._rows.setdefault(statement, []).append(row)

    def _flush(self) -> None:
        """Write what was gathered, removals before what replaces them."""
        for statement in sorted(self._rows):  # DELETE, INSERT, UPDATE
            self._writer.executemany(statement, self._rows[statement])
        rows = [(*key, count) for key, count in self._counts.items() if count]
        self._writer.executemany(sql_schema.COUNT, rows)


def _newest(batch: Batch) -> dict[RunKey, Document | Deletion]:
    """Return the newest change of each run."""
    newest: dict[RunKey, Document | Deletion] = {}
    changes: list[Document | Deletion] = [*batch.documents, *batch.deletions]
    for change in changes:
        key = (change.namespace_id, change.run_id)
        if key not in newest or newest[key].version < change.version:
            newest[key] = change
    return newest
