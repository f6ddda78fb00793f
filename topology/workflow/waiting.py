"""Closed runs that are not in their archives: what waits, one's history, and the backlog.

Views, as in `views.py`, for the archiver. Which runs wait is in their keys (`rows.py`), in order of
namespace and close time, so that a namespace whose archive is away is passed over at once.
"""

from collections.abc import Iterator
from itertools import islice

import msgspec

from schemas.errors import NotFound
from schemas.temporal import workflow
from topology.decision import Rows
from topology.own_work import (
    AsideRun,
    Backlog,
    Batches,
    ReadBacklog,
    ReadClosedRun,
    ReadWaiting,
    WaitingPage,
    WaitingRun,
)
from topology.workflow import histories, keys
from topology.workflow import rows as run_rows
from topology.workflow.describing import describe_execution, first_event
from topology.workflow.state import Execution, Run

_encode = msgspec.msgpack.Encoder().encode
_LAST = b"\xff"


def read_waiting(ask: ReadWaiting, _namespace_id: str, rows: Rows) -> bytes:
    """Return closed runs that wait, with as much of their histories as is asked for."""
    runs: list[WaitingRun] = []
    left = ask.history_bytes
    for key in _waiting(rows, ask):
        if len(runs) == ask.runs_count or (runs and left <= 0):
            return _encode(WaitingPage(tuple(runs), key))
        run = run_rows.load(rows, keys.archive_of(key)[2])
        if run is None:
            continue
        found = _waiting_run(run, rows, left)
        left -= sum(map(len, found.history.batches))
        runs.append(found)
    return _encode(WaitingPage(tuple(runs)))


def read_closed_run(ask: ReadClosedRun, _namespace_id: str, rows: Rows) -> bytes:
    """Return more of a closed run's history; raises NotFound."""
    run = run_rows.load_row(rows, ask.run_id)
    if run is None:
        raise NotFound(f"expected closed run {ask.run_id}, found none")
    if not run.execution.history_uri:
        return _encode(Batches(()))
    return _encode(_batches(run.execution, rows, ask.first_event_id, ask.history_bytes))


def read_backlog(ask: ReadBacklog, _namespace_id: str, rows: Rows) -> bytes:
    """Return how many runs wait, counted up to a bound, and some of those that were set aside."""
    waiting: dict[str, int] = {}
    oldest = 0
    for key, _ in islice(rows.scan(keys.WAITING), ask.counted_max):
        namespace_id, closed_at, _run_id = keys.archive_of(key)
        waiting[namespace_id] = waiting.get(namespace_id, 0) + 1
        oldest = min(oldest or closed_at, closed_at)
    set_aside: list[AsideRun] = []
    after = b""
    for key, _ in rows.scan(keys.SET_ASIDE, ask.after):
        if len(set_aside) == ask.set_aside_count:
            after = key
            break
        run = run_rows.load_row(rows, keys.archive_of(key)[2])
        if run is not None:
            set_aside.append(_aside(run.execution))
    return _encode(Backlog(waiting, oldest, tuple(set_aside), after))


def _waiting(rows: Rows, ask: ReadWaiting) -> Iterator[bytes]:
    """Yield the keys of what waits, without the namespaces that are passed over."""
    after = ask.after
    while True:
        for key, _ in rows.scan(keys.WAITING, after):
            namespace_id = keys.archive_of(key)[0]
            if namespace_id in ask.passed_over:
                after = keys.WAITING + namespace_id.encode() + _LAST * 9
                break
            yield key
        else:
            return


def _waiting_run(run: Run, rows: Rows, history_bytes: int) -> WaitingRun:
    row = run.execution
    shown = workflow.WorkflowExecutionInfo()
    describe_execution(run, first_event(run, rows), shown)
    has_history = bool(row.history_uri)
    return WaitingRun(
        namespace_id=row.namespace_id,
        namespace=row.namespace,
        workflow_id=row.workflow_id,
        run_id=row.run_id,
        history_uri=row.history_uri,
        visibility_uri=row.visibility_uri,
        execution=shown.SerializeToString(),
        last_event_id=row.next_event_id - 1,
        history=_batches(row, rows, 1, history_bytes) if has_history else Batches(()),
    )


def _batches(row: Execution, rows: Rows, first_event_id: int, history_bytes: int) -> Batches:
    """Return batches from an event on, at least one."""
    found: list[bytes] = []
    for first, batch in histories.batches(rows, row.run_id, first_event_id):
        if found and history_bytes <= 0:
            return Batches(tuple(found), first)
        found.append(batch)
        history_bytes -= len(batch)
    return Batches(tuple(found))


def _aside(row: Execution) -> AsideRun:
    return AsideRun(
        namespace_id=row.namespace_id,
        namespace=row.namespace,
        workflow_id=row.workflow_id,
        run_id=row.run_id,
        closed_at=row.closed_at,
        reason=row.archive_fault,
    )
