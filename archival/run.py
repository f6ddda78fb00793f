"""What is archived: a closed run, and what stands in the archive of it afterwards."""

from collections.abc import Iterable

import msgspec

from schemas.errors import Code, InvalidArgument, Rejected, ServiceError
from schemas.temporal import history, workflow


class Refused(Rejected):
    """This run cannot be archived, now or later: set it aside with this reason."""

    code = Code.FAILED_PRECONDITION


class Damaged(ServiceError):
    """What the archive holds is not what was written."""

    code = Code.DATA_LOSS


class RunKey(msgspec.Struct, frozen=True):
    """Which run."""

    namespace_id: str
    workflow_id: str
    run_id: str


class ClosedRun(msgspec.Struct, frozen=True):
    """A run to archive.

    Each time `batches` is gone through it gives the whole history anew: a list does, a generator
    does not.
    """

    namespace: str
    key: RunKey
    execution: workflow.WorkflowExecutionInfo
    batches: Iterable[history.History]
    last_event_id: int
    close_version: int = 0  # failover version of the last event

    def check(self) -> None:
        """Refuse a run that lacks what its names are made of; texts are Temporal's."""
        named = {
            "NamespaceId": self.key.namespace_id,
            "Namespace": self.namespace,
            "WorkflowId": self.key.workflow_id,
            "RunId": self.key.run_id,
        }
        for name, value in named.items():
            if not value:
                raise Refused(f"field {name} is empty")


class Written(msgspec.Struct, frozen=True):
    """A history in the archive, whole and verified."""

    version: int
    blobs_count: int
    size_bytes: int
    sha256: bytes  # of all its objects, one behind the other
    events_count: int


class HistoryPage(msgspec.Struct, frozen=True):
    """A part of an archived history; no token: it was the last."""

    batches: tuple[history.History, ...]
    token: bytes = b""


class HistoryToken(msgspec.Struct, frozen=True, rename="pascal"):
    """Where the next page begins, as Temporal's archivers write it."""

    close_failover_version: int = 0
    batch_idx: int = 0
    next_batch_idx: int = 0

    def pack(self) -> bytes:
        """Return the bytes a caller is given."""
        return msgspec.json.encode(self)


def unpack_token(token: bytes) -> HistoryToken:
    """Return a page token; raises InvalidArgument."""
    try:
        found = msgspec.json.decode(token, type=HistoryToken)
    except msgspec.DecodeError:
        raise InvalidArgument("next page token is corrupted") from None
    if found.batch_idx < 0 or found.next_batch_idx < 0:
        raise InvalidArgument("next page token is corrupted")
    return found
