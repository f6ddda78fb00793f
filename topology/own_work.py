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


class Archived(msgspec.Struct, frozen=True):
    """A closed run is archived, as its RunKept asked (V5): method `Archived`.

    Saying it again changes nothing, also once the run is deleted; an open run is refused.
    """

    run_id: str


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


class ReadHistory(msgspec.Struct, frozen=True):
    """A read of a history page: the RPC's request, and who asks.

    SDK workers see the events that a transient workflow task would have; people do not.
    """

    request: Any  # GetWorkflowExecutionHistoryRequest
    shows_transient: bool = False
