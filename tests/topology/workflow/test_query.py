"""Queries as plans: refused, along with a workflow task, or with a task of their own (M4)."""

from typing import Any

import pytest

from schemas.errors import NotFound, WorkflowNotReady
from schemas.instants import SECOND
from schemas.temporal import enums, query, service
from tests.support.core import NAMESPACE, Desk, WorkflowTask
from tests.support.core_words import complete, sec, timer, vals
from topology.own_work import PlanQuery, ReadQueryTask
from topology.tokens import unpack_page
from topology.workflow import histories
from topology.workflow.query import Direct, Plan, Rides, Turned, plan_of

_QUERY = query.WorkflowQuery(query_type="state", query_args=vals("arg"))
_NOT_OPEN = enums.QueryRejectCondition.QUERY_REJECT_CONDITION_NOT_OPEN
_NOT_CLEAN = enums.QueryRejectCondition.QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY
_COMPLETED = enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
_TERMINATED = enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED


def plan(desk: Desk, workflow_id: str = "w", *, wait_s: float = 30, **more: Any) -> Plan:
    """Ask how a query would be handled; it may leave no trace."""
    request = service.QueryWorkflowRequest(
        execution={"workflow_id": workflow_id}, query=_QUERY, **more
    )
    before = (len(desk.log), dict(desk.rows.rows))
    packed = desk.read("PlanQuery", PlanQuery(request, desk.now + round(wait_s * SECOND)))
    assert before == (len(desk.log), desk.rows.rows)
    return plan_of(packed)


def task(desk: Desk, *, is_sticky: bool = False) -> WorkflowTask:
    """Return the task that asks a worker."""
    ask = ReadQueryTask("w", desk.run_id, _QUERY.SerializeToString(), b"token", is_sticky)
    return WorkflowTask.FromString(desk.read("QueryTask", ask))


def waiting() -> Desk:
    """Return a desk whose workflow has nothing but a long timer."""
    desk = Desk()
    desk.start()
    desk.step(timer("t", 60))
    return desk


def test_r2_what_is_news_has_a_workflow_task_and_the_query_rides_on_it() -> None:
    """Scheduled or started, the first one too."""
    desk = Desk()
    run_id = desk.start()
    assert plan(desk) == Rides(run_id)
    first = desk.poll()
    assert plan(desk) == Rides(run_id)
    desk.reply(first, timer("t", 60))
    desk.signal()
    assert plan(desk) == Rides(run_id)


def test_r2_nothing_is_news_and_the_query_has_a_task_of_its_own() -> None:
    """That task has the whole history, no started event, and the question."""
    desk = waiting()
    expected = Direct(desk.run_id, "tq", next_event_id=6, is_open=True)
    assert plan(desk) == expected
    asked = task(desk)
    assert [each.event_id for each in asked.history.events] == [1, 2, 3, 4, 5]
    assert (asked.previous_started_event_id, asked.started_event_id, asked.attempt) == (3, 0, 1)
    assert (asked.query, dict(asked.queries), asked.task_token) == (_QUERY, {}, b"token")
    desk.check()


def test_a_closed_run_is_asked_with_its_whole_history() -> None:
    """Long after it closed."""
    desk = waiting()
    desk.signal()
    desk.step(complete())
    assert plan(desk) == Direct(desk.run_id, "tq", next_event_id=11, is_open=False)
    assert len(task(desk).history.events) == 10


def test_a_sticky_worker_is_asked_first_and_needs_no_history() -> None:
    """The plan names its queue and how long it may take."""
    desk = Desk()
    desk.start()
    attributes = {
        "worker_task_queue": {"name": "sticky", "normal_name": "tq"},
        "schedule_to_start_timeout": sec(5),
    }
    desk.step(timer("t", 60), sticky_attributes=attributes)
    found = plan(desk)
    assert isinstance(found, Direct)
    assert (found.sticky_queue, found.sticky_timeout) == ("sticky", 5 * SECOND)
    asked = task(desk, is_sticky=True)
    assert asked.HasField("history")
    assert (len(asked.history.events), asked.next_page_token) == (0, b"")


def test_a_long_history_comes_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token goes on where the page ended, as far as the query sees."""
    monkeypatch.setattr(histories, "PAGE_BATCHES_MAX", 2)
    monkeypatch.setattr(histories.page, "__kwdefaults__", {"size": 2})
    desk = waiting()
    asked = task(desk)
    token = unpack_page(asked.next_page_token)
    assert token.next_event_id == asked.history.events[-1].event_id + 1
    assert (token.namespace_id, token.end_event_id) == (NAMESPACE.id, 6)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [(_NOT_OPEN, Turned(_COMPLETED)), (_NOT_CLEAN, None), (0, None)],
)
def test_a_completed_run_is_turned_away_only_where_open_ones_are_wanted(
    condition: int, expected: Plan | None
) -> None:
    """Completed is clean."""
    desk = waiting()
    assert isinstance(plan(desk, query_reject_condition=condition), Direct)
    desk.signal()
    desk.step(complete())
    found = plan(desk, query_reject_condition=condition)
    assert found == expected if expected else isinstance(found, Direct)


def test_a_terminated_run_is_turned_away_by_both_conditions() -> None:
    """Before anything else is looked at: it had no workflow task either."""
    desk = Desk()
    desk.start()
    desk.terminate()
    for condition in (_NOT_OPEN, _NOT_CLEAN):
        assert plan(desk, query_reject_condition=condition) == Turned(_TERMINATED)


def refused(desk: Desk, message: str, **more: Any) -> None:
    """Expect WorkflowNotReady."""
    with pytest.raises(WorkflowNotReady) as refusal:
        plan(desk, **more)
    assert refusal.value.message == message


def test_a_run_that_closed_before_its_first_task_cannot_be_asked() -> None:
    """No worker has ever seen it."""
    desk = Desk()
    desk.start()
    desk.terminate()
    refused(desk, "Workflow execution closed before WorkflowTaskStarted event")


def test_a_run_whose_first_task_is_further_off_than_the_caller_waits_cannot_be_asked() -> None:
    """One who waits long enough rides on it."""
    desk = Desk()
    run_id = desk.start(workflow_start_delay=sec(60))
    refused(desk, "Workflow task is not scheduled yet.", wait_s=59)
    assert plan(desk, wait_s=61) == Rides(run_id)


def test_a_run_whose_task_keeps_failing_cannot_be_asked() -> None:
    """From the third attempt on."""
    desk = Desk()
    run_id = desk.start()
    desk.fail_task(desk.poll())
    assert plan(desk) == Rides(run_id)
    desk.fail_task(desk.poll())
    refused(desk, "Unable to query workflow due to Workflow Task in failed state.")


def test_an_unknown_workflow_is_not_found() -> None:
    """With the words of Describe."""
    with pytest.raises(NotFound) as refusal:
        plan(Desk(), "nobody")
    assert refusal.value.message == "workflow not found for ID: nobody"
