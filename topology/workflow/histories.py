"""A history as bytes: batches read from rows, pages cut at batch boundaries, poll answers built.

Events are serialized once, when they are recorded; everything here concatenates those bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from schemas import event_types as on
from schemas.instants import duration_of, timestamp_of
from schemas.temporal import enums, history, service
from topology.decision import Rows
from topology.effects import Quote
from topology.tokens import PageToken, Token, pack
from topology.workflow.keys import batch_key, batches_prefix
from topology.workflow.state import Execution, Run

PAGE_BATCHES_MAX = 256
PAGE_BYTES_MAX = 3 * 1024 * 1024

_NORMAL = enums.TaskQueueKind.TASK_QUEUE_KIND_NORMAL
_HISTORY_FIELD = service.PollWorkflowTaskQueueResponse.DESCRIPTOR.fields_by_name["history"].number


class Page(NamedTuple):
    """Some batches of a history, as the bytes of a `History` message."""

    events: bytes
    next_event_id: int  # the first event behind the page
    is_full: bool  # the page ended because of its size


def begins_batch(event_type: int) -> bool:
    """Whether a batch of history begins with events of a type, wherever they come.

    So the history behind a completed task can be read from a batch boundary on.
    """
    return event_type == on.WORKFLOW_TASK_COMPLETED


def history_bytes(events: Iterable[bytes]) -> bytes:
    """Return serialized events as the bytes of a `History` message (field 1, repeated)."""
    parts: list[bytes] = []
    for body in events:
        parts += (b"\x0a", varint(len(body)), body)
    return b"".join(parts)


def field(number: int, body: bytes) -> bytes:
    """Return a protobuf field that holds a message, a string or bytes."""
    return b"".join((varint(number << 3 | 2), varint(len(body)), body))


def varint(number: int) -> bytes:
    """Return a protobuf varint."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def event_of(batch: bytes, index: int) -> history.HistoryEvent:
    """Return the event at an index of a batch, the only one that is parsed."""
    at = 0
    for _ in range(index):
        size, at = _read_varint(batch, at + 1)  # behind the tag of field 1
        at += size
    size, at = _read_varint(batch, at + 1)
    return history.HistoryEvent.FromString(batch[at : at + size])


def quoted(quotes: Sequence[Quote], rows: Rows) -> list[bytes]:
    """Return quoted events as they were recorded; a batch is cut up once."""
    known: dict[bytes, list[bytes]] = {}
    found = []
    for quote in quotes:
        key = batch_key(quote.run_id, quote.batch_id)
        events = known.get(key)
        if events is None:
            batch = rows.get(key)
            assert batch is not None, f"expected batch {quote.batch_id} of run {quote.run_id}"
            events = known[key] = _events_of(batch)
        found.append(events[quote.event_id - quote.batch_id])
    return found


def _events_of(batch: bytes) -> list[bytes]:
    """Return the serialized events of a batch."""
    at, events = 0, []
    while at < len(batch):
        size, at = _read_varint(batch, at + 1)  # behind the tag of field 1
        events.append(batch[at : at + size])
        at += size
    return events


def _read_varint(packed: bytes, at: int) -> tuple[int, int]:
    """Read a protobuf varint; return it and where it ends."""
    number = shift = 0
    while (byte := packed[at]) > 0x7F:
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return number | byte << shift, at + 1


def batches(rows: Rows, run_id: str, first_event_id: int = 1) -> Iterator[tuple[int, bytes]]:
    """Yield (first event id, bytes) of the batches from the one that begins at an event id on."""
    prefix = batches_prefix(run_id)
    for key, value in rows.scan(prefix, batch_key(run_id, first_event_id)):
        yield int.from_bytes(key[len(prefix) :]), value


def batches_before(
    rows: Rows, run_id: str, event_id: int, *, count: int
) -> list[tuple[int, bytes]]:
    """Return the last `count` batches that begin before an event id, in order.

    Rows are only read forwards, so it looks ever further back until there are enough: a page
    costs the page, however long the history.
    """
    events = 4 * count
    while True:
        first = max(event_id - events, 1)
        found = list(takewhile(lambda one: one[0] < event_id, batches(rows, run_id, first)))
        if len(found) >= count or first == 1:
            return found[-count:]
        events *= 4


