"""Start the embedded broker as a process, as `python -m infra.broker` promises it.

A plain class, so that fixtures, end-to-end tests and crash tests share it. A broker that does not
come up raises with what it said on stderr.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PROJECT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0


class BrokerDidNotStartError(RuntimeError):
    """The process ended, or did not say its address in time."""


class EmbeddedKafka:
    """One embedded broker on one data folder: started, stopped, killed and started again."""

    def __init__(self, folder: Path, *, port: int = 0, **flags: str | float) -> None:
        """Take the data folder and the broker's flags, underscores for dashes; True is bare."""
        self.folder = folder
        self.address = ""
        self._port = port
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def stderr_path(self) -> Path:
        """Where the broker's stderr is appended, beside its data folder."""
        return self.folder.with_name(self.folder.name + ".stderr")

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and neither ended nor waited for."""
        return self._process is not None

    def command(self) -> list[str]:
        """Return the command line of this broker."""
        line = [sys.executable, "-m", "infra.broker", "--data-dir", str(self.folder)]
        line += ["--port", str(self._port)]
        for name, value in self._flags.items():
            flag = "--" + name.replace("_", "-")
            line += [flag] if value is True else [flag, str(value)]
        return line

    def start(self) -> str:
        """Start the broker and return `host:port` once it listens; the port stays on a restart."""
        assert self._process is None, "expected a stopped broker, but it runs"
        with self.stderr_path.open("ab") as stderr:
            self._process = subprocess.Popen(
                self.command(),
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        try:
            self.address = str(json.loads(self._first_line())["address"])
        except (ValueError, KeyError, TypeError, BrokerDidNotStartError) as error:
            self.kill()
            said = self.stderr_path.read_text(errors="replace")[-4000:]
            raise BrokerDidNotStartError(
                f"expected an address on stdout: {error}\n{said}"
            ) from error
        self._port = int(self.address.rsplit(":", 1)[1])
        return self.address

    def stop(self) -> int:
        """End the broker by SIGTERM and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End the broker by SIGKILL and return its exit code."""
        return self._end(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for the broker to end by itself and return its exit code."""
        assert self._process is not None
        code = self._process.wait(STOP_TIMEOUT)
        self._close()
        return code

    def close_stdin(self) -> None:
        """Close the pipe that tells the broker that its parent lives."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.is_running:
            self.kill()

    def _first_line(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + START_TIMEOUT
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BrokerDidNotStartError(f"nothing within {START_TIMEOUT:.0f} s")
            piece = os.read(pipe, 4096)
            if not piece:
                raise BrokerDidNotStartError(f"exit code {self._process.wait(STOP_TIMEOUT)}")
            line += piece
        return line

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._close()

    def _close(self) -> None:
        assert self._process is not None
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None
