"""The broker as a child process of an asyncio program.

The child's life is tied to ours: it reads a pipe of ours as its stdin and ends with it.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0


class StartFailedError(Exception):
    """The broker did not start; the message is what it said."""


class BrokerChild:
    """A running broker: `child = await BrokerChild.start(folder)`, then `await child.stop()`."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self._process = process
        self._is_stopping = False
        self.address = address
        self.died: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Resolves to the exit code if the broker ends without being told to."""
        self._watch = asyncio.create_task(self._watched())

    @classmethod
    async def start(cls, data_dir: Path, *flags: str, port: int = 0) -> "BrokerChild":
        """Start a broker and wait until it listens; raise StartFailedError with its sentence.

        `flags` are further flags of `python -m infra.broker`.
        """
        arguments = ["--data-dir", str(data_dir), "--port", str(port), *flags]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "infra.broker", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # Ctrl-C is ours to pass on, in order
        )
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _START_TIMEOUT_S)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        if not line:
            raise StartFailedError(await _last_words(process))
        return cls(process, json.loads(line)["address"])

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def _watched(self) -> None:
        """Pass on what the broker logs, and tell when it ends by itself."""
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            sys.stderr.write(line.decode(errors="replace"))
        code = await self._process.wait()
        if not self._is_stopping and not self.died.done():
            self.died.set_result(code)

    async def stop(self) -> int:
        """Let the broker flush and end; return its exit code."""
        self._is_stopping = True
        self.died.cancel()
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            self._process.kill()
        await self._watch
        return await self._process.wait()

    async def kill(self) -> None:
        """End the broker at once, as a crash would; `died` tells of it."""
        self._process.kill()
        await self._watch


async def _last_words(process: asyncio.subprocess.Process) -> str:
    """Return what a broker that ends says on stderr."""
    assert process.stderr is not None
    said = (await process.stderr.read()).decode(errors="replace").strip()
    code = await process.wait()
    return said or f"the broker ended with code {code} and said nothing"
