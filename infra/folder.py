"""The data folder of a node: locked by one process, with the version that wrote it.

lock       held by the running process
version    the layout's version; a newer one is refused
broker/    the embedded broker's segments; broker.pid, broker.address: its process, host:port
history/   stores of the history role, one a partition
matching/  stores of the matching role
node.json  what the node knows of itself: cluster id, group member ids (V6)
"""

import fcntl
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Self

from infra.failures import StartFailure

VERSION = 1
_LEFTOVER_PATIENCE_S = 5.0
_LEFTOVER_KILL_S = 10.0
_RETRY_S = 0.02


def broker_address_in(folder: Path) -> Path:
    """Return the file that says where the embedded broker of a data folder listens."""
    return folder / "broker.address"


class DataFolder:
    """An opened data folder; a temporary one disappears when it is closed."""

    def __init__(self, path: Path, *, is_temporary: bool) -> None:
        self.path = path
        self.is_temporary = is_temporary
        self._lock: int | None = None

    @classmethod
    def temporary(cls) -> Self:
        """Make a fresh folder that is removed at the end."""
        return cls(Path(tempfile.mkdtemp(prefix="millrace-")), is_temporary=True)

    @property
    def broker(self) -> Path:
        """The embedded broker's folder."""
        return self.path / "broker"

    def open(self) -> None:
        """Create what is missing, lock the folder, check its version; raises StartFailure."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StartFailure(
                f"Cannot write to the data folder {self.path}: {error.strerror}."
            ) from error
        if not _try_lock(self._lock):
            raise StartFailure(
                f"The data folder {self.path} is in use by another process; "
                "stop it, or choose another folder with --db-filename."
            )
        self._check_version()

    def close(self) -> None:
        """Unlock; remove a temporary folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self.is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)

    def await_former_broker(self) -> None:
        """Wait for the broker of a killed former life to end; help it after a while."""
        path = self.broker / "lock"
        if not path.exists():
            return
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._await_unlocked(descriptor)
        finally:
            os.close(descriptor)

    def note_broker(self, process_id: int, address: str) -> None:
        """Remember the broker's process and where it listens, for the next life."""
        self._broker_id.write_text(str(process_id))
        broker_address_in(self.path).write_text(address)

    @property
    def broker_port(self) -> int:
        """The port on which the broker listened last, so that Kafka clients find it again; or 0."""
        try:
            return int(broker_address_in(self.path).read_text().rpartition(":")[2])
        except (OSError, ValueError):
            return 0

    @property
    def _broker_id(self) -> Path:
        return self.path / "broker.pid"

    def _await_unlocked(self, descriptor: int) -> None:
        started_at = time.monotonic()
        is_told = False
        while not _try_lock(descriptor):
            waited = time.monotonic() - started_at
            if waited > _LEFTOVER_KILL_S:
                raise StartFailure(
                    f"The broker's folder {self.broker} is in use by another process."
                )
            if waited > _LEFTOVER_PATIENCE_S and not is_told:
                self._kill_former_broker()
                is_told = True
            time.sleep(_RETRY_S)

    def _kill_former_broker(self) -> None:
        """End the orphan by its recorded id, if that process is a broker still."""
        try:
            process_id = int(self._broker_id.read_text())
            command = Path(f"/proc/{process_id}/cmdline").read_bytes()
            if b"infra.broker" in command:
                os.kill(process_id, signal.SIGKILL)
        except (OSError, ValueError):
            return

    def _check_version(self) -> None:
        path = self.path / "version"
        try:
            if not path.exists():
                path.write_text(f"{VERSION}\n")
            found = int(path.read_text())
        except (OSError, ValueError) as error:
            raise StartFailure(f"Cannot read the version in {path}: {error}.") from error
        if found > VERSION:
            raise StartFailure(
                f"The data folder {self.path} was written by a newer version of Millrace "
                f"(layout {found}, this one knows {VERSION})."
            )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
