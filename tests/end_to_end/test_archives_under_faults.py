"""Archiving while things break: the node is killed, S3 fails, a run is poison. Nothing is lost."""

import asyncio
import random
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError

from archival.archive import Archive
from archival.opening import open_archive
from archival.run import RunKey
from archival.settings import ArchivalSettings, S3Settings
from tests.archival.runs import closed_run
from tests.end_to_end.archiving import archiving_namespace, command, is_gone, until_archived
from tests.end_to_end.workers import fresh, until, working
from tests.end_to_end.workflows import Echo
from tests.support.kafka_real import real_kafka, why_absent
from tests.support.millrace_server import MillraceServer
from tests.support.s3_real import FaultyS3, make_bucket, s3_server

RUNS = 60
QUICK = ("--set", "archival.gather_s=0.1", "--set", "archival.retry_s=1")

Expected = dict[str, tuple[str, WorkflowHistory]]
"""Workflow id: run id and history, as the owner has them."""


async def load(client: Client, count: int) -> list[str]:
    """Run so many workflows to their ends; return their ids."""
    ids = [fresh("order") for _ in range(count)]
    async with working(client) as queue:
        for at in range(0, count, 10):
            some = ids[at : at + 10]
            await asyncio.gather(
                *(
                    client.execute_workflow(Echo.run, "x", id=each, task_queue=queue)
                    for each in some
                )
            )
    return ids


async def owned(client: Client, ids: list[str]) -> Expected:
    """Return what the owners have of these runs: the fold of the log."""
    found: Expected = {}
    for each in ids:
        handle = client.get_workflow_handle(each)
        described = await handle.describe()
        found[each] = (described.run_id, await handle.fetch_history())
    return found


