"""Keys, records and rows of tasks."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.temporal import service
from tests.topology.matching.desk import QUEUE, MemoryRows, task
from topology.matching.answers import with_backlog_count
from topology.matching.rows import (
    Position,
    TaskRecord,
    expired_tasks,
    fold,
    stored_count,
    stored_tasks,
    unpack_position,
)
from topology.matching.tasks import key_of, offered, queue_of, queue_of_key, task_of, value_of


@given(st.text(min_size=1), st.sampled_from(["workflow", "activity"]))
def test_a_key_names_its_queue(queue: str, kind: str) -> None:
    """Also when the queue's name has slashes."""
    queue = queue.encode("utf-8", "ignore").decode() or "q"
    offer = replace(task(5).offer, queue=queue, kind=kind)
    assert queue_of_key(key_of(offer)) == queue_of(offer)


def test_a_mark_is_no_task() -> None:
    """Its key names no queue, and folding it moves the position only."""
    assert queue_of_key(b"/claim") is None
    folded = fold([TaskRecord(7, b"/claim", None)], MemoryRows(), Position("topic", 8))
    assert folded.happened == []
    (value,) = folded.rows.values()
    assert value is not None
    assert unpack_position(value) == Position("topic", 8)


def test_a_record_reads_back_as_the_task() -> None:
    """All fields travel."""
    one = offered(3, replace(task(5).offer, priority=2, expires_at=9, stamp=4))
    assert task_of(value_of(one)) == one


def test_rows_are_in_the_order_of_the_log_and_apart_by_queue() -> None:
    """A queue whose name begins with another's has rows of its own."""
    rows = MemoryRows()
    other = offered(0, replace(task(1).offer, queue=QUEUE.queue + "/activity"))
    mine = [task(number) for number in (9, 3, 7)]
    records = [
        TaskRecord(at, one.key, value_of(one)) for at, one in enumerate([mine[0], other, *mine[1:]])
    ]
    rows.write(fold(records, rows, Position("topic", 4)).rows)
    assert [one for _, one in stored_tasks(rows, QUEUE, 3, 0)] == mine
    assert [at for at, _ in stored_tasks(rows, QUEUE, 3, 1)] == [2, 3]
    assert stored_count(rows, QUEUE) == 3


def test_m1_a_task_and_its_tombstone_in_one_batch_leave_no_row() -> None:
    """Nothing but the position is written for them that stays."""
    rows = MemoryRows()
    one = task(1)
    records = [TaskRecord(0, one.key, value_of(one)), TaskRecord(1, one.key, None)]
    rows.write(fold(records, rows, Position("topic", 2)).rows)
    assert list(rows.rows) == [b"\x00position"]


def test_expired_tasks_are_found_some_rows_at_a_time() -> None:
    """The search goes on where it ended, and begins anew at the end."""
    rows = MemoryRows()
    records = [
        TaskRecord(at, task(at).key, value_of(task(at, expires_at=at % 2))) for at in range(10)
    ]
    rows.write(fold(records, rows, Position("topic", 10)).rows)
    first, start = expired_tasks(rows, b"", now=5, limit=4)
    second, end = expired_tasks(rows, start, now=5, limit=9)
    numbers = [one.offer.scheduled_event_id for one in first + second]
    assert (numbers, end) == ([1, 3, 5, 7, 9], b"")


@given(st.integers(1, 2**40))
def test_the_hint_is_a_field_of_the_answer(count: int) -> None:
    """Appended bytes read as the field; zero adds nothing."""
    answer = service.PollWorkflowTaskQueueResponse(task_token=b"token").SerializeToString()
    read = service.PollWorkflowTaskQueueResponse.FromString(with_backlog_count(answer, count))
    assert (read.task_token, read.backlog_count_hint) == (b"token", count)
    assert with_backlog_count(answer, 0) == answer
