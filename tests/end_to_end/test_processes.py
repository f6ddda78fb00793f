"""The process as an operator sees it: kill -9, restart, stop, and sentences instead of traces."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from tests.end_to_end.workers import fresh, until, working
from tests.end_to_end.workflows import Echo, Sleep, Steps
from tests.support.millrace_server import PROJECT, MillraceServer

STEPS = 6
SLEEP_S = 2.0


def refused(*options: str) -> str:
    """Run `millrace dev` that must not start; return its one sentence."""
    line = [sys.executable, "-m", "infra.cli", "dev", *options]
    ended = subprocess.run(
        line, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2, ended
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    return ended.stderr


async def test_a_workflow_outlives_kill_9(own_server: MillraceServer) -> None:
    """Killed in the middle, started again: nothing acknowledged is lost, nothing runs twice."""
    client = await Client.connect(own_server.start())
    async with working(client) as queue:
        handle = await client.start_workflow(Steps.run, STEPS, id=fresh("steps"), task_queue=queue)
        for allowed in range(1, STEPS + 1):
            await handle.signal(Steps.allow, allowed)
            if allowed % 2 == 0:
                own_server.kill()
                own_server.start()
        result = await asyncio.wait_for(handle.result(), 60)
    assert result == [f"Hello, {step}!" for step in range(STEPS)]


async def test_a_timer_due_while_down_fires_at_once(own_server: MillraceServer) -> None:
    """Durable timers need no server to run down."""
    client = await Client.connect(own_server.start())
    handle = await client.start_workflow(
        Sleep.run, SLEEP_S, id=fresh("sleep"), task_queue=(queue := fresh("queue"))
    )
    async with working(client, queue, is_caching=False):

        async def is_sleeping() -> bool:
            return any(
                event.HasField("timer_started_event_attributes")
                for event in (await handle.fetch_history()).events
            )

        await until(is_sleeping, "the timer is started")
        slept_at = time.time()
    own_server.kill()

    async def is_due() -> bool:
        return time.time() > slept_at + SLEEP_S

    await until(is_due, "the timer's instant is over")
    own_server.start()
    async with working(client, queue):
        assert await asyncio.wait_for(handle.result(), 30) == "awake"


async def test_two_servers_run_side_by_side(tmp_path: Path) -> None:
    """Each on free ports, in a folder of its own, knowing nothing of the other."""
    scratch = [tmp_path / name for name in ("a", "b")]
    for folder in scratch:
        folder.mkdir()
    with MillraceServer(scratch[0]) as one, MillraceServer(scratch[1]) as other:
        clients = [await Client.connect(server.address) for server in (one, other)]
        async with working(clients[0]) as queue:
            handle = await clients[0].start_workflow(
                Echo.run, "x", id=fresh("echo"), task_queue=queue
            )
            assert await handle.result() == "x"
        with pytest.raises(RPCError, match="not found"):
            await clients[1].get_workflow_handle(handle.id).describe()


async def test_namespaces_of_the_command_line_are_there(tmp_path: Path) -> None:
    """Registered at start, like `default`."""
    with MillraceServer(tmp_path, options=("--namespace", "orders")) as server:
        client = await Client.connect(server.address, namespace="orders")
        async with working(client) as queue:
            result = await client.execute_workflow(
                Echo.run, "x", id=fresh("echo"), task_queue=queue
            )
    assert result == "x"


async def test_sdk_test_environments_start_it() -> None:
    """As they start Temporal's own dev server, with our command in its place."""
    command = str(Path(sys.executable).with_name("millrace"))
    async with (
        await WorkflowEnvironment.start_local(dev_server_existing_path=command) as environment,
        working(environment.client) as queue,
    ):
        result = await environment.client.execute_workflow(
            Echo.run, "x", id=fresh("echo"), task_queue=queue
        )
    assert result == "x"


async def test_sigterm_drains(own_server: MillraceServer) -> None:
    """An open poll is answered, the process ends with 0, and everything is there again."""
    client = await Client.connect(own_server.start())
    handle = await client.start_workflow(
        Echo.run, "x", id=fresh("echo"), task_queue=(queue := fresh("queue"))
    )
    assert await asyncio.to_thread(own_server.stop) == 0
    own_server.start()
    async with working(client, queue):
        assert await asyncio.wait_for(handle.result(), 30) == "x"


def test_a_server_is_quiet(own_server: MillraceServer) -> None:
    """Started and stopped in order, it says nothing on stderr."""
    own_server.start()
    assert own_server.stop() == 0
    assert own_server.stderr == ""


def test_the_broker_never_outlives_the_server(own_server: MillraceServer) -> None:
    """Neither a planned stop nor kill -9 leaves it behind."""
    own_server.start()
    assert own_server.folder is not None
    broker = int((own_server.folder / "broker.pid").read_text())
    own_server.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{broker}").exists():
        assert time.monotonic() < deadline, "expected the broker to end with its parent"
        os.sched_yield()


def test_a_temporary_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --db-filename nothing stays."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = MillraceServer(tmp_path)
    server.start()
    assert list(tmp_path.glob("millrace-*"))
    assert server.stop() == 0
    assert list(tmp_path.glob("millrace-*")) == []


def test_a_second_signal_ends_at_once(own_server: MillraceServer) -> None:
    """For who cannot wait for the drain."""
    own_server.start()
    own_server.send(signal.SIGINT)
    own_server.send(signal.SIGINT)
    assert own_server.wait() in (0, 130)


def test_a_dead_broker_ends_the_server_with_a_sentence(own_server: MillraceServer) -> None:
    """Never a node that serves without its log."""
    own_server.start()
    assert own_server.folder is not None
    os.kill(int((own_server.folder / "broker.pid").read_text()), signal.SIGKILL)
    assert own_server.wait() == 1
    assert own_server.stderr.endswith("The embedded broker ended with exit code -9.\n")


def test_a_taken_port_is_one_sentence() -> None:
    """With the option that chooses another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused("--port", str(port)) == (
            f"Cannot listen on 127.0.0.1:{port} (Address already in use); "
            "choose another port with --port.\n"
        )


def test_a_folder_in_use_is_one_sentence(own_server: MillraceServer) -> None:
    """Two servers never share a folder."""
    own_server.start()
    said = refused("--port", "0", "--db-filename", str(own_server.folder))
    assert "is in use by another process" in said


def test_a_folder_of_a_newer_version_is_one_sentence(tmp_path: Path) -> None:
    """It is left as it is."""
    (tmp_path / "version").write_text("999\n")
    said = refused("--port", "0", "--db-filename", str(tmp_path))
    assert "was written by a newer version of Millrace" in said


def test_an_unreachable_kafka_is_one_sentence() -> None:
    """With its address."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
    assert address in refused("--port", "0", "--kafka", address)
