"""What the clients were told, on disk before they go on."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["start", "signal", "complete"]
Outcome = Literal["done", "refused", "aborted", "unknown"]


class Told(NamedTuple):
    """One call as its client saw it end.

    `token` is in the call and nowhere else, so the log can be searched for it. After repeats a
    refusal may be about the call itself: an earlier try may have been decided unheard. What stood
    in an aborted transaction was never asked.
    """

    kind: Kind
    token: str
    workflow_id: str
    run_id: str
    outcome: Outcome
    repeats: int
    code: str = ""


class Journal:
    """A file of `Told`, one JSON line each, flushed to disk with each note."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self.count = 0

    def note(self, *told: Told) -> None:
        """Write a line each; they are on disk when this returns."""
        self._file.write("".join(json.dumps(each) + "\n" for each in told))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.count += len(told)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> Iterator[Told]:
    """Yield what a journal holds."""
    for line in path.read_text().splitlines():
        yield Told(*json.loads(line))