def page(rows: Rows, row: Execution, first_event_id: int, *, size: int = PAGE_BATCHES_MAX) -> Page:
    """Return the page of at most `size` batches that begins at an event id."""
    parts: list[bytes] = []
    total = 0
    for first, batch in batches(rows, row.run_id, first_event_id):
        if first >= row.next_event_id:  # newer than the state that is shown
            break
        if len(parts) == size or (parts and total + len(batch) > PAGE_BYTES_MAX):
            return Page(b"".join(parts), first, is_full=True)
        parts.append(batch)
        total += len(batch)
    return Page(b"".join(parts), row.next_event_id, is_full=len(parts) == size)


def transient_events(row: Execution) -> bytes:
    """Return the Scheduled (and Started) a transient task would have, as `History` bytes."""
    task = row.task
    if task is None or not task.is_transient or task.scheduled_event_id != row.next_event_id:
        return b""
    scheduled = history.HistoryEvent(
        event_id=task.scheduled_event_id, event_time=timestamp_of(task.scheduled_at)
    )
    scheduled.event_type = on.WORKFLOW_TASK_SCHEDULED  # type: ignore[assignment]  # an int
    given = scheduled.workflow_task_scheduled_event_attributes
    given.task_queue.name = row.queue
    given.task_queue.kind = _NORMAL
    given.start_to_close_timeout.CopyFrom(duration_of(task.timeout))
    given.attempt = task.attempt
    events = [scheduled.SerializeToString()]
    if task.is_started:
        started = history.HistoryEvent(
            event_id=task.started_event_id, event_time=timestamp_of(task.started_at)
        )
        started.event_type = on.WORKFLOW_TASK_STARTED  # type: ignore[assignment]  # an int
        taken = started.workflow_task_started_event_attributes
        taken.scheduled_event_id = task.scheduled_event_id
        taken.identity = task.identity
        taken.request_id = task.poll_id
        taken.history_size_bytes = task.history_bytes
        taken.suggest_continue_as_new = bool(task.continue_reasons)
        taken.suggest_continue_as_new_reasons.extend(task.continue_reasons)  # type: ignore[arg-type]  # enums travel as ints
        events.append(started.SerializeToString())
    return history_bytes(events)


def workflow_task_answer(run: Run, rows: Rows, *, first_event_id: int = 1) -> bytes:
    """Return the PollWorkflowTaskQueueResponse of the run's started task.

    Its history begins at a batch boundary: the whole, or what a worker has not seen yet.
    """
    row = run.execution
    task = row.task
    assert task is not None, "expected a started workflow task"
    found = page(rows, row, first_event_id)
    answer = service.PollWorkflowTaskQueueResponse(
        task_token=pack(
            Token(
                namespace_id=row.namespace_id,
                workflow_id=row.workflow_id,
                run_id=row.run_id,
                kind="workflow",
                scheduled_event_id=task.scheduled_event_id,
                attempt=task.attempt,
                started_event_id=task.started_event_id,
                stamp=task.stamp,
            )
        ),
        previous_started_event_id=row.previous_started_event_id,
        started_event_id=task.started_event_id,
        attempt=task.attempt,
        scheduled_time=timestamp_of(task.scheduled_at),
        started_time=timestamp_of(task.started_at),
    )
    answer.workflow_execution.workflow_id = row.workflow_id
    answer.workflow_execution.run_id = row.run_id
    answer.workflow_type.name = row.workflow_type
    answer.workflow_execution_task_queue.name = row.queue
    answer.workflow_execution_task_queue.kind = _NORMAL
    events = found.events
    if found.next_event_id < row.next_event_id:
        answer.next_page_token = pack(
            PageToken(
                namespace_id=row.namespace_id,
                run_id=row.run_id,
                next_event_id=found.next_event_id,
                end_event_id=row.next_event_id,
                transient=task.is_transient,
            )
        )
    elif task.is_transient:
        events += transient_events(row)
    return answer.SerializeToString() + field(_HISTORY_FIELD, events)
