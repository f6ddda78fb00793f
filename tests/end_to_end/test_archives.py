"""Archives over a running server, with the official SDK: on files, and on a real S3 server."""

import uuid
from collections.abc import Iterator

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from archival.opening import open_archive
from archival.run import RunKey
from archival.settings import ArchivalSettings, S3Settings
from schemas.temporal import history
from tests.end_to_end.archiving import archived, archiving_namespace, delete, until_archived
from tests.end_to_end.workers import fresh, working
from tests.end_to_end.workflows import Echo
from tests.support.millrace_server import MillraceServer
from tests.support.s3_real import make_bucket, s3_server

STRANGE = ("a/b", "..", "with blank ", "a%2Fb", "quote'\"`", "zażółć-日本語", "x" * 900)


@pytest.fixture(scope="module", params=["files", pytest.param("s3", marks=pytest.mark.real)])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ArchivalSettings]]:
    """Yield a URI to archive at, and the settings to open it with."""
    if request.param == "files":
        yield (tmp_path_factory.mktemp("archive") / "in it").as_uri(), ArchivalSettings()
        return
    with s3_server() as url:
        bucket = f"test-{uuid.uuid4().hex}"
        make_bucket(url, bucket)
        s3 = S3Settings(endpoint=url, path_style=True)
        yield f"s3://{bucket}/some/path", ArchivalSettings(s3=s3)


@pytest.fixture(scope="module")
def server(
    place: tuple[str, ArchivalSettings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MillraceServer]:
    """Yield a server that can reach it."""
    _, settings = place
    options = (
        *("--set", f"archival.s3.endpoint={settings.s3.endpoint}"),
        *("--set", "archival.s3.path_style=true"),
        *("--set", "archival.gather_s=0.1"),
    )
    scratch = tmp_path_factory.mktemp("server")
    with MillraceServer(scratch, folder=scratch / "data", options=options) as running:
        yield running


async def test_runs_with_ids_of_every_kind_are_archived_and_found(
    server: MillraceServer, place: tuple[str, ArchivalSettings]
) -> None:
    """What the archive holds is what the owner says, event by event; lists find each run."""
    uri, settings = place
    client = await Client.connect(server.address)
    name = fresh("shop")
    namespace_id = await archiving_namespace(client, name, uri)
    client = await Client.connect(server.address, namespace=name)
    async with working(client) as queue:
        handles = [
            await client.start_workflow(Echo.run, each, id=each, task_queue=queue)
            for each in STRANGE
        ]
        for handle in handles:
            await handle.result()
    found = await until_archived(client, name, len(STRANGE))
    assert sorted(each.execution.workflow_id for each in found) == sorted(STRANGE)
    archive = open_archive(uri, settings)
    for handle in handles:
        live = await handle.fetch_history()
        assert handle.first_execution_run_id is not None
        key = RunKey(namespace_id, handle.id, handle.first_execution_run_id)
        stored = [event for batch in archive.history(key) for event in batch.events]
        assert stored == [_same(event) for event in live.events]
        quoted = handle.id.replace("'", "''")
        (one,) = await archived(client, name, f"WorkflowId = '{quoted}'")
        assert one.execution.run_id == handle.first_execution_run_id
    archive.close()


async def test_what_was_deleted_is_opened_from_the_archive(
    server: MillraceServer, place: tuple[str, ArchivalSettings]
) -> None:
    """History and description are what they were, whoever asks; a page goes on where it was."""
    uri, _ = place
    client = await Client.connect(server.address)
    name = fresh("shop")
    await archiving_namespace(client, name, uri)
    client = await Client.connect(server.address, namespace=name)
    async with working(client) as queue:
        workflow_id = fresh("order")
        await client.execute_workflow(Echo.run, "x", id=workflow_id, task_queue=queue)
    (shown,) = await until_archived(client, name, 1)
    handle = client.get_workflow_handle(workflow_id, run_id=shown.execution.run_id)
    live, described = await handle.fetch_history(), await handle.describe()
    first = await _page(client, name, shown.execution, b"")
    assert not first.archived
    await delete(client, name, shown.execution)
    second = await _page(client, name, shown.execution, first.next_page_token)
    assert second.archived
    pages = [*first.history.events, *second.history.events]
    assert pages == live.events[: len(pages)]
    archived_history = await handle.fetch_history()
    assert list(archived_history.events) == list(live.events)
    again = await handle.describe()
    assert again.raw_description.workflow_execution_info == shown
    assert (again.status, again.close_time) == (described.status, described.close_time)
    with pytest.raises(RPCError, match="not found"):
        await client.get_workflow_handle(workflow_id).signal("too late")
    assert [each.execution.run_id for each in await archived(client, name)] == [handle.run_id]


async def _page(
    client: Client, name: str, execution: WorkflowExecution, token: bytes
) -> GetWorkflowExecutionHistoryResponse:
    return await client.workflow_service.get_workflow_execution_history(
        GetWorkflowExecutionHistoryRequest(
            namespace=name, execution=execution, maximum_page_size=1, next_page_token=token
        )
    )


async def test_a_uri_that_cannot_be_is_refused(
    server: MillraceServer, place: tuple[str, ArchivalSettings]
) -> None:
    """With Temporal's words, before anything is registered."""
    assert place
    client = await Client.connect(server.address)
    refusals = {
        "gopher://there": "unknown archiver scheme",
        "file:///dev/null": "a path to a directory was expected",
    }
    for uri, message in refusals.items():
        with pytest.raises(RPCError) as refused:
            await archiving_namespace(client, fresh("refused"), uri)
        assert refused.value.status == RPCStatusCode.INVALID_ARGUMENT
        assert refused.value.message == message


async def test_a_namespace_without_archive_says_so(
    server: MillraceServer, place: tuple[str, ArchivalSettings]
) -> None:
    """A list of its archived runs is refused, as is a page that is too large."""
    assert place
    client = await Client.connect(server.address)
    with pytest.raises(RPCError, match="Namespace is not configured for visibility archival"):
        await archived(client, "default")


def _same(event: object) -> history.HistoryEvent:
    """Return an event of the SDK as the one class of messages there is."""
    assert isinstance(event, history.HistoryEvent)
    return event
