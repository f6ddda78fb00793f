"""What is gone from its owner comes from the archive; lists of archived runs, and refusals."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from archival.archiver import Archiver
from archival.opening import open_archive
from archival.run import ClosedRun, RunKey
from archival.settings import ArchivalSettings
from schemas.errors import InvalidArgument, NotFound
from schemas.temporal import enums, history, service
from streams.archival.archives import Archives
from streams.clock import SystemClock
from streams.frontend import archived, namespaces, workflow
from streams.frontend import history as histories
from tests.archival.runs import closed_run, key_of
from tests.streams.frontend.stubs import DEFAULT, StubCall, World, always
from topology.decision import Namespace
from topology.namespace.archival import ENABLED, Archival
from topology.tokens import PageToken, pack

GONE = NotFound("workflow not found")
SMALL = ArchivalSettings(blob_bytes=2_000)
CLOSE = enums.HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
ENDED = enums.EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED


def key(number: int = 0) -> RunKey:
    """Return the key of an archived run."""
    return key_of("order-1", number, DEFAULT.id)


class Archived:
    """A world whose owners have lost some runs to an archive in a folder."""

    def __init__(self, folder: Path) -> None:
        self.uri = folder.as_uri()
        settings = replace(SMALL, history_uri=self.uri, visibility_uri=self.uri)
        self.world = World(archives=Archives(settings, SystemClock()))
        self.world.gateway.page = always(GONE)
        self.be_in(history=True, visibility=True)

    def occupy(self) -> None:
        """Put a file where the archive's folder should be."""
        Path(self.uri.removeprefix("file://")).write_text("a file")

    def be_in(self, *, history: bool, visibility: bool) -> Namespace:
        """Let the namespace archive the one, the other or both."""
        target = Archival(ENABLED, self.uri)
        space = replace(
            DEFAULT,
            history_archival=target if history else Archival(),
            visibility_archival=target if visibility else Archival(),
            search_attributes={"CustomerId": 2},
        )
        self.world.namespaces.seen["default"] = space
        return space

    def fill(self, *runs: ClosedRun, history: bool = True, visibility: bool = True) -> None:
        """Archive runs."""
        archive = open_archive(self.uri, SMALL)
        archiver = Archiver(archive if history else None, archive if visibility else None)
        for run in runs:
            archiver.archive(run)
        archiver.close()

    async def page(self, **more: Any) -> service.GetWorkflowExecutionHistoryResponse:
        """Ask for a page of a history."""
        request = service.GetWorkflowExecutionHistoryRequest(
            **({"namespace": "default", "execution": _execution()} | more)
        )
        packed = await histories.page(self.world.services(), StubCall(request.SerializeToString()))
        return service.GetWorkflowExecutionHistoryResponse.FromString(packed)

    async def pages(self, **more: Any) -> list[history.HistoryEvent]:
        """Ask for a whole history."""
        page = await self.page(**more)
        events = list(page.history.events)
        while page.next_page_token:
            page = await self.page(**{**more, "next_page_token": page.next_page_token})
            assert page.archived
            events += page.history.events
        return events

    async def described(self, **more: Any) -> service.DescribeWorkflowExecutionResponse:
        """Ask for a description."""
        request = service.DescribeWorkflowExecutionRequest(
            namespace="default", execution=_execution(**more)
        )
        packed = await workflow.describe(
            self.world.services(), StubCall(request.SerializeToString())
        )
        return service.DescribeWorkflowExecutionResponse.FromString(packed)

    async def listed(self, query: str = "", **more: Any) -> list[str]:
        """Ask for a list; return the run ids."""
        request = service.ListArchivedWorkflowExecutionsRequest(
            **({"namespace": "default", "query": query} | more)
        )
        packed = await archived.list_archived(
            self.world.services(), StubCall(request.SerializeToString())
        )
        found = service.ListArchivedWorkflowExecutionsResponse.FromString(packed)
        return [each.execution.run_id for each in found.executions]


def _execution(**more: str) -> dict[str, str]:
    return {"workflow_id": "order-1", "run_id": key().run_id} | more


def events_of(run: ClosedRun) -> list[history.HistoryEvent]:
    """Return the events of a run."""
    return [event for batch in run.batches for event in batch.events]


@pytest.fixture
def gone(tmp_path: Path) -> Archived:
    """A world whose runs are gone from their owners."""
    return Archived(tmp_path / "archive")


async def test_a_history_that_is_gone_comes_from_the_archive(gone: Archived) -> None:
    """All of it, in pages of whole batches, marked as archived."""
    run = closed_run(key(), events=40, padding=300)
    gone.fill(run)
    assert await gone.pages() == events_of(run)
    page = await gone.page(maximum_page_size=4)
    assert page.archived
    assert 4 <= len(page.history.events) < 10
    assert await gone.pages(maximum_page_size=4) == events_of(run)
    assert gone.world.gateway.reads[-1][:3] == ("default", "order-1", "GetWorkflowExecutionHistory")


async def test_pages_that_began_at_the_owner_go_on_in_the_archive(gone: Archived) -> None:
    """The run was deleted between two pages: the next one is where it would have been."""
    run = closed_run(key(), events=20)
    gone.fill(run)
    live = pack(PageToken(DEFAULT.id, key().run_id, next_event_id=8))
    assert await gone.pages(next_page_token=live) == events_of(run)[7:]
    named = {"workflow_id": "order-1"}
    assert await gone.pages(next_page_token=live, execution=named) == events_of(run)[7:]


