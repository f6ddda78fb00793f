"""Keeping the schemas of a release."""

from pathlib import Path

import pytest

from infra.release import release


def test_a_release_keeps_every_schema(tmp_path: Path) -> None:
    """Byte for byte, under the version's name."""
    (tmp_path / "task.avsc").write_text("{}")
    assert [path.name for path in release("1.2.3", tmp_path)] == ["task.1.2.3.avsc"]
    assert (tmp_path / "released/task.1.2.3.avsc").read_text() == "{}"


def test_a_version_is_released_once(tmp_path: Path) -> None:
    """What was released never changes."""
    (tmp_path / "task.avsc").write_text("{}")
    release("1.2.3", tmp_path)
    with pytest.raises(SystemExit, match=r"expected 1\.2\.3 to be new"):
        release("1.2.3", tmp_path)
