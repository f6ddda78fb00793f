"""The embedded broker as our child process: started early, watched, stopped last.

It ends when its stdin does, so it never outlives us; it has a session of its own, so that a Ctrl-C
meant for us does not take the log away while we drain.
"""

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from infra.failures import StartFailure
from infra.settings import BrokerSettings

_MODULE = "infra.broker"


class BrokerChild:
    """A broker that was started; its address comes a moment later."""

    def __init__(self, folder: Path, settings: BrokerSettings) -> None:
        self._settings = settings
        self._is_stopping = False
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", _MODULE, *_flags(folder, settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[1],
            start_new_session=True,
        )

    @property
    def process_id(self) -> int:
        """The child's process id."""
        return self._process.pid

    def address(self) -> str:
        """Wait for the first line and return `host:port`; raises StartFailure."""
        line = self._first_line()
        try:
            return str(json.loads(line)["address"])
        except (ValueError, KeyError, TypeError) as error:
            raise StartFailure(
                f"The embedded broker said {line!r} instead of its address."
            ) from error

    def watch(self, on_end: Callable[[str], None]) -> None:
        """Tell `on_end` one sentence when the broker ends by itself: its stdout does then."""
        pipe = self._pipe()

        def on_readable() -> None:
            if os.read(pipe, 4096):
                return
            asyncio.get_running_loop().remove_reader(pipe)
            if not self._is_stopping:
                on_end(f"The embedded broker ended with exit code {self._process.wait()}.")

        asyncio.get_running_loop().add_reader(pipe, on_readable)

    def kill(self) -> None:
        """End the broker at once."""
        self._is_stopping = True
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End the broker in order, or by force after its time."""
        self._is_stopping = True
        self._process.terminate()
        try:
            self._process.wait(self._settings.stop_timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _pipe(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _first_line(self) -> str:
        pipe = self._pipe()
        deadline = time.monotonic() + self._settings.start_timeout_s
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(pipe, 4096) if ready else b""
            if not piece:
                raise StartFailure(self._why_silent(is_late=not ready))
            line += piece
        return line.decode(errors="replace")

    def _why_silent(self, *, is_late: bool) -> str:
        if is_late:
            return f"The embedded broker did not start within {self._settings.start_timeout_s:g} s."
        return f"The embedded broker ended at its start with exit code {self._process.wait()}."


def _flags(folder: Path, settings: BrokerSettings) -> list[str]:
    return [
        *("--data-dir", str(folder)),
        *("--log-level", settings.log_level),
        *("--durability", settings.durability),
        *("--segment-bytes", str(settings.segment_bytes)),
        "--no-auto-create-topics",
    ]
