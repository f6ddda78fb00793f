"""`millrace archive` on archives in folders: what it copies, indexes, finds wrong, and says."""

import shutil
from pathlib import Path

import pytest

from archival.archive import Archive
from archival.archiver import Archiver
from archival.opening import open_archive
from archival.run import RunKey
from archival.transfer import Progress
from infra.cli.archive import Shown
from infra.cli.commands import run
from tests.archival.runs import closed_run

NAMESPACE_ID = "00000000-0000-4000-8000-00000000000d"


def filled(folder: Path, count: int = 3) -> tuple[str, Archive]:
    """Return the URI of an archive of so many runs, and the archive."""
    archive = open_archive(folder.as_uri())
    archiver = Archiver(archive, archive)
    for number in range(count):
        key = RunKey(NAMESPACE_ID, f"order-{number}", f"00000000-0000-4000-8000-{number:012}")
        archiver.archive(closed_run(key))
    archiver.close()
    return folder.as_uri(), archive


def test_an_archive_is_exported_and_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copy has every run; verifying reads them all; doing it again changes nothing."""
    source, _ = filled(tmp_path / "source")
    target = (tmp_path / "target").as_uri()
    for _ in range(2):
        assert run(["archive", "export", source, target]) == 0
        assert run(["archive", "verify", target]) == 0
    said = capsys.readouterr()
    assert said.out == "3 runs, 0 in trouble.\n" * 4
    assert f"{NAMESPACE_ID}: 3 runs" in said.err
    copied = open_archive(target)
    assert len(list(copied.lake(NAMESPACE_ID).rows())) == 3


def test_a_query_says_which_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any List Filter, also on custom search attributes whose type is given."""
    source, _ = filled(tmp_path / "source")
    target = (tmp_path / "target").as_uri()
    query = "WorkflowId = 'order-1' AND CustomerId = 'c-7'"
    asked = ["--query", query, "--search-attribute", "CustomerId=Keyword"]
    assert run(["archive", "export", source, target, *asked]) == 0
    assert capsys.readouterr().out == "1 runs, 0 in trouble.\n"
    (copied,) = open_archive(target).lake(NAMESPACE_ID).rows()
    assert copied.workflow_id == "order-1"


def test_what_is_damaged_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run and what is wrong with it, on stdout; the exit code says it too."""
    uri, archive = filled(tmp_path / "source")
    (first, *_) = sorted((tmp_path / "source").glob("*.history"))
    first.write_bytes(first.read_bytes().replace(b"marker-3", b"marker-4"))
    assert run(["archive", "verify", uri]) == 1
    said = capsys.readouterr().out
    assert "the history is not what was written" in said
    assert said.endswith("3 runs, 1 in trouble.\n")
    archive.close()


def test_what_temporal_wrote_is_made_searchable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An archive without our files is indexed where it lies."""
    uri, _ = filled(tmp_path / "source")
    shutil.rmtree(tmp_path / "source" / "millrace")
    assert run(["archive", "import", uri]) == 0
    assert capsys.readouterr().out == "3 runs, 0 in trouble.\n"
    found = list(open_archive(uri).lake(NAMESPACE_ID).rows())
    assert sorted(each.workflow_id for each in found) == ["order-0", "order-1", "order-2"]
    assert run(["archive", "verify", uri]) == 0


def test_runs_are_deleted_for_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that a query finds, once somebody says yes: nothing of them is left in any file."""
    uri, archive = filled(tmp_path / "source")
    asked = ["archive", "delete", uri, "--query", "WorkflowId = 'order-1'"]
    assert run(asked) == 2
    assert "say --yes" in capsys.readouterr().err
    assert run([*asked, "--yes"]) == 0
    assert capsys.readouterr().out == "1 runs, 0 in trouble.\n"
    left = [each.workflow_id for each in archive.lake(NAMESPACE_ID).rows()]
    assert sorted(left) == ["order-0", "order-2"]
    files = [each for each in (tmp_path / "source").rglob("*") if each.is_file()]
    assert not [each for each in files if b"order-1" in each.read_bytes()]
    assert run(["archive", "verify", uri]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["verify", "gopher://x"], "There is no archive at gopher://x: unknown archiver scheme."),
        (
            ["verify", "{uri}", "--query", "Nothing = 1"],
            (
                "--query: invalid query: invalid expression: column name 'Nothing' is not a valid "
                "search attribute."
            ),
        ),
        (["verify", "{uri}", "--token", "!"], "--token is not one that was printed: '!'."),
        (
            ["import", "{uri}", "--search-attribute", "A=B"],
            "--search-attribute is NAME=TYPE, found 'A=B'.",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """Without a traceback."""
    uri, _ = filled(tmp_path / "source", 1)
    assert run(["archive", *(each.format(uri=uri) for each in arguments)]) == 2
    assert capsys.readouterr().err == f"{sentence}\n"


def test_an_interrupted_run_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token is where the next one begins."""
    uri, _ = filled(tmp_path / "source")
    shown: list[Shown] = []

    def interrupted(self: Shown, progress: Progress) -> None:
        shown.append(self)
        self.token = progress.token
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("archival.transfer._PAGE", 2)
        patch.setattr(Shown, "__call__", interrupted)
        assert run(["archive", "verify", uri]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
    _, _, go_on = line.partition("Go on with: ")
    assert run(["archive", "verify", uri, *go_on.split()]) == 0
    assert capsys.readouterr().out == "1 runs, 0 in trouble.\n"
