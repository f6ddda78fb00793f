"""Archives over a running server, with the official SDK: on files, and on a real S3 server."""

import uuid
from collections.abc import Iterator

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from archival.opening import open_archive
from archival.run import RunKey
from archival.settings import ArchivalSettings, S3Settings
from schemas.temporal import history
from tests.end_to_end.archiving import archived, archiving_namespace, until_archived
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
