"""The page about search: its code runs as it stands, and its commands say what it shows."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.infra.docs.pages import run_page
from tests.support.millrace_server import PROJECT, MillraceServer

PAGE = "search.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MillraceServer]:
    """Yield a server with the attribute that the page uses."""
    scratch = tmp_path_factory.mktemp("server")
    options = ("--search-attribute", "Customer=Keyword")
    with MillraceServer(scratch, options=options) as running:
        yield running


def test_the_page(server: MillraceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was started is listed at once, and what was terminated is counted."""
    monkeypatch.setenv("MILLRACE", server.address)
    names = run_page(PAGE, monkeypatch, kafka=server.kafka_address)
    assert [names["order_id"]] == names["listed"]
    assert names["ended"] == 1


def test_its_commands(server: MillraceServer) -> None:
    """Lag in transitions by partition; a rebuild that ends well."""
    assert "transitions behind" in _said(server, "lag")
    said = _said(server, "rebuild")
    assert "done: " in said
    assert "rebuilt " in said


def _said(server: MillraceServer, command: str) -> str:
    line = [sys.executable, "-m", "infra.cli", "search", command, "--address", server.address]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_server_that_is_not_there_is_named() -> None:
    """In one sentence, not with a traceback."""
    line = [sys.executable, "-m", "infra.cli", "search", "lag", "--address", "127.0.0.1:9"]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("expected a server at 127.0.0.1:9")
