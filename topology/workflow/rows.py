"""The rows of a run: loading, and which rows a change of state writes. Keys: `keys.py`."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from schemas.rows import pack, unpacker
from topology.decision import Fact, HistoryFact, Rows
from topology.workflow import activity_deadlines, due, timer
from topology.workflow.execution import RUNNING
from topology.workflow.histories import begins_batch, history_bytes
from topology.workflow.keys import (
    SET_ASIDE,
    WAITING,
    archive_key,
    batch_key,
    deleted_key,
    due_key,
    execution_key,
    expiry_key,
    run_prefix,
)
from topology.workflow.state import Activity, Child, Current, Execution, External, Run, Timer

Written = dict[bytes, bytes | None]

K = TypeVar("K")
V = TypeVar("V")
E = TypeVar("E", bound=msgspec.Struct)

unpack_current = unpacker(Current)
unpack_execution = unpacker(Execution)
_unpack_activity = unpacker(Activity)
_unpack_timer = unpacker(Timer)
_unpack_child = unpacker(Child)
_unpack_external = unpacker(External)


def load(rows: Rows, run_id: str) -> Run | None:
    """Read a run from its rows."""
    prefix = run_prefix(run_id)
    execution = None
    activities: dict[int, Activity] = {}
    timers: dict[str, Timer] = {}
    children: dict[int, Child] = {}
    externals: dict[int, External] = {}
    memo = attributes = b""
    buffered: list[bytes] = []
    at = len(prefix)
    for key, value in rows.scan(prefix):
        kind = key[at : at + 1]
        if kind == b"x":
            execution = unpack_execution(value)
        elif kind == b"a":
            found = _unpack_activity(value)
            activities[found.scheduled_event_id] = found
        elif kind == b"m":
            memo = value
        elif kind == b"s":
            attributes = value
        elif kind == b"k":
            child = _unpack_child(value)
            children[child.initiated_event_id] = child
        elif kind == b"e":
            external = _unpack_external(value)
            externals[external.initiated_event_id] = external
        elif kind == b"t":
            pending = _unpack_timer(value)
            timers[pending.timer_id] = pending
        else:
            buffered.append(value)
    if execution is None:
        return None
    return Run(
        execution, activities, timers, children, externals, memo, attributes, tuple(buffered)
    )


def load_row(rows: Rows, run_id: str) -> Run | None:
    """Read a run's execution, and nothing that is pending in it."""
    packed = rows.get(execution_key(run_id))
    return None if packed is None else Run(unpack_execution(packed))


def changed_rows(before: Run | None, after: Run, recorded: Iterable[Fact]) -> Written:
    """Return the rows to write when a run went from one state to another."""
    written: Written = dict(after.fresh_rows)
    run_id = after.execution.run_id
    if before is None or before.execution is not after.execution:
        written[execution_key(run_id)] = pack(after.execution)
    _write_entities(written, before, after)
    _write_due(written, before, after)
    _write_waiting(written, before, after)
    for first_event_id, bodies in _batches(recorded):
        written[batch_key(run_id, first_event_id)] = history_bytes(bodies)
    return written


def _batches(recorded: Iterable[Fact]) -> list[tuple[int, list[bytes]]]:
    """Cut the events of a transition into batches: (first event id, bodies)."""
    batches: list[tuple[int, list[bytes]]] = []
    for fact in recorded:
        if isinstance(fact, HistoryFact):
            if begins_batch(fact.event_type) or not batches:
                batches.append((fact.event_id, []))
            batches[-1][1].append(fact.body)
    return batches


def deleted_rows(before: Run | None, run_id: str) -> Written:
    """Return the rows to write when a run is deleted: nobody finds it, the rest is to be erased."""
    written: Written = {execution_key(run_id): None, deleted_key(run_id): b""}
    written.update(dict.fromkeys(_due_keys(before, None)))
    if (waits := waiting_key(before)) is not None:
        written[waits] = None
    return written


def without_fresh(run: Run) -> Run:
    """Return a run whose fresh rows are written."""
    return replace(run, fresh_rows=())


