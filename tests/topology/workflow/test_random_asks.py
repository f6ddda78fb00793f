"""Random asks, legal or not: what must hold of every history and every state.

The machine plays clients and workers that repeat themselves, answer late and get things wrong. It
knows nothing of what should happen; it checks what may never happen.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas import event_types as on
from schemas.errors import ServiceError
from schemas.instants import SECOND
from schemas.temporal import command, history
from tests.support.core import ActivityTask, Desk, WorkflowTask
from tests.support.core_words import (
    QUICK,
    activity,
    cancel_activity,
    cancel_timer,
    complete,
    failed,
    marker,
    sec,
    timer,
    val,
)
from topology.effects import OfferTask
from topology.own_work import FireDue
from topology.workflow.execution import RUNNING
from topology.workflow.state import Run

SPANS = st.sampled_from((0.3, 1, 5))
WORKFLOWS = st.sampled_from(("w", "v"))
CLOSING = frozenset({2, 3, 4, 21, 27, 28})
ENDS = {
    on.ACTIVITY_TASK_COMPLETED: "activity_task_completed_event_attributes",
    on.ACTIVITY_TASK_FAILED: "activity_task_failed_event_attributes",
    on.ACTIVITY_TASK_TIMED_OUT: "activity_task_timed_out_event_attributes",
    on.ACTIVITY_TASK_CANCELED: "activity_task_canceled_event_attributes",
}


Wish = Callable[[Run], command.Command]


def activities() -> st.SearchStrategy[Wish]:
    """Wish for an activity with some timeouts and a policy; its id is mostly new."""
    policies = st.sampled_from((QUICK, {"maximum_attempts": 1}, {"maximum_attempts": 2}))
    timeouts = st.fixed_dictionaries(
        {"start_to_close_timeout": SPANS.map(sec), "retry_policy": policies},
        optional={
            "schedule_to_close_timeout": SPANS.map(sec),
            "schedule_to_start_timeout": SPANS.map(sec),
            "heartbeat_timeout": SPANS.map(sec),
        },
    )
    return timeouts.map(lambda fields: lambda run: activity(new_id(run), **fields))


def cancels(index: int) -> Wish:
    """Wish for the end of a pending activity (or of none)."""

    def wish(run: Run) -> command.Command:
        pending = sorted(run.activities) or [index]
        return cancel_activity(pending[index % len(pending)])

    return wish


def timers(seconds: float) -> Wish:
    """Wish for a timer."""
    return lambda run: timer(new_id(run), seconds)


def cancelled_timers(index: int) -> Wish:
    """Wish for the end of a timer that was started, fired or not."""

    def wish(run: Run) -> command.Command:
        waiting = [history.HistoryEvent.FromString(each) for each in run.buffered]
        fired = [each.timer_fired_event_attributes.timer_id for each in waiting]
        known = [*sorted(run.timers), *filter(None, fired)] or ["none"]
        return cancel_timer(known[index % len(known)])

    return wish


def new_id(run: Run) -> str:
    """Return an id that is new in a run, unless two are asked for at once."""
    return f"{run.execution.next_event_id}"


def wishes() -> st.SearchStrategy[list[Wish]]:
    """Return what a worker may want; now and then it closes the run."""
    indexes = st.integers(0, 9)
    one = st.one_of(
        activities(),
        activities(),
        st.sampled_from((0, 0.3, 1, 5)).map(timers),
        indexes.map(cancels),
        indexes.map(cancelled_timers),
        st.just(lambda _: marker("m")),
    )
    closing = st.integers(0, 9).map(lambda chance: [lambda _: complete()] if chance == 9 else [])
    return st.tuples(st.lists(one, max_size=3), closing).map(lambda both: both[0] + both[1])


class RandomAsks(RuleBasedStateMachine):
    """Two workflow ids, all that happened to them, and every task ever handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.tasks: list[Any] = []
        self.activities: list[Any] = []
        self.polls: list[tuple[OfferTask, str]] = []

    @initialize(wanted=st.lists(activities(), min_size=1, max_size=3))
    def begin(self, wanted: list[Wish]) -> None:
        """Have one run with something to do."""
        self.desk.start("w")
        self.work(wanted)

    # -- clients

    @rule(workflow_id=WORKFLOWS, seconds=st.sampled_from((5, 60, 600)))
    def start(self, workflow_id: str, seconds: float) -> None:
        """Start a workflow, if it is not running."""
        timeout = sec(seconds)
        self.try_to(lambda: self.desk.start(workflow_id, workflow_run_timeout=timeout))

    @rule(workflow_id=WORKFLOWS)
    def signal(self, workflow_id: str) -> None:
        """Signal a workflow, if it is running."""
        self.try_to(lambda: self.desk.signal(workflow_id=workflow_id))

    @rule(workflow_id=WORKFLOWS)
    def cancel(self, workflow_id: str) -> None:
        """Ask a workflow to end."""
        self.try_to(lambda: self.desk.cancel(workflow_id))

    @rule(workflow_id=WORKFLOWS, chance=st.integers(0, 20))
    def terminate(self, workflow_id: str, chance: int) -> None:
        """End a workflow, now and then."""
        if chance == 20:
            self.try_to(lambda: self.desk.terminate(workflow_id))

    # -- workers

    @precondition(lambda self: self.desk.offers)
    @rule(index=st.integers(0, 5))
    def take(self, index: int) -> None:
        """Start an offered task."""
        offers = self.desk.offers
        self.poll(offers.pop(index % len(offers)), self.desk.new_id())

    @precondition(lambda self: self.desk.offered)
    @rule(index=st.integers(0, 50))
    def take_once_more(self, index: int) -> None:
        """Start a task that was offered before, for another poll."""
        self.poll(self.desk.offered[index % len(self.desk.offered)], self.desk.new_id())

    @precondition(lambda self: self.polls)
    @rule(index=st.integers(0, 50))
    def poll_again(self, index: int) -> None:
        """Repeat a start: the same answer, or none any more."""
        self.poll(*self.polls[index % len(self.polls)])

    @precondition(lambda self: self.polls)
    @rule(index=st.integers(0, 50))
    def hand_back(self, index: int) -> None:
        """Give a task back that was started for a poll."""
        offer, poll_id = self.polls[-1 - index % min(3, len(self.polls))]
        self.try_to(lambda: self.desk.hand_back(offer, poll_id=poll_id))

    @precondition(lambda self: self.tasks)
    @rule(index=st.integers(0, 9), wanted=wishes())
    def reply(self, index: int, wanted: list[Wish]) -> None:
        """Complete a workflow task, mostly the newest."""
        task = self.tasks[-1 - index % len(self.tasks) if index > 7 else -1]
        run = self.desk.run(task.workflow_execution.run_id)
        self.try_to(lambda: self.desk.reply(task, *(wish(run) for wish in wanted)))

    @rule(wanted=wishes())
    def work(self, wanted: list[Wish]) -> None:
        """Do the next workflow task, if there is one."""
        if self.take_any("workflow"):
            self.reply(0, wanted)

    @rule(how=st.integers(0, 5))
    def serve(self, how: int) -> None:
        """Do the next activity, if there is one."""
        if self.take_any("activity"):
            self.report(0, how)

    @precondition(lambda self: self.tasks)
    @rule(index=st.integers(0, 3))
    def fail_task(self, index: int) -> None:
        """Report a workflow task as failed."""
        task = self.tasks[-1 - index % len(self.tasks)]
        self.try_to(lambda: self.desk.fail_task(task, failure=failed("bad code")))

    @precondition(lambda self: self.activities)
    @rule(index=st.integers(0, 9), how=st.integers(0, 5))
    def report(self, index: int, how: int) -> None:
        """Report something of an activity that was handed out."""
        desk, task = self.desk, self.activities[-1 - index % len(self.activities)]
        reports: list[Callable[[], object]] = [
            lambda: desk.finish_activity(task, val("out")),
            lambda: desk.fail_activity(task, failure=failed()),
            lambda: desk.fail_activity(task, failure=failed(is_final=True)),
            lambda: desk.cancel_activity(task),
            lambda: desk.beat(task, val(index)),
            lambda: desk.beat(task),
        ]
        self.try_to(reports[how])

    @rule(index=st.integers(0, 9), how=st.sampled_from(("Completed", "Failed", "Canceled")))
    def report_by_id(self, index: int, how: str) -> None:
        """Report an activity by its ids, started or not."""
        pending = [
            (run.execution.workflow_id, each.activity_id)
            for run in self.desk.runs()
            for each in run.activities.values()
        ] or [("w", "none")]
        workflow_id, activity_id = pending[index % len(pending)]
        fields = {"workflow_id": workflow_id, "activity_id": activity_id}
        method = f"RespondActivityTask{how}ById"
        self.try_to(lambda: self.desk.call(method, to=workflow_id, **fields))

    # -- time and accidents

    @rule(seconds=st.sampled_from((0.1, 0.3, 1, 6, 30)))
    def pass_time(self, seconds: float) -> None:
        """Let timers fire at their instants."""
        self.desk.pass_time(seconds)

    @rule(seconds=st.sampled_from((1, 6, 30)))
    def stand_still(self, seconds: int) -> None:
        """Be away for a while: all that became due fires at once."""
        self.desk.now += seconds * SECOND
        self.desk.fire_due()

    @rule()
    def wake_in_vain(self) -> None:
        """Fire what is not due."""
        ask = FireDue(self.desk.run_id)
        self.try_to(lambda: self.desk.ask("FireDue", ask))

    @rule()
    def forget(self) -> None:
        """Lose the cache."""
        self.desk.forget()

    # -- what must hold

    @invariant()
    def histories_are_sound(self) -> None:
        """Ids are contiguous, nothing follows the end, and nothing ends twice."""
        for run in self.desk.runs():
            events = self.events(run)
            assert [each.event_id for each in events] == list(range(1, len(events) + 1))
            assert all(each.event_type not in CLOSING for each in events[:-1])
            is_closed = events[-1].event_type in CLOSING
            assert is_closed == (run.execution.status != RUNNING)
            check_activities(run, events)
            check_timers(run, events)

    @invariant()
    def what_waits_has_been_offered(self) -> None:
        """Everything that waits for a worker is known to matching under its present name."""
        names = {
            (each.run_id, each.kind, each.scheduled_event_id, each.attempt, each.stamp)
            for each in self.desk.offered
        }
        for run in self.desk.runs():
            row = run.execution
            if row.status != RUNNING:
                continue
            for each in run.activities.values():
                if each.phase == "scheduled":
                    name = (each.scheduled_event_id, each.attempt, each.stamp)
                    assert (row.run_id, "activity", *name) in names
            if row.task is not None and not row.task.is_started:
                name = (row.task.scheduled_event_id, row.task.attempt, row.task.stamp)
                assert (row.run_id, "workflow", *name) in names

    @invariant()
    def only_a_task_that_is_out_buffers(self) -> None:
        """Without one, everything that happened has its id."""
        for run in self.desk.runs():
            row = run.execution
            is_out = row.task is not None and row.task.is_started
            assert row.buffered_count == len(run.buffered)
            assert is_out or not run.buffered
            assert row.flushing_count == 0

    def teardown(self) -> None:
        """Replay equals live."""
        self.desk.check()

    # -- inside

    def try_to(self, call: Callable[[], Any]) -> Any:
        """Ask for something that may be refused; a desk checks that refusals leave no trace."""
        try:
            return call()
        except ServiceError:
            return None

    def take_any(self, kind: str) -> bool:
        """Start the first offered task of a kind that can be started; tell whether one was."""
        for offer in [each for each in self.desk.offers if each.kind == kind]:
            self.desk.offers.remove(offer)
            if self.poll(offer, self.desk.new_id()):
                return True
        return False

    def poll(self, offer: OfferTask, poll_id: str) -> bool:
        """Start a task; remember what was handed out."""
        packed = self.try_to(lambda: self.desk.start_task(offer, poll_id=poll_id))
        if packed is None:
            return False
        self.polls.append((offer, poll_id))
        if offer.kind == "workflow":
            self.tasks.append(WorkflowTask.FromString(packed))
        else:
            self.activities.append(ActivityTask.FromString(packed))
        return True

    def events(self, run: Run) -> list[history.HistoryEvent]:
        """Return the events of a run that are in its history."""
        row = run.execution
        found = self.desk.events(row.workflow_id, row.run_id)
        return [each for each in found if each.event_id < row.next_event_id]


