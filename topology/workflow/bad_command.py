"""What worker commands have in common: what makes one bad, and the event of a good one."""

from collections.abc import Mapping

from schemas.temporal import command, common, history
from topology.turn import Turn
from topology.workflow import limits


class BadCommand(Exception):
    """Why: Temporal's WorkflowTaskFailedCause, and the text behind the cause's name.

    `terminates` says that the run must end for it (too large an input).
    """

    def __init__(self, cause: int, message: str = "", *, terminates: bool = False) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message
        self.terminates = terminates


def check_blob(size_bytes: int, cause: int, name: str) -> None:
    """Check the size of what a command carries; too large a blob ends the run."""
    if size_bytes > limits.BLOB_BYTES_MAX:
        raise BadCommand(cause, f"{name} exceeds size limit.", terminates=True)


def size_of_fields(fields: Mapping[str, common.Payload]) -> int:
    """Return the size of named payloads as Temporal counts it: names and contents."""
    return sum(len(name.encode()) + len(payload.data) for name, payload in fields.items())


def event_of(turn: Turn, each: command.Command, event_type: int) -> history.HistoryEvent:
    """Return a new event with what the command says of itself."""
    event = turn.event(event_type)
    if each.HasField("user_metadata"):
        event.user_metadata.CopyFrom(each.user_metadata)
    return event
