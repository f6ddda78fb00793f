"""Rows as Parquet and back; the one file that knows pyarrow, imported when a lake is used.

A file's rows are sorted by type, then as lists are (last closed first), in groups small enough to
be fetched and decoded one at a time. Times stand twice: as timestamps, which any reader knows, in
us, and exact in ns.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archival.query import Hints
from archival.row import ArchivedRun, Position

TAIL_BYTES: Final = 64 << 10
"""What is fetched of a file's end to find its footer."""

_SMALLEST_GROUP: Final = 256
_LARGEST_GROUP: Final = 16_384
_MAGIC: Final = b"PAR1"
_US: Final = pa.timestamp("us", tz="UTC")
_NS: Final = {"closed_at": "closed_ns", "started_at": "started_ns", "execution_at": "execution_ns"}
_SCHEMA: Final = pa.schema(
    [
        ("namespace", pa.string()),
        ("workflow_id", pa.string()),
        ("run_id", pa.string()),
        ("workflow_type", pa.string()),
        ("status", pa.string()),
        ("started_at", _US),
        ("closed_at", _US),
        ("execution_at", _US),
        ("started_ns", pa.int64()),
        ("closed_ns", pa.int64()),
        ("execution_ns", pa.int64()),
        ("execution_duration", pa.int64()),
        ("history_length", pa.int64()),
        ("history_size_bytes", pa.int64()),
        ("state_transition_count", pa.int64()),
        ("task_queue", pa.string()),
        ("parent_workflow_id", pa.string()),
        ("parent_run_id", pa.string()),
        ("root_workflow_id", pa.string()),
        ("root_run_id", pa.string()),
        ("memo", pa.string()),
        ("search_attributes", pa.map_(pa.string(), pa.string())),
        ("history_uri", pa.string()),
        ("close_version", pa.int64()),
        ("objects_count", pa.int64()),
        ("archived_bytes", pa.int64()),
        ("history_sha256", pa.binary()),
        ("execution", pa.binary()),
    ]
)
_REPEATING: Final = [
    "namespace",
    "workflow_type",
    "status",
    "task_queue",
    "parent_workflow_id",
    "root_workflow_id",
    "memo",
    "history_uri",
]
_LIST: Final = [("closed_ns", "descending"), ("started_ns", "descending"), ("run_id", "descending")]
_FILE: Final = [("workflow_type", "ascending"), *_LIST]


class Encoded(msgspec.Struct, frozen=True):
    """A Parquet file, and what is in it."""

    body: bytes
    rows_count: int
    closed: tuple[int, int]  # first and last, ns
    started: tuple[int, int]
    types: Mapping[str, int]  # how many runs of each


class Group(msgspec.Struct, frozen=True):
    """A part of a file that is read at once."""

    number: int
    start: int
    size_bytes: int
    rows_count: int
    closed: tuple[int, int]
    types: tuple[str, str]  # first and last


class Footer(msgspec.Struct, frozen=True):
    """Where the groups of a file are."""

    metadata: Any
    groups: tuple[Group, ...]


def encode(rows: Sequence[ArchivedRun], group_bytes: int) -> Encoded:
    """Return rows as a file, each run once."""
    return _encoded(_once(_table(rows)), group_bytes)


def merge(bodies: Iterable[bytes], gone: frozenset[str], group_bytes: int) -> Encoded | None:
    """Return the rows of some files as one, each run once, without those of some run ids."""
    tables = [pq.read_table(pa.BufferReader(body), schema=_SCHEMA) for body in bodies]
    table = pa.concat_tables(tables)
    if gone:
        is_gone = pc.is_in(table["run_id"], value_set=pa.array(sorted(gone), pa.string()))
        table = table.filter(pc.invert(is_gone))
    return _encoded(_once(table), group_bytes) if table.num_rows else None


def footer_bytes(tail: bytes) -> int:
    """Return how many bytes from a file's end its footer takes."""
    assert tail[-4:] == _MAGIC, "expected the end of a Parquet file"
    return int.from_bytes(tail[-8:-4], "little") + 8


def parse_footer(tail: bytes) -> Footer:
    """Return a footer from the end of a file that holds it whole."""
    metadata = pq.read_metadata(pa.BufferReader(_MAGIC + tail[-footer_bytes(tail) :]))
    columns = {metadata.schema.column(at).path: at for at in range(metadata.num_columns)}
    groups = (_group(metadata, number, columns) for number in range(metadata.num_row_groups))
    return Footer(metadata, tuple(groups))


def read_group(
    footer: Footer, group: Group, body: bytes, wanted: tuple[Hints, Position | None]
) -> list[ArchivedRun]:
    """Return the rows of a group that fulfil the hints and lie behind a position."""
    source = pa.PythonFile(_Part(body, group.start), mode="r")
    file = pq.ParquetFile(source, metadata=footer.metadata, pre_buffer=False)
    table = file.read_row_group(group.number, use_threads=False)
    hints, behind = wanted
    mask = _mask(table, hints, behind)
    chosen = table.filter(mask) if mask is not None else table
    return _rows(chosen)


