"""One task queue under random sequences: nothing is lost, nothing is started twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.matching.desk import NAMESPACE, Desk, number_of, task
from topology.matching import backlog
from topology.matching.queue import IDLE
from topology.matching.tasks import Poll, value_of

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["offer", "offer", "poll", "poll", "leave", "fold", "fold", "start", "start", "fail"]
        ),
        st.integers(0, 9),
    ),
    max_size=80,
)
CRASHES = st.lists(
    st.tuples(
        st.sampled_from(["offer", "poll", "fold", "start", "fail", "crash", "again"]),
        st.integers(0, 9),
    ),
    max_size=80,
)


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that windows are read again and again."""
    monkeypatch.setattr(backlog, "WINDOW", 3)


def take_step(desk: Desk, step: str, number: int, priority: int = 0) -> None:
    """Do one thing."""
    match step:
        case "offer":
            desk.offer(task(len(desk.offered), priority=priority))
        case "again" if desk.offered:
            desk.offer(desk.offered[number % len(desk.offered)])
        case "poll":
            desk.poll()
        case "leave":
            desk.queue.leave(f"p{number}")
        case "fold":
            desk.fold(number + 1)
        case "start" if desk.matches:
            desk.start(number % len(desk.matches))
        case "fail" if desk.matches:
            desk.fail(number % len(desk.matches))
        case "crash":
            desk.crash()


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_m1_every_task_is_started_and_none_twice(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order, each task gets one verdict and leaves no row."""
    desk = Desk()
    verdicts: list[int] = []
    start = desk.start

    def noted(at: int = 0) -> int:
        number = start(at)
        verdicts.append(number)
        return number

    desk.start = noted  # type: ignore[method-assign]  # listening
    for step, number in steps:
        take_step(desk, step, number, priority=number % 6)
        assert desk.queue.backlog.count >= 0
        assert len({one.task.key for one in desk.matches}) == len(desk.matches)
    desk.drain()
    assert sorted(verdicts) == list(range(len(desk.offered)))
    assert [key for key in desk.rows.rows if key[:1] in b"tkq"] == []
    assert desk.queue.backlog.count == desk.queue.backlog.taken_count == 0


@settings(max_examples=300, deadline=None)
@given(CRASHES)
def test_m1_losing_all_memory_loses_nothing(steps: list[tuple[str, int]]) -> None:
    """With crashes and repeated offers history refuses what it has started; all rows go."""
    desk = Desk()
    for step, number in steps:
        take_step(desk, step, number, priority=number % 6)
    desk.crash()
    desk.drain()
    assert set(desk.started) == {number_of(one) for one in desk.offered}
    assert [key for key in desk.rows.rows if key[:1] in b"tkq"] == []


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["offer", "poll", "fold", "start"]), st.integers(0, 9)),
        max_size=80,
    )
)
def test_tasks_and_polls_are_first_come_first_served(steps: list[tuple[str, int]]) -> None:
    """Without failures the n-th task goes to the n-th poll."""
    desk = Desk()
    pairs: list[tuple[int, str]] = []
    for step, number in steps:
        take_step(desk, step, number)
        pairs += [(number_of(one.task), one.poll.poll_id) for one in desk.matches]
        while desk.matches:
            desk.start()
    assert pairs == [(at, f"p{at + 1}") for at in range(len(pairs))]
    assert len(pairs) == min(len(desk.offered), desk._polls)


@given(priorities=st.lists(st.integers(0, 5), max_size=30), is_folded=st.booleans())
def test_priorities_are_strict_among_tasks_that_wait(
    *, priorities: list[int], is_folded: bool
) -> None:
    """Lower numbers first, no number is 3; in order within one."""
    desk = Desk()
    for number, priority in enumerate(priorities):
        desk.offer(task(number, priority=priority))
    if is_folded:
        desk.fold()
    for _ in priorities:
        desk.poll()
    expected = sorted(range(len(priorities)), key=lambda at: (priorities[at] or 3, at))
    assert [number_of(one.task) for one in desk.matches] == expected


def test_a_poll_never_waits_while_a_task_does() -> None:
    """Also when the task is still on its way to the log."""
    desk = Desk()
    desk.offer(task(0))
    desk.poll()
    assert [number_of(one.task) for one in desk.matches] == [0]


def test_an_expired_task_is_given_to_nobody() -> None:
    """It leaves a tombstone, and the poll gets the next one."""
    desk = Desk()
    desk.offer(task(0, expires_at=10))
    desk.offer(task(1, expires_at=11))
    desk.fold()
    desk.now = 10
    desk.poll()
    assert desk.expired == [0]
    assert [number_of(one.task) for one in desk.matches] == [1]
    desk.fold()
    assert desk.queue.backlog.count == 0


def test_a_repeated_offer_keeps_its_place() -> None:
    """The same key again changes nothing."""
    desk = Desk()
    for number in (0, 1, 0):
        desk.offer(task(number))
    desk.fold()
    assert desk.queue.backlog.count == 2
    for _ in range(3):
        desk.poll()
    assert [number_of(one.task) for one in desk.matches] == [0, 1]


def test_only_a_window_of_the_backlog_is_in_memory() -> None:
    """The rest is read when it is needed, in order."""
    desk = Desk()
    for number in range(20):
        desk.offer(task(number))
    desk.fold()
    seen = []
    for _ in range(20):
        desk.poll()
        assert desk.queue.backlog.window_count <= 3
        seen.append(desk.start())
    assert seen == list(range(20))
    assert desk.queue.backlog.fresh_count == 0


def test_too_many_taken_tasks_stop_a_queue_until_tombstones_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory stays bounded when the log is read too slowly."""
    monkeypatch.setattr(backlog, "TAKEN_LIMIT", 2)
    desk = Desk()
    for number in range(4):
        desk.offer(task(number))
    desk.fold()
    for _ in range(4):
        desk.poll()
    assert len(desk.matches) == 2
    desk.start()
    desk.start()
    assert desk.matches == []
    desk.fold()
    assert [number_of(one.task) for one in desk.matches] == [2, 3]


def test_an_offer_does_not_overtake_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll and a task may both wait: too many are taken. The next offer waits behind."""
    monkeypatch.setattr(backlog, "TAKEN_LIMIT", 1)
    desk = Desk()
    desk.offer(task(0))
    desk.offer(task(1))
    desk.poll()
    desk.poll()
    desk.offer(task(2))
    order = []
    while desk.matches:
        order.append(desk.start())
        desk.fold()
    assert order == [0, 1]
    assert desk.queue.backlog.count == 1


def test_a_task_is_not_taken_twice_when_it_is_read_back_behind_another() -> None:
    """What a former life appended comes first; the taken one behind it is not read again."""
    desk = Desk()
    desk.poll()
    desk.queue.leave("p1")
    first = task(0)
    desk.offered.append(first)
    desk.log.append((first.key, value_of(first)))
    desk.offer(task(1))
    desk.poll()
    desk.fold()
    for _ in range(2):
        desk.poll()
    assert [number_of(one.task) for one in desk.matches] == [1, 0]
    assert desk.queue.backlog.count == 0


def test_a_tombstone_of_another_owner_removes_what_is_in_the_window() -> None:
    """It was written before that owner knew it had lost the partition."""
    desk = Desk()
    for number in range(3):
        desk.offer(task(number))
    desk.fold()
    desk.poll()
    desk.log.append((task(1).key, None))
    desk.fold()
    desk.poll()
    assert [number_of(one.task) for one in desk.matches] == [0, 2]
    assert desk.queue.backlog.count == 0


def test_a_queue_is_idle_five_minutes_after_its_last_poll() -> None:
    """A waiting poll, or a task on its way, keeps it."""
    desk = Desk()
    poll_id = desk.poll()
    assert not desk.queue.is_idle(IDLE)
    desk.queue.leave(poll_id)
    assert not desk.queue.is_idle(IDLE - 1)
    assert desk.queue.is_idle(IDLE)
    desk.offer(task(0))
    assert not desk.queue.is_idle(IDLE)
    desk.fold()
    assert desk.queue.is_idle(IDLE)


def test_pollers_are_remembered_for_five_minutes_and_not_too_many() -> None:
    """The latest first."""
    desk = Desk()
    for number in range(1_200):
        desk.queue.wait(Poll(f"p{number}", f"me-{number}", NAMESPACE), number)
    pollers = desk.queue.pollers(1_199)
    assert len(pollers) == 1_000
    assert pollers[0] == ("me-1199", 1_199, None)
    assert desk.queue.pollers(1_199 + IDLE) == []
