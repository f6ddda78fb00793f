"""Polls and the answers of workers."""

import asyncio
from typing import Any

import pytest

from schemas.errors import NotFound, NotTheOwner, ResourceExhausted
from schemas.temporal import service
from streams.calls.asked import Asked
from streams.frontend import tasks
from streams.frontend.rpcs import WORKFLOW_SERVICE
from streams.frontend.services import Services, poll_id_of
from streams.frontend.settings import FrontendSettings
from tests.streams.frontend.stubs import DEFAULT, StubCall, World
from topology.tokens import Token, pack

_TOKEN = Token(
    namespace_id=DEFAULT.id,
    workflow_id="w",
    run_id="run",
    kind="activity",
    scheduled_event_id=5,
    attempt=2,
    started_event_id=0,
    stamp=1,
    heartbeat_timeout=3_000_000_000,
)
_BY_TOKEN = (
    "RespondWorkflowTaskCompleted",
    "RespondWorkflowTaskFailed",
    "RespondActivityTaskCompleted",
    "RespondActivityTaskFailed",
    "RespondActivityTaskCanceled",
    "RecordActivityTaskHeartbeat",
)
_BY_ID = (
    "RespondActivityTaskCompletedById",
    "RespondActivityTaskFailedById",
    "RespondActivityTaskCanceledById",
    "RecordActivityTaskHeartbeatById",
)


def request_of(name: str, **fields: Any) -> bytes:
    """Return a request of an RPC."""
    return getattr(service, f"{name}Request")(**fields).SerializeToString()


def poll_of(name: str = "tq") -> StubCall:
    """Return a poll of a queue."""
    fields = {"namespace": "default", "task_queue": {"name": name}, "identity": "me"}
    return StubCall(request_of("PollWorkflowTaskQueue", **fields))


async def test_c4_poll_carries_its_time_and_an_id() -> None:
    """Matching gets the remaining time, at most its own limit, and a fresh poll id each."""
    world = World(settings=FrontendSettings(task_poll_s=20))
    world.matching.task = b"task"
    services = world.services()
    assert await tasks.poll_workflow_task(services, poll_of()) == b"task"
    assert await tasks.poll_activity_task(services, poll_of()) == b"task"
    first, second = world.matching.polls
    assert first[:3] == ("default", "tq", "workflow")
    assert second[:3] == ("default", "tq", "activity")
    assert first[3] != second[3]
    assert first[4] == "me"
    assert 19 < first[5] <= 20


async def test_c4_poll_has_the_id_of_its_request() -> None:
    """So the same poll asked again is known as such, on whichever node."""
    world = World()
    world.matching.task = b"task"
    services = world.services().under(Asked(bytes(range(16))))
    for _ in range(2):
        assert await tasks.poll_workflow_task(services, poll_of()) == b"task"
    assert {poll[3] for poll in world.matching.polls} == {poll_id_of(Asked(bytes(range(16))))}


async def test_c2_queue_that_is_elsewhere_is_said_to_be() -> None:
    """Who asks again, and whom, is not decided here."""
    world = World()
    world.matching.moves = 1
    with pytest.raises(NotTheOwner):
        await tasks.poll_workflow_task(world.services(), poll_of())


async def test_c3_polls_are_bounded() -> None:
    """One more than the limit is refused, and says which limit."""
    world = World(settings=FrontendSettings(max_pollers=1))
    services = world.services()
    first = asyncio.ensure_future(tasks.poll_workflow_task(services, poll_of()))
    await world.matching.polled.wait()
    with pytest.raises(ResourceExhausted) as caught:
        await tasks.poll_workflow_task(services, poll_of())
    assert caught.value.message == (
        "namespace concurrent poller limit exceeded: 1 of 1 workflow_task_poll calls are open "
        "in namespace default (frontend max_pollers)"
    )
    services.waiters.end_all()
    assert await first == b""


async def _cancelled(services: Services, world: World) -> asyncio.Future[bytes]:
    poll = asyncio.ensure_future(tasks.poll_workflow_task(services, poll_of()))
    await world.matching.polled.wait()
    poll.cancel()
    await asyncio.wait([poll])
    return poll


async def test_cancelled_poll_is_cancelled_through() -> None:
    """The client's cancellation is not mistaken for a planned stop."""
    world = World()
    services = world.services()
    poll = await _cancelled(services, world)
    assert poll.cancelled()
    assert (world.matching.given_up, services.waiters.counts()) == (1, {})


@pytest.mark.parametrize("name", _BY_TOKEN)
async def test_token_names_the_workflow(name: str) -> None:
    """An answer goes to the owner of the workflow id in its token, as it came."""
    world = World()
    call = StubCall(request_of(name, namespace="default", task_token=pack(_TOKEN)))
    await WORKFLOW_SERVICE[name](world.services(), call)
    assert world.gateway.asked == [("default", "w", name, call.request)]


async def test_token_alone_names_the_namespace() -> None:
    """Old clients send no namespace with a token."""
    world = World()
    call = StubCall(request_of("RespondActivityTaskCompleted", task_token=pack(_TOKEN)))
    await tasks.complete_activity_task(world.services(), call)
    assert world.gateway.asked[0][:2] == ("default", "w")


@pytest.mark.parametrize("name", _BY_ID)
async def test_ids_name_the_workflow(name: str) -> None:
    """An answer by ids goes to the owner of its workflow id, as it came."""
    world = World()
    call = StubCall(request_of(name, namespace="default", workflow_id="w", activity_id="a"))
    await WORKFLOW_SERVICE[name](world.services(), call)
    assert world.gateway.asked == [("default", "w", name, call.request)]


@pytest.mark.parametrize("name", _BY_ID)
async def test_no_workflow_id_means_a_standalone_activity(name: str) -> None:
    """There are none yet."""
    call = StubCall(request_of(name, namespace="default", activity_id="a"))
    with pytest.raises(NotFound, match="activity not found for ID: a"):
        await WORKFLOW_SERVICE[name](World().services(), call)


async def test_t3_heartbeat_tells_its_activity_and_timeout() -> None:
    """The gateway learns which beats belong together, and how long they may be held."""
    world = World()
    fields = {"namespace": "default", "task_token": pack(_TOKEN)}
    call = StubCall(request_of("RecordActivityTaskHeartbeat", **fields))
    await tasks.heartbeat(world.services(), call)
    assert world.gateway.beats == [("run/5/2/1", 3_000_000_000)]
