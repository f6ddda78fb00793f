"""Kills the visibility agent at every k-th write, with SIGKILL: run as a process by its test.

`python -m tests.streams.visibility.killed_agent LOG FOLDER [URL]`: for k = 1, 2, ... an agent of a
fresh store follows the log and is killed at its k-th write, once before and once after the write;
then another one goes on. It ends with the first k that no agent reaches, and prints it.
"""

import asyncio
import os
import pickle
import signal
import sys
from pathlib import Path

from search.elastic import ElasticStore
from search.settings import ElasticSettings
from search.sqlite import SqliteStore
from search.store import Batch, Store
from tests.streams.visibility.test_node import follow

BEFORE, AFTER = "before", "after"


class Killing:
    """A store at whose k-th write the process is killed; 0: never."""

    def __init__(self, store: Store, at: int, when: str) -> None:
        self._store = store
        self._left = at
        self._when = when

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def write(self, batch: Batch, generation: str) -> None:
        """Write, or die."""
        self._left -= 1
        if self._left == 0 and self._when == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        self._store.write(batch, generation)
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def opened(folder: Path, url: str, name: str) -> Store:
    """Open the store of a round."""
    if url:
        return ElasticStore(ElasticSettings(urls=(url,), index=f"{folder.name}-{name}".lower()))
    return SqliteStore(folder / name)


def lived(log: Path, folder: Path, url: str, name: str, *, at: int, when: str) -> bool:
    """Let an agent live, in a process of its own; whether it came to its end."""
    child = os.fork()
    if not child:
        store = Killing(opened(folder, url, name), at, when)
        records = pickle.loads(log.read_bytes())
        size = len(records) // (6 if url else 30) + 1  # an index of its own a round takes time
        asyncio.run(follow(store, records, size=size))  # type: ignore[arg-type]  # all of a store
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert status == 0, f"expected an agent to end well, or by SIGKILL; found {status}"
    return True


def main(log: Path, folder: Path, url: str) -> None:
    """Go through all k."""
    at = 1
    while True:
        for when in (BEFORE, AFTER):
            name = f"{when}-{at}"
            if lived(log, folder, url, name, at=at, when=when):
                sys.stdout.write(f"{at - 1}\n")
                return
            assert lived(log, folder, url, name, at=0, when=when)
        at += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), "".join(sys.argv[3:]))
