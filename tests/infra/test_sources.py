"""Where settings come from, and what is refused."""

from pathlib import Path

import pytest

from infra.settings import Settings
from infra.sources import SettingsError, all_settings, load, shown


def test_without_sources_everything_is_default() -> None:
    """Nothing set: the models' own defaults."""
    loaded = load()
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}


def test_later_sources_win(tmp_path: Path) -> None:
    """Defaults, file, environment, flags: in this order, and each value remembers its source."""
    file = tmp_path / "millrace.toml"
    file.write_text('[node]\nport = 1\nip = "::1"\nname = "a"\n')
    loaded = load(
        file=file,
        environment={"MILLRACE_NODE_PORT": "2", "MILLRACE_NODE_IP": "127.0.0.2", "HOME": "/"},
        flags={"node.port": 3},
    )
    node = loaded.settings.node
    assert (node.port, node.ip, node.name) == (3, "127.0.0.2", "a")
    assert loaded.sources["node.port"] == "flag"
    assert loaded.sources["node.ip"] == "environment"
    assert loaded.sources["node.name"] == str(file)
    assert loaded.sources["log.level"] == "default"


def test_lists_in_the_environment_are_separated_by_commas() -> None:
    """MILLRACE_NODE_NAMESPACES=a,b are two namespaces."""
    loaded = load(environment={"MILLRACE_NODE_NAMESPACES": "a,b"})
    assert loaded.settings.node.namespaces == ("a", "b")


def test_paths_are_paths() -> None:
    """A folder may be given as text, with a tilde."""
    loaded = load(flags={"node.data_dir": "~/here"})
    assert loaded.settings.node.data_dir == Path.home() / "here"


@pytest.mark.parametrize(
    ("flags", "environment", "sentence"),
    [
        ({"node.prt": 1}, {}, "node.prt is no setting (nearest: node.port)."),
        ({}, {"MILLRACE_NODE_PRT": "1"}, "MILLRACE_NODE_PRT is no setting (nearest: MILLRACE_"),
        ({"node.port": "x"}, {}, "node.port from flag cannot be 'x': Expected `int`, got `str`."),
        ({}, {"MILLRACE_LOG_LEVEL": "loud"}, "log.level from environment cannot be 'loud'"),
    ],
)
def test_a_typo_is_refused_in_one_sentence(
    flags: dict[str, object], environment: dict[str, str], sentence: str
) -> None:
    """A name that is no setting and a value of the wrong kind are never ignored."""
    with pytest.raises(SettingsError) as refused:
        load(flags=flags, environment=environment)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_the_tests_own_variables_are_left_alone() -> None:
    """MILLRACE_TEST_... is for the tests."""
    assert load(environment={"MILLRACE_TEST_KAFKA": "x"}).settings == Settings()


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    """With the file's name."""
    file = tmp_path / "broken.toml"
    file.write_text("[node")
    with pytest.raises(SettingsError, match=r"broken\.toml is not TOML"):
        load(file=file)


def test_shown_settings_can_be_read_again(tmp_path: Path) -> None:
    """What --print-settings prints is a settings file."""
    loaded = load(flags={"node.port": 7300, "node.namespaces": ["a"], "broker.log_level": "info"})
    file = tmp_path / "shown.toml"
    file.write_text(shown(loaded))
    assert load(file=file).settings == loaded.settings


def test_shown_settings_name_the_source_and_the_variable() -> None:
    """So that a value that surprises can be traced."""
    lines = shown(load(flags={"node.port": 7300})).splitlines()
    at = lines.index("port = 7300")
    assert lines[at - 1].endswith("[flag; MILLRACE_NODE_PORT]")


def test_every_variable_names_one_setting() -> None:
    """No two settings share an environment variable."""
    variables = [setting.variable for setting in all_settings().values()]
    assert len(set(variables)) == len(variables)