def check_activities(run: Run, events: list[history.HistoryEvent]) -> None:
    """Check that each activity is pending or has ended, once, behind its start."""
    scheduled = {e.event_id for e in events if e.event_type == on.ACTIVITY_TASK_SCHEDULED}
    started = {
        e.event_id: e.activity_task_started_event_attributes.scheduled_event_id
        for e in events
        if e.event_type == on.ACTIVITY_TASK_STARTED
    }
    waiting = [history.HistoryEvent.FromString(each) for each in run.buffered]
    ended: list[int] = []
    for event in (*events, *waiting):
        if field := ENDS.get(event.event_type):
            given = getattr(event, field)
            ended.append(given.scheduled_event_id)
            if given.started_event_id:
                assert started[given.started_event_id] == given.scheduled_event_id
                assert given.started_event_id < event.event_id or not event.event_id
    assert len(ended) == len(set(ended))
    if run.execution.status == RUNNING:  # else an end that was not seen may be dropped
        assert scheduled == set(ended) | set(run.activities)
    assert not set(ended) & set(run.activities)


def check_timers(run: Run, events: list[history.HistoryEvent]) -> None:
    """Check that each timer is pending or has ended, once."""
    started = {e.event_id for e in events if e.event_type == on.TIMER_STARTED}
    waiting = [history.HistoryEvent.FromString(each) for each in run.buffered]
    ended = [
        e.timer_fired_event_attributes.started_event_id
        or e.timer_canceled_event_attributes.started_event_id
        for e in (*events, *waiting)
        if e.event_type in {on.TIMER_FIRED, on.TIMER_CANCELED}
    ]
    pending = {each.started_event_id for each in run.timers.values()}
    assert len(ended) == len(set(ended))
    if run.execution.status == RUNNING:
        assert started == set(ended) | pending
    assert not set(ended) & pending


RandomAsks.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestRandomAsks = RandomAsks.TestCase
