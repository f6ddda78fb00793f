"""Bounds and rates of a queue."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.instants import SECOND
from tests.topology.matching.desk import NAMESPACE, QUEUE, Desk, task
from topology.matching.pace import Pace, Rate
from topology.matching.queue import TaskQueue
from topology.matching.tasks import Poll, Worker


def test_without_a_bound_everything_goes() -> None:
    """At once."""
    pace = Pace()
    assert all(pace.take(0) for _ in range(10_000))
    assert pace.delay(0) == 0


@given(st.floats(0.1, 50), st.lists(st.integers(0, SECOND), max_size=200))
def test_no_more_goes_than_the_bound_and_its_first_second(bound: float, steps: list[int]) -> None:
    """Over any time."""
    pace = Pace()
    pace.set(bound, 0)
    now = taken = 0
    for step in steps:
        now += step
        taken += pace.take(now)
    assert taken <= bound * now / SECOND + max(1, bound + 1) + 1e-6


@given(st.floats(0.1, 50), st.integers(0, 10**18))
def test_after_the_delay_the_next_one_goes(bound: float, now: int) -> None:
    """Not before."""
    pace = Pace()
    pace.set(bound, now)
    while pace.take(now):
        pass
    delay = pace.delay(now)
    assert delay is not None
    assert delay > 0
    assert not pace.take(now + delay // 2)
    assert pace.take(now + delay + 1_000)


def test_a_bound_of_zero_stops_a_queue() -> None:
    """Until somebody names another one."""
    pace = Pace()
    pace.set(0, 0)
    pace.take(0)
    assert not pace.take(100 * SECOND)
    assert pace.delay(100 * SECOND) is None
    pace.set(1, 100 * SECOND)
    assert pace.take(101 * SECOND)


def test_a_rate_is_of_the_last_half_minute() -> None:
    """And of less while the queue is younger."""
    rate = Rate(0)
    for second in range(10):
        rate.count(second * SECOND)
    assert rate.per_second(10 * SECOND) == 1
    assert rate.per_second(100 * SECOND) == 0


def test_the_last_bound_that_a_poll_names_holds_for_the_whole_queue() -> None:
    """A task over it waits although polls do."""
    desk = Desk()
    queue = TaskQueue(QUEUE, stored=0, now=0)
    for number in range(4):
        queue.wait(Poll(f"p{number}", "me", NAMESPACE, Worker("w", 1.0)), 0)
    first, second, third = (task(number) for number in range(3))
    assert queue.match(first, 0) is not None
    assert queue.match(second, 0) is None
    offered = queue.offer(desk.rows, 0)
    assert (offered.matches, offered.is_more, offered.delay) == ([], True, SECOND)
    assert queue.match(third, SECOND // 2) is None
    offered = queue.offer(desk.rows, SECOND)
    assert [match.task.key for match in offered.matches] == [second.key]
    assert offered.delay == SECOND
    assert queue.pollers(SECOND)[0].tasks_per_second == 1.0
    assert queue.stats(desk.rows, SECOND).backlog_count == 1
