"""`millrace serve`: options become settings; what cannot run is refused in one sentence."""

import socket

import pytest

from infra.cli import commands, serve
from infra.failures import CANNOT_START, StartFailure
from infra.launch import check_port_free
from infra.settings import Settings


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Collect the settings of nodes instead of running them."""
    seen: list[Settings] = []

    def launch(settings: Settings) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr(serve, "_launch", launch)
    return seen


def test_options_become_settings(launched: list[Settings]) -> None:
    """Those of a node among several."""
    line = (
        "serve --kafka k:9092 --roles history,matching --name n --data-dir ./x --internal-ip :: "
        "--internal-port 7235 --internal-address node:7235 --port 7300"
    )
    assert commands.run(line.split()) == 0
    node = launched[0].node
    assert launched[0].kafka.address == "k:9092"
    assert node.roles == ("history", "matching")
    assert (node.name, str(node.data_dir), node.port) == ("n", "x", 7300)
    assert (node.internal_ip, node.internal_port) == ("::", 7235)
    assert node.internal_address == "node:7235"


def test_a_node_has_all_roles_unless_told(launched: list[Settings]) -> None:
    """So that the second node is as the first."""
    commands.run(["serve", "--kafka", "k:9092"])
    assert launched[0].node.roles == ("frontend", "history", "matching")
    assert launched[0].node.internal_ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("serve", "A node needs a Kafka"),
        ("serve --kafka k:1 --roles fronted", "node.roles from flag cannot be ['fronted']"),
    ],
)
def test_what_cannot_run_is_one_sentence(
    line: str, said: str, launched: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is started."""
    assert commands.run(line.split()) == CANNOT_START
    found = capsys.readouterr().err
    assert said in found
    assert found.count("\n") == 1
    assert launched == []


def test_where_each_setting_came_from_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, environment, flag or default."""
    monkeypatch.setenv("MILLRACE_NODE_INTERNAL_PORT", "7235")
    assert commands.run(["serve", "--kafka", "k:9092", "--print-settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, source in (
        ('address = "k:9092"', "[flag;"),
        ("internal_port = 7235", "[environment;"),
        ('internal_ip = "127.0.0.1"', "[default;"),
    ):
        assert source in lines[lines.index(name) - 1]


def test_a_taken_internal_port_is_one_sentence() -> None:
    """Which one, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartFailure, match=rf"127.0.0.1:{port} .*--internal-port\.$"):
            check_port_free("127.0.0.1", port, option="--internal-port")