def check_whole(archive: Archive, namespace_id: str, expected: Expected) -> None:
    """Check that the archive has each run, once and event by event, and no other."""
    rows = list(archive.lake(namespace_id).rows())
    assert sorted(row.run_id for row in rows) == sorted(run_id for run_id, _ in expected.values())
    for workflow_id, (run_id, live) in expected.items():
        key = RunKey(namespace_id, workflow_id, run_id)
        stored = [event for batch in archive.history(key) for event in batch.events]
        assert stored == list(live.events)
        assert archive.describe(key).key == key


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_v5_killed_while_it_archives_the_archive_equals_the_log(tmp_path: Path) -> None:
    """Kill -9 of the node, four times under load: each run is archived, whole and once."""
    uri = (tmp_path / "archive").as_uri()
    server = MillraceServer(tmp_path, folder=tmp_path / "data", options=QUICK)
    with server:
        client = await Client.connect(server.address)
        name = fresh("shop")
        namespace_id = await archiving_namespace(client, name, uri)
        ids: list[str] = []
        for _ in range(4):
            client = await Client.connect(server.address, namespace=name)
            before = len(list((tmp_path / "archive").glob("*.history")))
            ids += await load(client, RUNS // 4)

            async def has_begun(before: int = before) -> bool:
                return len(list((tmp_path / "archive").glob("*.history"))) > before

            await until(has_begun, "some run of this round to be archived")
            server.kill()
            server.start()
        client = await Client.connect(server.address, namespace=name)
        expected = await owned(client, ids)
        await until_archived(client, name, RUNS)
        check_whole(open_archive(uri), namespace_id, expected)
        assert command("verify", uri).endswith(f"{RUNS} runs, 0 in trouble.\n")
        await until(
            lambda: _is_clear(server.kafka_address), "the backlog to be reported as archived"
        )


async def _read(client: Client, expected: Expected, workflow_id: str) -> None:
    """Read a history, wherever it is now, and check that it is whole."""
    run_id, live = expected[workflow_id]
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    assert list((await handle.fetch_history()).events) == list(live.events)


async def _read_on(client: Client, expected: Expected, chance: random.Random) -> None:
    """Read one history after another, for ever."""
    while True:
        await _read(client, expected, chance.choice(list(expected)))


async def _is_gone(client: Client, namespace: str, expected: Expected, workflow_id: str) -> bool:
    execution = WorkflowExecution(workflow_id=workflow_id, run_id=expected[workflow_id][0])
    return await is_gone(client, namespace, execution)


async def _is_clear(kafka: str) -> bool:
    said = await asyncio.to_thread(command, "backlog", "--kafka", kafka)
    return said == "Nothing waits: all that closed is archived.\n"


@pytest.fixture
def faulty() -> Iterator[tuple[FaultyS3, str]]:
    """Yield a proxy in front of a real S3 server, and a bucket."""
    with s3_server() as url, FaultyS3(url) as proxy:
        bucket = f"test-{uuid.uuid4().hex}"
        make_bucket(url, bucket)
        yield proxy, bucket


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_v5_an_s3_that_fails_delays_and_loses_nothing(
    tmp_path: Path, faulty: tuple[FaultyS3, str]
) -> None:
    """503, resets before and after the body was stored, half-read bodies, then away altogether.

    Workflows go on meanwhile, and their retention runs out: at every moment each history is read
    whole, from its owner or from the archive. In the end each run is archived once, and only so.
    """
    proxy, bucket = faulty
    uri = f"s3://{bucket}/archive"
    s3 = S3Settings(endpoint=proxy.url, path_style=True)
    options = (
        *QUICK,
        *("--set", f"archival.s3.endpoint={proxy.url}"),
        *("--set", "archival.s3.path_style=true"),
        *("--set", "archival.s3.attempts_count=3"),
        *("--set", "core.retention_min_s=1"),
    )
    with MillraceServer(tmp_path, folder=tmp_path / "data", options=options) as server:
        client = await Client.connect(server.address)
        name = fresh("shop")
        namespace_id = await archiving_namespace(client, name, uri, retention_s=1)
        client = await Client.connect(server.address, namespace=name)
        chance = random.Random(9)
        kinds = (*[""] * 20, "slow_down", "reset_before", "reset_after", "half_body")
        proxy.plan = lambda _method, _path: chance.choice(kinds)
        ids = await load(client, RUNS // 2)
        proxy.plan = lambda _method, _path: ""
        expected = await owned(client, ids)
        proxy.plan = lambda _method, _path: "reset_before"
        late = await load(client, RUNS // 2)
        expected |= await owned(client, late)

        async def is_seen() -> bool:
            said = await asyncio.to_thread(command, "backlog", "--kafka", server.kafka_address)
            return f"{name}: " in said and "runs wait" in said

        await until(is_seen, "the backlog to be seen while S3 is away")
        assert not any([await _is_gone(client, name, expected, each) for each in late])
        proxy.plan = lambda _method, _path: chance.choice(kinds)
        reading = asyncio.ensure_future(_read_on(client, expected, chance))
        await until(lambda: _is_clear(server.kafka_address), "all to be archived")
        for each in expected:
            await until(
                lambda each=each: _is_gone(client, name, expected, each), f"{each} to be deleted"
            )
        assert not reading.done(), reading.exception()
        reading.cancel()
        proxy.plan = lambda _method, _path: ""
        for each in expected:
            await _read(client, expected, each)
        assert len(set(proxy.faults())) == 4
        archive = open_archive(uri, ArchivalSettings(s3=s3))
        check_whole(archive, namespace_id, expected)
        archive.close()


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_v5_two_nodes_share_the_work_and_one_is_killed(tmp_path: Path) -> None:
    """Each archives what its partitions of the group have; the other takes over what was left."""
    if reason := why_absent():
        pytest.skip(reason)
    uri = (tmp_path / "archive").as_uri()
    options = (*QUICK, "--set", f"archival.history_uri={uri}")
    options = (*options, "--set", f"archival.visibility_uri={uri}")
    (tmp_path / "two").mkdir()
    with real_kafka(tmp_path / "kafka") as kafka:
        node = {"kafka": kafka, "options": options, "is_node": True}
        one = MillraceServer(tmp_path, folder=tmp_path / "data-one", **node)
        two = MillraceServer(tmp_path / "two", folder=tmp_path / "data-two", **node)
        with one, two:
            client = await Client.connect(one.address)
            name = fresh("shop")
            namespace_id = await archiving_namespace(client, name)
            client = await Client.connect(one.address, namespace=name)
            ids = await load(client, RUNS // 2)
            two.kill()
            ids += await load(client, RUNS // 2)
            expected = await owned(client, ids)
            await until_archived(client, name, RUNS)
            check_whole(open_archive(uri), namespace_id, expected)


@pytest.fixture
def silent() -> Iterator[str]:
    """Yield the URL of a service that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_c7_a_store_that_never_answers_does_not_keep_a_node_from_ending(
    tmp_path: Path, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads are left behind; everything else ends in order."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    options = ("--set", f"archival.s3.endpoint={silent}", "--set", "archival.s3.path_style=true")
    server = MillraceServer(tmp_path, folder=tmp_path / "data", options=options)
    with server:
        client = await Client.connect(server.address)
        waiting = asyncio.ensure_future(archiving_namespace(client, "shop", "s3://cold"))
        await asyncio.wait({waiting}, timeout=1)
        assert not waiting.done()
        assert await asyncio.to_thread(server.stop) == 0
        await asyncio.wait({waiting})
        assert isinstance(waiting.exception(), RPCError)


async def test_v5_a_poison_run_is_set_aside_and_tried_again_when_told(tmp_path: Path) -> None:
    """Its place in the archive is taken by another history; it is shown, and the rest goes on."""
    uri = (tmp_path / "archive").as_uri()
    options = (*QUICK, "--set", "archival.state=paused")
    server = MillraceServer(tmp_path, folder=tmp_path / "data", options=options)
    with server:
        client = await Client.connect(server.address)
        name = fresh("shop")
        namespace_id = await archiving_namespace(client, name, uri)
        client = await Client.connect(server.address, namespace=name)
        expected = await owned(client, await load(client, 3))
        poison = next(iter(expected))
        key = RunKey(namespace_id, poison, expected[poison][0])
        archive = open_archive(uri)
        archive.archive_history(closed_run(key))
        server.stop()
    server = MillraceServer(tmp_path, folder=tmp_path / "data", options=QUICK)
    with server:
        client = await Client.connect(server.address, namespace=name)
        await until_archived(client, name, 2)
        said = command("backlog", "--kafka", server.kafka_address)
        assert said == f"set aside: {name} {poison} {key.run_id}: history was mutated\n"
        archive.delete_history(key)
        said = command("backlog", "--kafka", server.kafka_address, "--retry")
        assert said.endswith("1 runs are tried again.\n")
        await until_archived(client, name, 3)
        check_whole(archive, namespace_id, expected)
    archive.close()