async def test_the_close_event_alone(gone: Archived) -> None:
    """As it is asked for by who waits for a result."""
    run = closed_run(key())
    gone.fill(run)
    page = await gone.page(history_event_filter_type=CLOSE, wait_new_event=True)
    assert [each.event_type for each in page.history.events] == [ENDED]
    assert page.next_page_token == b""


async def test_without_a_run_id_it_is_the_last_one_that_closed(gone: Archived) -> None:
    """By history and by description."""
    early = closed_run(key(1), events=8, closed_after=10)
    late = closed_run(key(2), events=12, closed_after=50)
    gone.fill(late, early)
    assert await gone.pages(execution={"workflow_id": "order-1"}) == events_of(late)
    described = await gone.described(run_id="")
    assert described.workflow_execution_info.execution.run_id == key(2).run_id


async def test_what_nobody_has_is_not_found(gone: Archived) -> None:
    """In Temporal's words; who does not want the archive, or has none, hears its owner's."""
    words = "requested workflow history does not exist"
    with pytest.raises(NotFound, match=words):
        await gone.page()
    with pytest.raises(NotFound, match=GONE.message):
        await gone.page(skip_archival=True)
    with pytest.raises(NotFound, match=GONE.message):
        await gone.page(execution={"workflow_id": "order-1"})
    with pytest.raises(NotFound, match=GONE.message):
        await gone.described()
    gone.be_in(history=False, visibility=False)
    gone.fill(closed_run(key()))
    with pytest.raises(NotFound, match=GONE.message):
        await gone.page()
    with pytest.raises(NotFound, match=GONE.message):
        await gone.described()


async def test_a_bad_archive_token_is_refused(gone: Archived) -> None:
    """It is a client's mistake."""
    gone.fill(closed_run(key()))
    with pytest.raises(InvalidArgument, match="next page token is corrupted"):
        await gone.page(next_page_token=b"{what")


async def test_a_description_comes_from_the_archive(gone: Archived) -> None:
    """As lists show the run, and with what its first event says of its settings."""
    run = closed_run(key())
    gone.fill(run)
    described = await gone.described()
    assert described.workflow_execution_info == run.execution
    assert described.workflow_extended_info.original_start_time == run.execution.start_time
    assert not described.pending_activities


async def test_a_description_of_what_is_not_searchable(gone: Archived) -> None:
    """By its record where there is one, as in Temporal's archives; else by its events."""
    run = closed_run(key())
    gone.fill(run, visibility=False)
    shown = (await gone.described()).workflow_execution_info
    assert (shown.status, shown.history_length) == (run.execution.status, 12)
    assert shown.close_time == run.execution.close_time
    archive = open_archive(gone.uri, SMALL)
    archive.archive_record(run)
    shown = (await gone.described()).workflow_execution_info
    assert shown.type.name == "order"
    assert shown.memo == run.execution.memo
    gone.be_in(history=False, visibility=True)
    archive.close()


async def test_lists_take_the_whole_grammar(gone: Archived) -> None:
    """Custom attributes, OR, NOT, IN, ranges; a page is as large as is asked."""
    runs = [closed_run(key(each), closed_after=10 + each) for each in range(5)]
    gone.fill(*runs)
    ids = [run.key.run_id for run in reversed(runs)]
    assert await gone.listed() == ids
    assert await gone.listed(page_size=2) == ids[:2]
    assert await gone.listed("CustomerId = 'c-7' AND NOT WorkflowType IN ('x', 'y')") == ids
    closed = runs[2].execution.close_time.ToNanoseconds()
    assert await gone.listed(f"CloseTime > {closed} OR RunId = '{ids[-1]}'") == [*ids[:2], ids[-1]]
    assert await gone.listed("CustomerId STARTS_WITH 'd'") == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"page_size": 10_001}, "PageSize is larger than allowed 10000."),
        ({"query": "Nothing = 1"}, "column name 'Nothing' is not a valid search attribute"),
        ({"query": "ORDER BY CloseTime"}, "ORDER BY clause is not supported"),
        ({"query": "GROUP BY ExecutionStatus"}, "GROUP BY clause is not supported"),
    ],
)
async def test_bad_lists_are_refused(gone: Archived, asked: dict[str, Any], message: str) -> None:
    """In Temporal's words."""
    with pytest.raises(InvalidArgument, match=message):
        await gone.listed(**asked)


async def test_lists_of_who_has_no_archive_are_refused(gone: Archived) -> None:
    """The namespace has none, or the server."""
    gone.be_in(history=True, visibility=False)
    with pytest.raises(InvalidArgument, match="Namespace is not configured for visibility"):
        await gone.listed()
    gone.world.archives = None
    with pytest.raises(InvalidArgument, match="Cluster is not configured for visibility"):
        await gone.listed()


async def test_a_namespace_is_registered_only_where_it_can_archive(gone: Archived) -> None:
    """A given URI is looked at, and the default one where that would be taken."""
    gone.occupy()

    async def register(**fields: Any) -> None:
        request = service.RegisterNamespaceRequest(namespace="new", **fields)
        request.workflow_execution_retention_period.seconds = 86_400
        await namespaces.register(gone.world.services(), StubCall(request.SerializeToString()))

    enabled = enums.ArchivalState.ARCHIVAL_STATE_ENABLED
    for fields in (
        {"history_archival_state": enabled},
        {"visibility_archival_state": enabled},
        {"visibility_archival_uri": gone.uri},
    ):
        with pytest.raises(InvalidArgument, match="a path to a directory was expected"):
            await register(**fields)
    assert gone.world.gateway.asked == []
