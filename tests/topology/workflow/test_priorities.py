"""Priorities: an activity's own, over its workflow's, field by field."""

from schemas.temporal import common
from tests.support.core import Desk
from tests.support.core_words import activity
from topology.workflow import priorities

_GIVEN = {"priority_key": 2, "fairness_key": "tenant", "fairness_weight": 3.0}


def test_fields_that_are_not_said_come_from_below() -> None:
    """Key, fairness key and weight each for itself."""
    base = common.Priority(**_GIVEN).SerializeToString()
    over = common.Priority(priority_key=4, fairness_weight=0.5).SerializeToString()
    expected = common.Priority(priority_key=4, fairness_key="tenant", fairness_weight=0.5)
    assert priorities.merged(base, over) == expected
    assert priorities.merged(base, b"") == common.Priority(**_GIVEN)
    assert priorities.merged(b"", b"") is None
    assert (priorities.level(base, over), priorities.level(base), priorities.level(b"")) == (
        4,
        2,
        0,
    )


def test_activity_has_its_workflows_priority_unless_it_says_otherwise(desk: Desk) -> None:
    """Its worker is told what holds; the history keeps what was said."""
    desk.start(priority=_GIVEN)
    desk.step(activity("plain"), activity("own", priority={"priority_key": 5}))
    found = {}
    for _ in range(2):
        task = desk.poll_activity()
        found[task.activity_id] = task.priority
    assert found["plain"] == common.Priority(**_GIVEN)
    assert found["own"] == common.Priority(**(_GIVEN | {"priority_key": 5}))
    scheduled = [
        event.activity_task_scheduled_event_attributes
        for event in desk.events()
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert [one.priority.priority_key for one in scheduled] == [0, 5]


def test_workers_with_more_tasks_take_the_urgent_first(desk: Desk) -> None:
    """Offers of workflow tasks and activities carry the level that matching sorts by."""
    desk.start(priority=_GIVEN)
    offers = [one for one in desk.offers if one.kind == "workflow"]
    assert [one.priority for one in offers] == [2]
