"""The door of the command: old Pythons are turned away by code that they can read."""

import ast
import sys
from pathlib import Path

import pytest

import infra.cli
from infra.cli import main


def test_an_old_python_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its version and its path."""
    monkeypatch.setattr(sys, "version_info", (3, 8))
    assert main() == 2
    assert capsys.readouterr().err == (
        f"Millrace needs Python 3.11 or newer; this is Python 3.8 ({sys.executable}).\n"
    )


@pytest.mark.parametrize("file", ["__init__.py", "cli/__init__.py", "cli/__main__.py"])
def test_the_door_parses_on_old_pythons(file: str) -> None:
    """The check must run before any syntax that an old Python cannot parse."""
    source = Path(infra.__file__).parent / file
    ast.parse(source.read_text(), feature_version=(3, 7))
