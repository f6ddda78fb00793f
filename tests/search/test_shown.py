"""What a list answers of a run."""

from schemas.temporal import common, workflow
from search.attributes import Attribute, ValueType
from search.shown import shown, shown_group
from tests.search.test_store import run
from tests.support.search_samples import EPOCH


def test_everything_of_a_closed_run_is_shown() -> None:
    """Exact times, memo, attributes with their types; attributes that are gone are left out."""
    memo = common.Memo(fields={"a": common.Payload(data=b"1")})
    document = run(
        1,
        status=2,
        closed_at=EPOCH + 7,
        execution_duration=6,
        history_length=11,
        parent_workflow_id="parent",
        root_workflow_id="root",
        memo=memo.SerializeToString(),
        extra=workflow.WorkflowExecutionInfo(first_run_id="first").SerializeToString(),
        attributes={
            "Customer": Attribute(ValueType.KEYWORD, ("a",)),
            "Gone": Attribute(ValueType.KEYWORD, ("a",)),
            "Retyped": Attribute(ValueType.KEYWORD, ("a",)),
            "BuildIds": Attribute(ValueType.KEYWORD_LIST, ("x",)),
        },
    )
    answer = shown(document, {"Customer": ValueType.KEYWORD, "Retyped": ValueType.INT})
    assert ("order-1", "run-0001", "Order", 2) == (
        answer.execution.workflow_id,
        answer.execution.run_id,
        answer.type.name,
        answer.status,
    )
    assert (answer.close_time.nanos, answer.execution_duration.nanos) == (7, 6)
    assert (answer.parent_execution.workflow_id, answer.history_length) == ("parent", 11)
    assert (answer.memo, answer.first_run_id) == (memo, "first")
    assert {"Customer", "BuildIds"} == set(answer.search_attributes.indexed_fields)


def test_an_open_run_has_no_end() -> None:
    """Neither a close time nor a duration, nor a parent."""
    answer = shown(run(1), {})
    for field in ("close_time", "execution_duration", "parent_execution"):
        assert not answer.HasField(field)


def test_a_group_is_a_keyword() -> None:
    """With its type, as clients decode it."""
    assert shown_group("Running").data == b'"Running"'
    assert shown_group("").metadata["type"] == b"Keyword"