def read_rows(body: bytes) -> Iterable[list[ArchivedRun]]:
    """Return all rows of a file, a group at a time."""
    file = pq.ParquetFile(pa.BufferReader(body))
    for number in range(file.num_row_groups):
        yield _rows(file.read_row_group(number, use_threads=False))


class _Part:
    """The bytes of one group at their place in a file, for pyarrow to read."""

    closed = False

    def __init__(self, body: bytes, start: int) -> None:
        self._body = body
        self._start = start
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        first = self._at - self._start
        assert 0 <= first <= len(self._body), "expected a read within the group"
        found = self._body[first:] if count < 0 else self._body[first : first + count]
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self.size())[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        return self._start + len(self._body)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing is held open."""


def _table(rows: Sequence[ArchivedRun]) -> Any:
    columns: dict[str, Any] = {}
    for field in _SCHEMA:
        exact = _NS.get(field.name)
        name = next((one for one, ns in _NS.items() if ns == field.name), field.name)
        values = [getattr(row, name) for row in rows]
        if exact:
            values = [value if value is None else value // 1_000 for value in values]
        if field.name == "search_attributes":
            values = [list(value.items()) for value in values]
        columns[field.name] = pa.array(values, field.type)
    return pa.table(columns, schema=_SCHEMA)


def _once(table: Any) -> Any:
    """Return a table with each run once, sorted as a file is."""
    ordered = table.take(pc.sort_indices(table, sort_keys=_LIST))
    if ordered.num_rows > 1:
        runs = ordered["run_id"].combine_chunks()
        is_new = pc.not_equal(runs.slice(1), runs.slice(0, len(runs) - 1))
        ordered = ordered.filter(pa.concat_arrays([pa.array([True]), is_new]))
    return ordered.take(pc.sort_indices(ordered, sort_keys=_FILE))


def _encoded(table: Any, group_bytes: int) -> Encoded:
    sink = pa.BufferOutputStream()
    each = max(1, table.nbytes // table.num_rows)
    size = min(_LARGEST_GROUP, max(_SMALLEST_GROUP, group_bytes // each))
    pq.write_table(
        table,
        sink,
        row_group_size=size,
        compression="zstd",
        use_dictionary=_REPEATING,
        write_statistics=["closed_ns", "started_ns", "closed_at", "started_at", "workflow_type"],
        version="2.6",
        data_page_version="1.0",
    )
    counts = pc.value_counts(table["workflow_type"]).to_pylist()
    return Encoded(
        body=sink.getvalue().to_pybytes(),
        rows_count=table.num_rows,
        closed=_ends(table["closed_ns"]),
        started=_ends(table["started_ns"]),
        types={one["values"]: one["counts"] for one in counts},
    )


def _ends(column: Any) -> tuple[int, int]:
    ends = pc.min_max(column).as_py()
    return ends["min"], ends["max"]


def _group(metadata: Any, number: int, columns: Mapping[str, int]) -> Group:
    group = metadata.row_group(number)
    chunks = [group.column(at) for at in range(group.num_columns)]
    starts = [one.dictionary_page_offset or one.data_page_offset for one in chunks]
    ends = [at + one.total_compressed_size for at, one in zip(starts, chunks, strict=True)]
    closed = chunks[columns["closed_ns"]].statistics
    types = chunks[columns["workflow_type"]].statistics
    has_types = types is not None and types.has_min_max
    return Group(
        number=number,
        start=min(starts),
        size_bytes=max(ends) - min(starts),
        rows_count=group.num_rows,
        closed=(closed.min, closed.max),
        types=(types.min, types.max) if has_types else ("", "\U0010ffff"),
    )


def _mask(table: Any, hints: Hints, behind: Position | None) -> Any:
    masks = [
        pc.is_in(table[name], value_set=pa.array(sorted(values), pa.string()))
        for name, values in hints.equal.items()
    ]
    masks += [pc.greater_equal(table[_NS[name]], least) for name, least in hints.at_least.items()]
    masks += [pc.less_equal(table[_NS[name]], most) for name, most in hints.at_most.items()]
    if behind is not None:
        closed_at, started_at, run_id = behind
        closed, started = table["closed_ns"], table["started_ns"]
        is_before = pc.and_(pc.equal(started, started_at), pc.less(table["run_id"], run_id))
        is_before = pc.or_(pc.less(started, started_at), is_before)
        is_before = pc.and_(pc.equal(closed, closed_at), is_before)
        masks.append(pc.or_(pc.less(closed, closed_at), is_before))
    whole = None
    for mask in masks:
        whole = mask if whole is None else pc.and_(whole, mask)
    return whole


def _rows(table: Any) -> list[ArchivedRun]:
    names = [field.name for field in _SCHEMA if field.name not in _NS]
    exact = {ns: name for name, ns in _NS.items()}
    columns = [table[name].to_pylist() for name in names]
    places = [exact.get(name, name) for name in names]
    attributes = places.index("search_attributes")
    columns[attributes] = [dict(pairs) for pairs in columns[attributes]]
    return [
        ArchivedRun(**dict(zip(places, values, strict=True)))
        for values in zip(*columns, strict=True)
    ]