def _write_entities(written: Written, before: Run | None, after: Run) -> None:
    run = run_prefix(after.execution.run_id)
    old = before or _NOTHING
    _write_numbered(written, run + b"a", old.activities, after.activities)
    if old.timers is not after.timers:
        for timer_id, (_, pending) in _changes(old.timers, after.timers).items():
            written[run + b"t" + timer_id.encode()] = pack(pending) if pending else None
    _write_numbered(written, run + b"k", old.children, after.children)
    _write_numbered(written, run + b"e", old.externals, after.externals)
    if old.memo is not after.memo:
        written[run + b"m"] = after.memo
    if old.search_attributes is not after.search_attributes:
        written[run + b"s"] = after.search_attributes
    if old.buffered is not after.buffered:
        for index, event in enumerate(after.buffered):
            if index >= len(old.buffered) or old.buffered[index] is not event:
                written[run + b"b" + index.to_bytes(4)] = event
        for index in range(len(after.buffered), len(old.buffered)):
            written[run + b"b" + index.to_bytes(4)] = None


def _write_numbered(
    written: Written, prefix: bytes, old: Mapping[int, E], new: Mapping[int, E]
) -> None:
    """Write the rows of entities that are named by an event id."""
    if old is not new:
        for event_id, (_, now) in _changes(old, new).items():
            written[prefix + event_id.to_bytes(8)] = pack(now) if now else None


def _write_due(written: Written, before: Run | None, after: Run) -> None:
    was, now = _due_keys(before, after), _due_keys(after, before)
    for key in was - now:
        written[key] = None
    for key in now - was:
        written[key] = b""


def _write_waiting(written: Written, before: Run | None, after: Run) -> None:
    was, now = waiting_key(before), waiting_key(after)
    if was != now:
        if was is not None:
            written[was] = None
        if now is not None:
            written[now] = b""


def waiting_key(run: Run | None) -> bytes | None:
    """Return the key under which a closed run waits for its archive, if it does."""
    if run is None or not run.execution.awaits_archive:
        return None
    row = run.execution
    kind = SET_ASIDE if row.archive_fault else WAITING
    return archive_key(kind, row.namespace_id, row.closed_at, row.run_id)


def _due_keys(run: Run | None, other: Run | None) -> set[bytes]:
    """Return a run's due keys; where both states are armed, only of rows that differ."""
    if run is None:
        return set()
    if not due.is_armed(run):
        return _expiry_keys(run.execution)
    run_id = run.execution.run_id
    twin = other if other is not None and due.is_armed(other) else _NOTHING
    keys: set[bytes] = set()
    if run.execution is not twin.execution and (at := due.execution_due_at(run.execution)):
        keys.add(due_key(at, run_id, b"x"))
    if run.activities is not twin.activities:
        for event_id, each in run.activities.items():
            if twin.activities.get(event_id) is not each and (
                at := activity_deadlines.due_at(each)
            ):
                keys.add(due_key(at, run_id, b"a" + event_id.to_bytes(8)))
    if run.timers is not twin.timers:
        for timer_id, pending in run.timers.items():
            if twin.timers.get(timer_id) is not pending:
                keys.add(due_key(timer.due_at(pending), run_id, b"t" + timer_id.encode()))
    return keys


def _expiry_keys(row: Execution) -> set[bytes]:
    """Return the key that has a closed run deleted; an open one, and one to archive, has none."""
    if row.status == RUNNING or row.awaits_archive:
        return set()
    return {expiry_key(row.keep_until, row.run_id)}


def _changes(old: Mapping[K, V], new: Mapping[K, V]) -> dict[K, tuple[V | None, V | None]]:
    changed: dict[K, tuple[V | None, V | None]] = {
        key: (old.get(key), value) for key, value in new.items() if old.get(key) is not value
    }
    changed.update({key: (value, None) for key, value in old.items() if key not in new})
    return changed


_NOTHING = Run(
    Execution(
        namespace_id="",
        namespace="",
        workflow_id="",
        run_id="",
        request_id="",
        retention=0,
        opened_at=0,
    )
)
