"""The owner's own work (L0): asks that need no record on a command topic.

Their transitions carry unchanged sources, and the state makes each exactly once.
"""

from typing import Any

import msgspec

from topology.effects import TaskKind


class StartTask(msgspec.Struct, frozen=True):
    """Start a task for a poll (M1): method `StartTask`.

    The same poll id gets the same answer again; a task that is gone, started for another poll or
    offered under another attempt or stamp is refused with `Stale`.
    """

    poll_id: str
    identity: str
    kind: TaskKind
    queue: str
    run_id: str
    scheduled_event_id: int
    attempt: int
    stamp: int


class StickyDead(msgspec.Struct, frozen=True):
    """A sticky queue has had no poller lately (M3): method `StickyDead`; use the normal queue."""

    run_id: str
    scheduled_event_id: int
    attempt: int
    stamp: int


class HandBack(msgspec.Struct, frozen=True):
    """A started task could not be handed to its poller (M2): method `HandBack`."""

    poll_id: str
    kind: TaskKind
    run_id: str
    scheduled_event_id: int
    attempt: int
    stamp: int


class FireDue(msgspec.Struct, frozen=True):
    """Something of a run is due (T2): method `FireDue`. Nothing due is `Stale`."""

    run_id: str


class QuarantineDue(msgspec.Struct, frozen=True):
    """What is due in a run raised a bug (L13): method `QuarantineDue`; it will not fire again."""

    run_id: str
    reason: str


class Expire(msgspec.Struct, frozen=True):
    """The retention of closed runs is over: method `Expire`. Nothing to delete is `Stale`."""

    run_ids: tuple[str, ...]


class SweepNamespace(msgspec.Struct, frozen=True):
    """Remove some runs of a deleted namespace: method `SweepNamespace`; a `Swept` answers."""

    namespace_id: str
    after: bytes  # the key to go on from; empty: the first
    limit: int


class EndSweep(msgspec.Struct, frozen=True):
    """Nothing is left of a deleted namespace in this partition: method `EndSweep`."""

    namespace_id: str
    home: str
    partition: int
    partitions: int


class Archived(msgspec.Struct, frozen=True):
    """A closed run is archived, as its RunKept asked (V5): method `Archived`.

    Saying it again changes nothing, also once the run is deleted; an open run is refused.
    """

    run_id: str


class SetAside(msgspec.Struct, frozen=True):
    """The archive of a closed run refused it for good (V5): method `SetAside`.

    It waits, undeleted, until somebody has it tried again, which an empty reason does.
    """

    run_id: str
    reason: str


class ReadWaiting(msgspec.Struct, frozen=True):
    """A read of closed runs that wait for their archive: method `Waiting`. A `WaitingPage`."""

    after: bytes = b""
    passed_over: tuple[str, ...] = ()  # namespace ids
    runs_count: int = 32
    history_bytes: int = 1 << 20  # at least one batch of the first run comes all the same


class ReadClosedRun(msgspec.Struct, frozen=True):
    """A read of more of a closed run's history: method `ClosedRun`. A `Batches`."""

    run_id: str
    first_event_id: int
    history_bytes: int = 1 << 20


class ReadBacklog(msgspec.Struct, frozen=True):
    """A read of how much waits for its archive, and what was set aside: method `Backlog`."""

    after: bytes = b""  # set-aside runs behind this key
    set_aside_count: int = 100
    counted_max: int = 10_000


class Batches(msgspec.Struct, frozen=True, array_like=True):
    """Batches of a closed run's history, each a serialized `History`."""

    batches: tuple[bytes, ...]
    next_event_id: int = 0  # where more begin; 0: this is the end


class WaitingRun(msgspec.Struct, frozen=True, array_like=True):
    """A closed run that waits for its archive, and the beginning of its history."""

    namespace_id: str
    namespace: str
    workflow_id: str
    run_id: str
    history_uri: str
    visibility_uri: str
    execution: bytes  # serialized WorkflowExecutionInfo
    last_event_id: int
    history: Batches


class WaitingPage(msgspec.Struct, frozen=True, array_like=True):
    """Some of the runs that wait, by namespace and the oldest first."""

    runs: tuple[WaitingRun, ...]
    after: bytes = b""  # where the next page begins; empty: this was the last


class AsideRun(msgspec.Struct, frozen=True, array_like=True):
    """A closed run that its archive refused."""

    namespace_id: str
    namespace: str
    workflow_id: str
    run_id: str
    closed_at: int
    reason: str


class Backlog(msgspec.Struct, frozen=True, array_like=True):
    """What of a partition is not archived."""

    waiting: dict[str, int]  # namespace id: runs, counted up to a bound
    oldest_closed_at: int  # ns; 0: nothing waits
    set_aside: tuple[AsideRun, ...]
    after: bytes = b""  # where more set-aside runs are; empty: these were the last


class PlanQuery(msgspec.Struct, frozen=True):
    """A read of how a query is to be handled now: method `PlanQuery`."""

    request: Any  # QueryWorkflowRequest
    until: int  # ns: the caller waits no longer
    run_id: str = ""  # the run that was found before


class ReadQueryTask(msgspec.Struct, frozen=True):
    """A read of the poll answer that asks a worker a query: method `QueryTask`."""

    workflow_id: str
    run_id: str
    query: bytes  # a serialized WorkflowQuery
    token: bytes
    is_sticky: bool


class ScanRuns(msgspec.Struct, frozen=True):
    """A read of every run of a partition, a few at a time: method `ScanRuns`."""

    after: str  # the last run id of the scan before; empty: from the first one on
    limit: int


class ReadHistory(msgspec.Struct, frozen=True):
    """A read of a history page: the RPC's request, and who asks.

    SDK workers see the events that a transient workflow task would have; people do not.
    """

    request: Any  # GetWorkflowExecutionHistoryRequest
    shows_transient: bool = False
