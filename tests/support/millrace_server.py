"""Start `millrace dev` as a process, as a user does: started, stopped, killed, started again.

A plain class, so that end-to-end tests, crash tests and benchmarks share it. A server that does not
come up raises with what it said on stderr.
"""

import os
import re
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
SPREAD = ("--set", "kafka.history_partitions=4", "--set", "kafka.matching_partitions=4")
"""Options that make an embedded broker's topics as a Kafka's are made."""
STOP_TIMEOUT = 45.0
_ADDRESSES = re.compile(rb"^  Temporal Server\s+(\S+)\n  Kafka\s+(\S+)", re.MULTILINE)


class ServerDidNotStartError(RuntimeError):
    """The process ended, or did not say its address in time."""


class MillraceServer:
    """One server; with a folder it remembers, on the same port, from one start to the next."""

    def __init__(
        self,
        scratch: Path,
        *,
        folder: Path | None = None,
        kafka: str = "",
        options: tuple[str, ...] = (),
        is_node: bool = False,
    ) -> None:
        """`is_node`: one of several on a Kafka (`millrace serve`), instead of `millrace dev`."""
        self.folder = folder
        self.address = ""
        self.kafka_address = ""
        self.stderr_path = scratch / "millrace.stderr"
        self._kafka = kafka
        self._options = options
        self._is_node = is_node
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "expected a running server"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and neither ended nor waited for."""
        return self._process is not None

    @property
    def exit_code(self) -> int | None:
        """How a started server ended by itself; None: it did not."""
        return None if self._process is None else self._process.poll()

    @property
    def stderr(self) -> str:
        """What it has said on stderr, over all its lives."""
        return self.stderr_path.read_text(errors="replace")

    def command(self) -> list[str]:
        """Return the command line."""
        port = self.address.rpartition(":")[2] or "0"
        name, folder = ("serve", "--data-dir") if self._is_node else ("dev", "--db-filename")
        line = [sys.executable, "-m", "infra.cli", name, "--port", port]
        if self.folder is not None:
            line += [folder, str(self.folder)]
        if self._kafka:
            line += ["--kafka", self._kafka]
        return [*line, *self._options]

    def start(self) -> str:
        """Start it and return `host:port` once it serves."""
        assert self._process is None, "expected a stopped server, but it runs"
        with self.stderr_path.open("ab") as stderr:
            self._process = subprocess.Popen(
                self.command(),
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        try:
            self.address, self.kafka_address = self._said_addresses()
        except ServerDidNotStartError as error:
            self.kill()
            raise ServerDidNotStartError(f"{error}; it said:\n{self.stderr[-4000:]}") from error
        return self.address

    def stop(self) -> int:
        """End it by SIGTERM and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it by SIGKILL and return its exit code."""
        return self._end(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for it to end by itself and return its exit code."""
        assert self._process is not None, "expected a running server"
        return self._waited()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()

    def _said_addresses(self) -> tuple[str, str]:
        assert self._process is not None
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + START_TIMEOUT
        said = b""
        while not (found := _ADDRESSES.search(said)):
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ServerDidNotStartError(f"expected an address within {START_TIMEOUT:g} s")
            piece = os.read(pipe, 4096)
            if not piece:
                raise ServerDidNotStartError("expected an address, but the server ended")
            said += piece
        return found[1].decode(), found[2].decode()

    def _end(self, number: signal.Signals) -> int:
        self.send(number)
        try:
            return self._waited()
        except subprocess.TimeoutExpired:
            assert self._process is not None
            self._process.kill()
            self._waited()
            raise

    def _waited(self) -> int:
        assert self._process is not None
        code = self._process.wait(STOP_TIMEOUT)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code
