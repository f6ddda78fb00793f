"""`millrace dev`: options become settings; Temporal's spelling is accepted."""

import pytest

from infra.cli import commands, dev
from infra.settings import Settings

SDK_LINE = (
    "server start-dev --port 7300 --namespace default --ip 127.0.0.1 --log-format pretty "
    "--log-level warn --headless --dynamic-config-value frontend.enableServerVersionCheck=false"
)
"""What the SDKs' test environments call."""


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Collect the settings of nodes instead of running them."""
    seen: list[Settings] = []

    def launch(settings: Settings) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr(dev, "_launch", launch)
    return seen


@pytest.mark.parametrize(
    "line",
    [
        "dev --port 7300 --ip 127.0.0.2 -n a --namespace b --db-filename ./x --metrics-port 9",
        "dev --port=7300 --ip=127.0.0.2 -n a --namespace=b -f ./x --metrics-port=9",
        "server start-dev -p 7300 --ip 127.0.0.2 -n a -n b -f ./x --metrics-port 9",
    ],
)
def test_options_become_settings(line: str, launched: list[Settings]) -> None:
    """Both spellings of options, and both names of the command."""
    assert commands.run(line.split()) == 0
    node = launched[0].node
    assert (node.port, node.ip, node.namespaces) == (7300, "127.0.0.2", ("a", "b"))
    assert str(node.data_dir) == "x"
    assert launched[0].metrics.port == 9


@pytest.mark.parametrize(("line", "uri"), [("--archive", ""), ("--archive s3://cold", "s3://cold")])
def test_archives_are_turned_on(line: str, uri: str, launched: list[Settings]) -> None:
    """For namespaces that are registered from now on, with or without a place."""
    assert commands.run(["dev", *line.split()]) == 0
    archival = launched[0].archival
    assert archival.namespace_state == "enabled"
    assert (archival.history_uri, archival.visibility_uri) == (uri, uri)


def test_the_last_folder_wins(launched: list[Settings]) -> None:
    """`make dev` gives one, and its user may give another."""
    commands.run(["dev", "--db-filename", "./a", "-f", "./b"])
    assert str(launched[0].node.data_dir) == "b"


def test_sdk_test_environments_can_start_it(
    launched: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """With their own command line; what has no effect is named in one line."""
    assert commands.run(SDK_LINE.split()) == 0
    assert launched[0].node.port == 7300
    assert capsys.readouterr().err == (
        "millrace: accepted, but without effect yet: --dynamic-config-value "
        "frontend.enableServerVersionCheck\n"
    )


@pytest.mark.parametrize("option", ["--http-port 1", "--ui-port=8233", "--sqlite-pragma a=b"])
def test_options_without_meaning_are_named(
    option: str, launched: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """Accepted, in both spellings, and never silently."""
    assert commands.run(["dev", *option.split()]) == 0
    assert option.replace("=", " ").split()[0] in capsys.readouterr().err
    assert len(launched) == 1


def test_any_setting_can_be_set(launched: list[Settings]) -> None:
    """By its path, as --print-settings shows it."""
    commands.run(["dev", "--set", "broker.durability=fsync", "--set", "node.namespaces=a"])
    assert launched[0].broker.durability == "fsync"


def test_the_environment_counts(launched: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    """Under options."""
    monkeypatch.setenv("MILLRACE_NODE_PORT", "1")
    monkeypatch.setenv("MILLRACE_NODE_IP", "127.0.0.3")
    commands.run(["dev", "--port", "2"])
    assert (launched[0].node.port, launched[0].node.ip) == (2, "127.0.0.3")


def test_settings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is started."""
    assert commands.run(["dev", "--port", "7300", "--print-settings"]) == 0
    assert "port = 7300" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("dev --set node.prt=1", "node.prt is no setting (nearest: node.port).\n"),
        ("dev --config /nowhere.toml", "Cannot read /nowhere.toml: No such file or directory.\n"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    line: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, with exit code 2 and no traceback."""
    assert commands.run(line.split()) == 2
    assert capsys.readouterr().err == sentence


@pytest.mark.parametrize("line", ["--help", "dev --help", "server start-dev --help"])
def test_help_teaches(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With examples, and what to try next."""
    with pytest.raises(SystemExit, match="0"):
        commands.run(line.split())
    said = capsys.readouterr().out
    assert "examples:" in said
    assert "try next" in said
