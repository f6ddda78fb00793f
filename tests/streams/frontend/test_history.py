"""History pages, and waiting for the next one."""

import asyncio
from typing import Any

import pytest

from schemas.errors import NotTheOwner, Unavailable
from schemas.ids import workflow_partition
from schemas.temporal import service
from streams.frontend import history
from streams.frontend.settings import FrontendSettings
from tests.streams.frontend.stubs import DEFAULT, StubCall, StubHistory, World, always
from topology.tokens import PageToken, pack

_RUN = "00000000-0000-4000-8000-000000000abc"
_TOKEN = pack(PageToken(namespace_id=DEFAULT.id, run_id=_RUN, next_event_id=3, is_waiting=True))
_EMPTY = service.GetWorkflowExecutionHistoryResponse(
    history={}, next_page_token=_TOKEN
).SerializeToString()
_PAGE = service.GetWorkflowExecutionHistoryResponse(
    history={"events": [{"event_id": 3}]}
).SerializeToString()


def request_of(**more: Any) -> StubCall:
    """Return a request for a page."""
    fields = {"namespace": "default", "execution": {"workflow_id": "w"}}
    request = service.GetWorkflowExecutionHistoryRequest(**(fields | more))
    return StubCall(request.SerializeToString())


async def test_page_is_read_and_passed_on() -> None:
    """Without waiting a page is one read, and its bytes are not looked into."""
    world = World()
    world.gateway.page = always(_EMPTY)
    assert await history.page(world.services(), request_of()) == _EMPTY
    assert [read[:3] for read in world.gateway.reads] == [
        ("default", "w", "GetWorkflowExecutionHistory")
    ]
    assert world.history.watches == []


@pytest.mark.parametrize(
    ("client", "is_worker"), [("temporal-python", True), ("temporal-ui", False)]
)
async def test_tools_of_people_see_no_transient_events(client: str, *, is_worker: bool) -> None:
    """Whoever replays needs them, whoever shows a history must not."""
    world = World()
    call = request_of()
    call.metadata = (("client-name", client),)
    await history.page(world.services(), call)
    assert world.gateway.reads[0][3].shows_transient == is_worker


async def test_wait_ends_with_the_news() -> None:
    """An empty page waits until the run changes, then looks again with its token."""
    world = World()
    pages = [_EMPTY, _PAGE]
    world.gateway.page = lambda *_: pages.pop(0)
    call = request_of(execution={"workflow_id": "w", "run_id": _RUN}, wait_new_event=True)
    poll = asyncio.ensure_future(history.page(world.services(), call))
    await _turns()
    ((partition, run_id, news),) = world.history.watches
    assert (partition, run_id) == (workflow_partition("default", "w", 4), _RUN)
    assert not poll.done()
    news.set_result(None)
    assert await poll == _PAGE
    assert world.gateway.reads[1][3].request.next_page_token == _TOKEN


async def test_watch_is_registered_before_the_look() -> None:
    """What happens between the look and the wait is not missed."""
    world = World()
    watched: list[int] = []

    def page(*_asked: object) -> bytes:
        watched.append(len(world.history.watches))
        return _PAGE

    world.gateway.page = page
    call = request_of(execution={"workflow_id": "w", "run_id": _RUN}, wait_new_event=True)
    assert await history.page(world.services(), call) == _PAGE
    assert watched == [1]
    assert world.history.watches[0][2].cancelled()


async def test_current_run_is_learned_from_the_first_look() -> None:
    """Without a run id the first look tells which run to watch; the second one counts."""
    world = World()
    pages = [_EMPTY, _PAGE]
    world.gateway.page = lambda *_: pages.pop(0)
    assert await history.page(world.services(), request_of(wait_new_event=True)) == _PAGE
    assert [watch[1] for watch in world.history.watches] == [_RUN]


async def test_wait_ends_empty_with_a_token() -> None:
    """After its time a wait answers an empty page to go on from."""
    world = World(settings=FrontendSettings(history_poll_s=0))
    world.gateway.page = always(_EMPTY)
    assert await history.page(world.services(), request_of(wait_new_event=True)) == _EMPTY


async def test_failed_watch_looks_again() -> None:
    """A partition that moves wakes its waiters; the read finds the new owner."""
    world = World()
    pages = [_EMPTY, _PAGE]
    world.gateway.page = lambda *_: pages.pop(0)
    call = request_of(execution={"workflow_id": "w", "run_id": _RUN}, wait_new_event=True)
    poll = asyncio.ensure_future(history.page(world.services(), call))
    await _turns()
    world.history.watches[0][2].set_exception(NotTheOwner("moved"))
    assert await poll == _PAGE


async def test_watch_that_nobody_can_promise_is_done_without() -> None:
    """Without an owner here the read waits for one."""

    class Homeless(StubHistory):
        """A node that owns nothing."""

        def watch(self, partition: int, run_id: str) -> asyncio.Future[None]:
            """Refuse."""
            raise NotTheOwner(f"{partition} {run_id}")

    world = World(history=Homeless())
    pages = [_EMPTY, _PAGE]
    world.gateway.page = lambda *_: pages.pop(0)
    call = request_of(execution={"workflow_id": "w", "run_id": _RUN}, wait_new_event=True)
    assert await history.page(world.services(), call) == _PAGE


async def test_c7_planned_stop_answers_empty_with_a_token() -> None:
    """A history poll ends with an empty page and a token; without a token it is refused."""
    world = World()
    services = world.services()
    world.gateway.page = always(_EMPTY)
    poll = asyncio.ensure_future(history.page(services, request_of(wait_new_event=True)))
    await _turns()
    services.waiters.end_all()
    ended = service.GetWorkflowExecutionHistoryResponse.FromString(await poll)
    assert (list(ended.history.events), ended.next_page_token) == ([], _TOKEN)


async def test_c7_planned_stop_before_the_first_look_is_unavailable() -> None:
    """An empty page without a token would mean the end of the history."""
    world = World()
    services = world.services()
    gate = asyncio.Event()

    async def slow(*_: object, **__: object) -> bytes:
        await gate.wait()
        return b""

    world.gateway.read = slow  # type: ignore[method-assign]
    poll = asyncio.ensure_future(history.page(services, request_of(wait_new_event=True)))
    await _turns()
    services.waiters.end_all()
    with pytest.raises(Unavailable):
        await poll


async def test_reverse_is_read_and_passed_on() -> None:
    """Newest first never waits."""
    world = World()
    request = service.GetWorkflowExecutionHistoryReverseRequest(
        namespace="default", execution={"workflow_id": "w"}
    )
    await history.page_reverse(world.services(), StubCall(request.SerializeToString()))
    assert world.gateway.reads == [("default", "w", "GetWorkflowExecutionHistoryReverse", request)]


async def _turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
