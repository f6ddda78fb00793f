"""The audit of families and chains finds what it is there for."""

from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from tests.chaos.auditor import Run
from tests.chaos.family_audit import disorders
from tests.chaos.journal import Told


def event(event_id: int, kind: str, **attributes: Any) -> HistoryEvent:
    """Return an event; its attributes are named after its type."""
    fields: dict[str, Any] = {f"{kind.lower()}_event_attributes": attributes}
    made = HistoryEvent(event_id=event_id, **fields)
    made.event_type = EventType.Value(f"EVENT_TYPE_{kind}")
    made.event_time.FromNanoseconds(event_id)
    return made


def run(workflow_id: str, run_id: str, *events: HistoryEvent, **began: Any) -> Run:
    """Return a run that began so and completed, unless its events say otherwise."""
    first = event(1, "WORKFLOW_EXECUTION_STARTED", workflow_id=workflow_id, **began)
    last = [] if events and _is_end(events[-1]) else [event(90, "WORKFLOW_EXECUTION_COMPLETED")]
    return Run(workflow_id, run_id, [first, *events, *last])


def _is_end(one: HistoryEvent) -> bool:
    return one.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW


def family() -> dict[str, Run]:
    """Return a parent with a signalled child, and a chain of two."""
    child = {"workflow_id": "c", "run_id": "c1"}
    parent = {"workflow_id": "p", "run_id": "p1"}
    sent = {"workflow_execution": child}
    continued = event(5, "WORKFLOW_EXECUTION_CONTINUED_AS_NEW", new_execution_run_id="n2")
    return {
        "p1": run(
            "p",
            "p1",
            event(5, "START_CHILD_WORKFLOW_EXECUTION_INITIATED", workflow_id="c"),
            event(6, "CHILD_WORKFLOW_EXECUTION_STARTED", initiated_event_id=5),
            event(7, "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED", **sent),
            event(8, "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED", initiated_event_id=7),
            event(9, "CHILD_WORKFLOW_EXECUTION_COMPLETED", initiated_event_id=5),
            identity="me",
        ),
        "c1": run(
            "c",
            "c1",
            event(5, "WORKFLOW_EXECUTION_SIGNALED", external_workflow_execution=parent),
            parent_workflow_execution=parent,
        ),
        "n1": run("n", "n1", continued),
        "n2": run("n", "n2", event(6, "MARKER_RECORDED"), continued_execution_run_id="n1"),
    }


STARTED = Told("start", "me", "p", "p1", "done", 0)


def test_a_sound_log_has_no_problem() -> None:
    """Nothing is reported where all is well; the second link began after the first."""
    runs = family()
    runs["n2"].events[0].event_time.FromNanoseconds(6)
    assert disorders(runs, [STARTED]) == []


def _second_birth(runs: dict[str, Run]) -> None:
    runs["c2"] = Run("c", "c2", [*runs["c1"].events])


def _signal_twice(runs: dict[str, Run]) -> None:
    runs["c1"].events.insert(2, runs["c1"].events[1])


def _lost_answer(runs: dict[str, Run]) -> None:
    del runs["p1"].events[4]


def _lost_end(runs: dict[str, Run]) -> None:
    del runs["p1"].events[5]


def _lost_successor(runs: dict[str, Run]) -> None:
    del runs["n2"]


def _two_successors(runs: dict[str, Run]) -> None:
    runs["n3"] = Run("n", "n3", runs["n2"].events)


def _open(runs: dict[str, Run]) -> None:
    del runs["c1"].events[-1]


def _too_early(runs: dict[str, Run]) -> None:
    runs["n2"].events[0].event_time.FromNanoseconds(4)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (_second_birth, "child c was begun 2 times"),
        (_signal_twice, "arrived 2 times"),
        (_lost_answer, "was answered 0 times"),
        (_lost_end, "in all 1 times"),
        (_lost_successor, "expected the successor 'n2', found []"),
        (_two_successors, "run n1 has 2 successors"),
        (_open, "run c1 has 0 ends"),
        (_too_early, "began before n1 ended"),
    ],
)
def test_each_disorder_is_found(spoil: Any, found: str) -> None:
    """One thing is wrong; the audit says which."""
    runs = family()
    runs["n2"].events[0].event_time.FromNanoseconds(6)
    spoil(runs)
    assert any(found in problem for problem in disorders(runs, [STARTED]))


def test_a_start_that_was_answered_must_be_there() -> None:
    """Under the run id that the client was told."""
    runs = family()
    runs["n2"].events[0].event_time.FromNanoseconds(6)
    (problem,) = disorders(runs, [STARTED._replace(run_id="other")])
    assert "expected its first run, found ['p1']" in problem
