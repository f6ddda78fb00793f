"""Every run of a partition, a few at a time: the rows that searchable records are made from.

A read (`ScanRuns`); the rows go out as they are stored, whoever asks decodes them.
"""

import msgspec

from schemas.rows import unpacker
from topology.decision import Rows
from topology.own_work import ScanRuns
from topology.workflow.keys import run_id_of, run_prefix, runs_prefix
from topology.workflow.state import Execution

SCAN_BYTES_MAX = 4 << 20
"""Memos can be large: a scan ends early rather than grow beyond this."""

execution_of = unpacker(Execution)
"""Decodes the execution row of a `RunRows`."""


class RunRows(msgspec.Struct, frozen=True, array_like=True):
    """One run as it is stored."""

    execution: bytes
    memo: bytes = b""  # serialized Memo
    search_attributes: bytes = b""  # serialized SearchAttributes


class RunsScanned(msgspec.Struct, frozen=True, array_like=True):
    """Some runs, and after which run id to go on; empty: these were the last."""

    runs: list[RunRows]
    after: str


_encode = msgspec.msgpack.Encoder().encode
scanned_of = msgspec.msgpack.Decoder(RunsScanned).decode
"""Reads the answer of a scan."""


def scan(ask: ScanRuns, _namespace_id: str, rows: Rows) -> bytes:
    """Return the runs behind a run id, in the order of their ids."""
    found: list[RunRows] = []
    after, size_bytes = ask.after, 0
    run_id = ""
    parts: dict[bytes, bytes] = {}
    # a key that is behind every row of the last run, and before those of the next one
    start = runs_prefix() if not after else run_prefix(after) + b"\xff"
    for key, value in rows.scan(runs_prefix(), start):
        owner = run_id_of(key)
        if owner != run_id:
            _add(found, parts)
            if len(found) == ask.limit or size_bytes > SCAN_BYTES_MAX:
                return _encode(RunsScanned(found, run_id))
            run_id, parts = owner, {}
        kind = key[len(run_prefix(run_id)) :]
        if kind in _WANTED:
            parts[kind] = value
            size_bytes += len(value)
    _add(found, parts)
    return _encode(RunsScanned(found, ""))


_WANTED = (b"x", b"m", b"s")


def _add(found: list[RunRows], parts: dict[bytes, bytes]) -> None:
    if b"x" in parts:
        found.append(RunRows(parts[b"x"], parts.get(b"m", b""), parts.get(b"s", b"")))
