"""How a call to another node ended, in one word: an answer is told from a lost call (C2).

Codes do not tell them apart: "not the owner", "outcome unknown" and a refusal may all be
UNAVAILABLE.
"""

from typing import Final

from schemas.errors import (
    Code,
    Internal,
    NotTheOwner,
    OutcomeUnknown,
    Rejected,
    ServiceError,
    Stale,
    Unavailable,
)
from schemas.temporal import rpc_status

_ANSWERED: Final = "answered"
_NOT_THE_OWNER: Final = "not-the-owner"
_UNKNOWN: Final = "unknown"


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


def outcome_of(error: ServiceError) -> str:
    """Return what an internal port says of an error."""
    if isinstance(error, NotTheOwner):
        return _NOT_THE_OWNER
    if isinstance(error, OutcomeUnknown):
        return _UNKNOWN
    return _ANSWERED


def error_of(code: int, message: str, *, outcome: str, status: bytes) -> ServiceError:
    """Return the error of a call to another node."""
    if outcome == _NOT_THE_OWNER:
        return NotTheOwner(message)
    if outcome == _UNKNOWN:
        return OutcomeUnknown(message)
    return Answered(code, message, status)


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
