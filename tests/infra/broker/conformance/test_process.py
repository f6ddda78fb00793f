"""The embedded broker as a process: it ends with its parent, and says why it cannot run."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.wire import Wire, metadata_request
from tests.support.kafka_embedded import PROJECT, EmbeddedKafka

StartEmbedded = Callable[..., EmbeddedKafka]


def refusal(folder: Path, *flags: str) -> tuple[int, str]:
    """Run a broker that cannot start; return its exit code and what it said on stderr."""
    done = subprocess.run(
        [*EmbeddedKafka(folder).command(), *flags],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.strip()


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_it_listens_on_loopback_only(start_embedded: StartEmbedded) -> None:
    """The address it says is the address it has."""
    kafka = start_embedded()
    assert kafka.address.startswith("127.0.0.1:")
    with Wire(kafka.address) as wire:
        ((_, host, port, _),) = wire.ask(metadata_request([])).brokers
    assert f"{host}:{port}" == kafka.address


def test_sigterm_ends_it_cleanly(start_embedded: StartEmbedded) -> None:
    """Exit code 0, also while a client holds a long poll."""
    kafka = start_embedded()
    with Wire(kafka.address):
        assert kafka.stop() == 0


def test_the_end_of_stdin_ends_it(start_embedded: StartEmbedded) -> None:
    """A parent that dies closes the pipe."""
    kafka = start_embedded()
    kafka.close_stdin()
    assert kafka.wait() == 0


def test_the_death_of_the_parent_ends_it(tmp_path: Path) -> None:
    """A parent that is killed cannot tidy up; the broker notices by itself."""
    parent = f"""
import pathlib, sys, time
from tests.support.kafka_embedded import EmbeddedKafka
kafka = EmbeddedKafka(pathlib.Path({str(tmp_path / "data")!r}))
kafka.start()
print(kafka.pid, flush=True)
time.sleep(600)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", parent], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    eventually("the broker's end", lambda: is_gone(pid))


def test_the_end_of_the_thread_that_started_it_does_not_end_it(
    start_embedded: StartEmbedded,
) -> None:
    """A parent may start it from a thread that ends; the parent lives."""
    with ThreadPoolExecutor(1) as threads:
        kafka = threads.submit(start_embedded).result()
        with Wire(kafka.address) as wire:
            assert wire.ask(metadata_request([])).brokers
    with Wire(kafka.address) as wire:
        for _ in range(200):
            assert wire.ask(metadata_request([])).brokers


def test_a_detached_one_outlives_its_stdin(start_embedded: StartEmbedded) -> None:
    """With --detached the pipe does not count."""
    kafka = start_embedded(detached=True)
    kafka.close_stdin()
    with Wire(kafka.address) as wire:
        assert wire.ask(metadata_request([])).brokers
    assert kafka.stop() == 0


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    """The port is named, exit code 2, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refusal(tmp_path / "data", "--port", str(port))
    assert code == 2
    assert str(port) in said
    assert len(said.splitlines()) == 1


def test_a_locked_folder_is_one_sentence(start_embedded: StartEmbedded) -> None:
    """Two brokers never share a data folder; the first is not disturbed."""
    kafka = start_embedded()
    code, said = refusal(kafka.folder)
    assert code == 2
    assert str(kafka.folder) in said
    assert len(said.splitlines()) == 1
    with Wire(kafka.address) as wire:
        assert wire.ask(metadata_request([])).brokers


@pytest.mark.parametrize("blocker", ["a file in its place", "a read-only parent"])
def test_an_unwritable_folder_is_one_sentence(tmp_path: Path, blocker: str) -> None:
    """The folder is named, exit code 2, no traceback."""
    folder = tmp_path / "data"
    if blocker == "a file in its place":
        folder.write_text("not a folder")
    else:
        folder = Path("/proc/millrace-data")  # nobody can create it, root included
    code, said = refusal(folder)
    assert code == 2
    assert str(folder) in said
    assert len(said.splitlines()) == 1


def test_a_killed_ones_folder_is_free_at_once(start_embedded: StartEmbedded) -> None:
    """No lock file keeps its successor from starting, on the same port."""
    kafka = start_embedded()
    before = kafka.address
    assert kafka.kill() == -signal.SIGKILL
    assert kafka.start() == before


def test_stdout_is_one_line_of_json(tmp_path: Path) -> None:
    """Nothing but the address is ever written there."""
    process = subprocess.Popen(
        EmbeddedKafka(tmp_path / "data").command(),
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    os.kill(process.pid, signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    assert set(json.loads(line)) == {"address"}
    assert rest == ""
