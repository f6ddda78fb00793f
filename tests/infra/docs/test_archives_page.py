"""The page about archives: its code reads an archive as it lies there."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from archival.archiver import Archiver
from archival.opening import open_archive
from archival.run import ClosedRun, RunKey
from infra.cli.commands import run
from schemas.temporal import enums
from tests.archival.runs import closed_run
from tests.infra.docs.pages import DOCS, run_page

FAILED = enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED


def failed(number: int, type_name: str) -> ClosedRun:
    """Return a run that failed."""
    key = RunKey("ns", f"order-{number}", f"00000000-0000-4000-8000-{number:012}")
    made = closed_run(key, type_name=type_name)
    made.execution.status = FAILED
    return replace(made)


def test_the_archives_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counts the failed runs of each type."""
    archive = open_archive(tmp_path.as_uri())
    archiver = Archiver(archive, archive)
    archiver.archive_all([failed(1, "order"), failed(2, "order"), failed(3, "pay"), closed_run()])
    archiver.close()
    monkeypatch.setenv("ARCHIVE", str(tmp_path))
    run_page("archives.md", monkeypatch, kafka="")
    assert sorted(capsys.readouterr().out.splitlines()) == ["order 2", "pay 1"]


def test_every_command_of_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """Each `millrace archive ...` has a help of its own."""
    text = (DOCS / "archives.md").read_text()
    commands = {
        line.split()[2] for line in text.splitlines() if line.startswith("    millrace archive ")
    }
    assert commands == {"backlog", "verify", "export", "import", "delete"}
    for each in commands:
        with pytest.raises(SystemExit, match="0"):
            run(["archive", each, "--help"])
        assert f"millrace archive {each}" in capsys.readouterr().out
