"""How a call to another node ended, in one trailer: an answer is told from a lost call (C2).

Without the trailer nobody answered: the connection, or the process behind it, did.
"""

from typing import Final

from schemas.errors import (
    Code,
    DeadlineExceeded,
    Internal,
    NotTheOwner,
    OutcomeUnknown,
    Rejected,
    ServiceError,
    Stale,
    Unavailable,
)
from schemas.temporal import rpc_status

TRAILER: Final = "millrace-outcome"
_ANSWERED: Final = "answered"
_NOT_THE_OWNER: Final = "not-the-owner"
_UNKNOWN: Final = "unknown"

Trailers = tuple[tuple[str, str], ...]


class PeerLost(OutcomeUnknown):
    """The connection failed, or nobody was there: something may have been appended."""


class Answered(ServiceError):
    """An error as the owner gave it, to be passed on as it is."""

    def __init__(self, code: int, message: str, status: bytes) -> None:
        super().__init__(message)
        self.code = Code(code)
        self._status = status
        if status:
            self.detail = rpc_status.Status.FromString(status)

    def status(self) -> bytes:
        """Return the owner's own bytes."""
        return self._status


def trailers_of(error: ServiceError) -> Trailers:
    """Return what an internal port says of an error."""
    if isinstance(error, NotTheOwner):
        return ((TRAILER, _NOT_THE_OWNER),)
    if isinstance(error, OutcomeUnknown):
        return ((TRAILER, _UNKNOWN),)
    return ((TRAILER, _ANSWERED),)


def error_of(code: int, message: str, *, outcome: str | None, status: bytes) -> ServiceError:
    """Return the error of a call to another node."""
    if outcome == _ANSWERED:
        return Answered(code, message, status)
    if outcome == _NOT_THE_OWNER:
        return NotTheOwner(message)
    if outcome == _UNKNOWN:
        return OutcomeUnknown(message)
    if code == Code.DEADLINE_EXCEEDED:
        return DeadlineExceeded("deadline exceeded before the owner answered")
    return PeerLost(f"expected an answer of the owner, found: {message}")


def refusal_of(answered: Answered) -> ServiceError:
    """Return an answered error in the family it was raised in, for our own code to tell."""
    match answered.code:
        case Code.ABORTED:
            return Stale(answered.message)
        case Code.INTERNAL:
            return Internal(answered.message)
        case Code.UNAVAILABLE:
            return Unavailable(answered.message)
        case Code.DEADLINE_EXCEEDED | Code.RESOURCE_EXHAUSTED:
            return NotTheOwner(answered.message)  # it was not done: try again later
        case _:
            return Rejected(answered.message)
