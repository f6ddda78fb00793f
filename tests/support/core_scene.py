"""A scene writes down what happened at a desk, in the form of the golden recordings.

The recordings in `tests/golden` were taken from a real Temporal server; a scene plays the same
script and must read the same.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from schemas.errors import ServiceError
from tests.support.core import Desk
from tests.support.core_text import Printer, event_name
from tests.support.core_words import complete

GOLDEN = Path(__file__).parents[1] / "golden"


class Scene(Desk):
    """A desk that keeps a record."""

    def __init__(self) -> None:
        super().__init__()
        self._printer = Printer()
        self._lines: list[str] = []

    def record(self) -> str:
        """Return what was written down."""
        return self._printer.numbered("\n".join(self._lines))

    def answer(self, title: str, message: Message) -> None:
        """Write a response."""
        self._lines += self._printer.block(f"answer {title}", message)

    def attempt(self, title: str, call: Callable[[], Any]) -> None:
        """Write a response or a refusal; a refusal may leave no trace unless it says so."""
        try:
            self.answer(title, call())
        except ServiceError as error:
            self._lines += self._printer.error(title, error)

    def history(self, workflow_id: str = "w", *, run_id: str = "", after: int = 0) -> None:
        """Write a history, or what follows an event id."""
        since = f" after {after}" if after else ""
        self._lines.append(f"history {workflow_id}{since}:")
        for event in self.events(workflow_id, run_id):
            if event.event_id > after:
                self._lines.append(self._printer.event_line(event))

    def describe(self, workflow_id: str = "w") -> None:
        """Write what Describe says."""
        self._lines += self._printer.block(f"describe {workflow_id}", self.described(workflow_id))

    def finish(self, *, after: int = 0) -> None:
        """Complete the workflow with the next task, write the history."""
        self.step(complete())
        self.history(after=after)


def golden(name: str) -> str:
    """Return a recording without its first line, which says what it is of."""
    return (GOLDEN / f"{name}.txt").read_text().split("\n", 1)[1].rstrip("\n")


def names(desk: Desk, *, after: int = 0, workflow_id: str = "w") -> list[str]:
    """Return a history as `7 ActivityTaskCompleted`."""
    return [
        f"{event.event_id} {event_name(event)}"
        for event in desk.events(workflow_id)
        if event.event_id > after
    ]
