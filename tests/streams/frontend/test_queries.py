"""Queries at the frontend: what is refused before anybody is asked, and what is taken out."""

from typing import Any

import pytest

from schemas.errors import InvalidArgument
from schemas.temporal import enums, query, service
from streams.frontend.rpcs import WORKFLOW_SERVICE
from tests.streams.frontend.stubs import DEFAULT, StubCall, World, always
from topology.tokens import QueryToken, Token, pack

_QUERY_TOKEN = QueryToken(DEFAULT.id, 3, b"incarnation", "query-1")
_TASK_TOKEN = Token(
    namespace_id=DEFAULT.id,
    workflow_id="w",
    run_id="run",
    kind="workflow",
    scheduled_event_id=5,
    attempt=1,
    started_event_id=6,
    stamp=1,
)
_ANSWERED = enums.QueryResultType.QUERY_RESULT_TYPE_ANSWERED


async def call(world: World, name: str, **fields: Any) -> bytes:
    """Call an RPC."""
    request = getattr(service, f"{name}Request")(namespace="default", **fields)
    return await WORKFLOW_SERVICE[name](world.services(), StubCall(request.SerializeToString()))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "WorkflowId is not set on request."),
        ({"execution": {"workflow_id": "w", "run_id": "r"}}, "Invalid RunId."),
        ({"execution": {"workflow_id": "w"}}, "WorkflowQuery is not set on request."),
        ({"execution": {"workflow_id": "w"}, "query": {}}, "QueryType is not set on request."),
    ],
)
async def test_queries_are_refused_in_temporals_words(fields: Any, message: str) -> None:
    """Nobody is asked."""
    world = World()
    with pytest.raises(InvalidArgument) as refusal:
        await call(world, "QueryWorkflow", **fields)
    assert refusal.value.message == message
    assert world.queries.asked == []


async def test_m4_a_query_is_no_command() -> None:
    """It waits where the run is; a sticky worker that does not answer is the only command."""
    world = World()
    world.queries.leaves_sticky = "run-1"
    fields: Any = {"execution": {"workflow_id": "w"}, "query": {"query_type": "state"}}
    assert await call(world, "QueryWorkflow", **fields) == b"answer"
    (asked,) = world.gateway.asked
    assert asked[:3] == ("default", "w", "ResetStickyTaskQueue")
    reset = service.ResetStickyTaskQueueRequest.FromString(asked[3])
    assert (reset.execution.workflow_id, reset.execution.run_id) == ("w", "run-1")


async def test_c5_the_token_of_a_query_names_who_waits() -> None:
    """Its answer is given there."""
    world = World()
    await call(world, "RespondQueryTaskCompleted", task_token=pack(_QUERY_TOKEN))
    assert world.queries.answers == [_QUERY_TOKEN]


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (b"", "Task token not set on request."),
        (b"x", "Error deserializing task token."),
        (pack(_TASK_TOKEN), "Error deserializing task token."),
        (
            pack(QueryToken("elsewhere", 0, b"", "")),
            "Operation requested with a token from a different namespace.",
        ),
    ],
)
async def test_other_tokens_name_no_query(token: bytes, message: str) -> None:
    """Neither does a query's token name a task."""
    world = World()
    with pytest.raises(InvalidArgument) as refusal:
        await call(world, "RespondQueryTaskCompleted", task_token=token)
    assert refusal.value.message == message
    with pytest.raises(InvalidArgument):
        await call(world, "RespondWorkflowTaskCompleted", task_token=pack(_QUERY_TOKEN))


async def test_m4_answers_of_queries_are_not_appended() -> None:
    """They are taken out of the completion, and given to who waits."""
    world = World()
    result = query.WorkflowQueryResult(result_type=_ANSWERED)
    await call(
        world,
        "RespondWorkflowTaskCompleted",
        task_token=pack(_TASK_TOKEN),
        query_results={"query-1": result},
    )
    ((_, _, _, packed),) = world.gateway.asked
    appended = service.RespondWorkflowTaskCompletedRequest.FromString(packed)
    assert (appended.task_token, dict(appended.query_results)) == (pack(_TASK_TOKEN), {})
    assert world.queries.results == [("run", {"query-1": result})]


async def test_a_task_started_inline_carries_what_waits() -> None:
    """As one does that a poll gets."""
    world = World()
    inline = service.RespondWorkflowTaskCompletedResponse()
    inline.workflow_task.attempt = 1
    world.gateway.answer = always(inline.SerializeToString())
    riding = service.PollWorkflowTaskQueueResponse(queries={"q": query.WorkflowQuery()})
    world.queries.carried = riding.SerializeToString()
    packed = await call(world, "RespondWorkflowTaskCompleted", task_token=pack(_TASK_TOKEN))
    answer = service.RespondWorkflowTaskCompletedResponse.FromString(packed)
    assert (answer.workflow_task.attempt, list(answer.workflow_task.queries)) == (1, ["q"])
