"""Hints to workers that scale their polls."""

import pytest

from schemas.instants import MILLISECOND, SECOND
from schemas.temporal import service
from topology.matching.answers import with_poller_change
from topology.matching.queue import Stats
from topology.matching.scaling import Scaling

QUIET = Stats(0, 0, 1.0, 1.0, None)
LATE = Stats(5, 201 * MILLISECOND, 1.0, 1.0, None)


@pytest.mark.parametrize(
    ("waited", "flow", "change"),
    [
        (SECOND, LATE, -1),
        (SECOND - 1, QUIET, 0),
        (0, LATE, 1),
        (0, LATE._replace(backlog_age=200 * MILLISECOND), 0),
        (0, QUIET._replace(add_rate=1.3), 1),
        (0, QUIET._replace(add_rate=1.3, dispatch_rate=0.0), 0),
        (0, LATE._replace(limit=10.0), 0),
    ],
)
def test_idle_polls_are_too_many_and_late_tasks_want_more(
    waited: int, flow: Stats, change: int
) -> None:
    """A bound says that more would not help."""
    assert Scaling(0).change(waited, lambda: flow, 0) == change


def test_more_polls_are_asked_for_ten_times_a_second_at_most() -> None:
    """Fewer as often as it is true."""
    scaling = Scaling(0)
    assert sum(scaling.change(0, lambda: LATE, 0) for _ in range(50)) == 10
    assert sum(scaling.change(SECOND, lambda: LATE, 0) for _ in range(50)) == -50
    assert scaling.change(0, lambda: LATE, SECOND) == 1


def test_a_hint_is_appended_to_an_answer() -> None:
    """Nothing is parsed; nothing is added where there is none."""
    workflow = service.PollWorkflowTaskQueueResponse(attempt=2)
    activity = service.PollActivityTaskQueueResponse(attempt=2)
    hinted = workflow.FromString(with_poller_change(workflow.SerializeToString(), "workflow", -1))
    assert hinted.poller_scaling_decision.poll_request_delta_suggestion == -1
    other = activity.FromString(with_poller_change(activity.SerializeToString(), "activity", 1))
    assert (other.attempt, other.poller_scaling_decision.poll_request_delta_suggestion) == (2, 1)
    assert with_poller_change(b"x", "workflow", 0) == b"x"
