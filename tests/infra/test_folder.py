"""The data folder: one process at a time, never one written by a newer version."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.failures import StartFailure
from infra.folder import VERSION, DataFolder, broker_address_in


def opened(path: Path) -> DataFolder:
    """Return the folder, opened."""
    folder = DataFolder(path, is_temporary=False)
    folder.open()
    return folder


def test_a_new_folder_is_made_and_marked(tmp_path: Path) -> None:
    """With its parents, and with the version of its layout."""
    folder = opened(tmp_path / "a" / "b")
    assert (folder.path / "version").read_text() == f"{VERSION}\n"
    folder.close()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """One process at a time; after it, the next one may."""
    folder = opened(tmp_path)
    with pytest.raises(StartFailure, match="is in use by another process"):
        opened(tmp_path)
    folder.close()
    opened(tmp_path).close()


def test_a_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """Reading what one does not know loses it."""
    (tmp_path / "version").write_text(f"{VERSION + 1}\n")
    with pytest.raises(StartFailure, match="was written by a newer version of Millrace"):
        opened(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """Temporal's --db-filename names a file, ours a folder: said in a sentence."""
    file = tmp_path / "temporal.db"
    file.write_text("")
    with pytest.raises(StartFailure, match=r"Cannot write to the data folder .*temporal\.db"):
        opened(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    """With the system's reason."""
    tmp_path.chmod(0o500)
    with pytest.raises(StartFailure, match="Permission denied"):
        opened(tmp_path / "below")


def test_a_temporary_folder_is_removed() -> None:
    """It forgets everything."""
    folder = DataFolder.temporary()
    folder.open()
    (folder.path / "x").write_text("x")
    folder.close()
    assert not folder.path.exists()


def test_the_broker_of_a_former_life_is_awaited(tmp_path: Path) -> None:
    """It ends a moment after its killed parent: the next start waits for its lock."""
    folder = opened(tmp_path)
    folder.broker.mkdir()
    (folder.broker / "lock").touch()
    code = (
        "import fcntl, os, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX);"
        "print('locked', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(folder.broker / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == b"locked\n"
    holder.stdin.close()
    folder.await_former_broker()
    with (folder.broker / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    holder.stdout.close()
    assert holder.wait() == 0
    folder.close()


def test_the_broker_keeps_its_port_from_life_to_life(tmp_path: Path) -> None:
    """A folder knows where its broker listened; a new one, or a torn note, knows nothing."""
    folder = opened(tmp_path)
    assert folder.broker_port == 0
    folder.note_broker(os.getpid(), "127.0.0.1:19092")
    assert folder.broker_port == 19092
    broker_address_in(tmp_path).write_text("127.0.0.1:")
    assert folder.broker_port == 0
    folder.close()
