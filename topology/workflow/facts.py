"""The private facts of a run: they change its state and are in no history.

The class name is the fact's name in the log; fields may be added with a default, never changed.
"""

import msgspec


class Private(msgspec.Struct, frozen=True, array_like=True):
    """The base of every private fact."""


class RunOpened(Private, frozen=True, array_like=True):
    """A run begins; all later facts of it rest on this."""

    namespace_id: str
    namespace: str
    workflow_id: str
    run_id: str
    request_id: str
    retention: int
    opened_at: int


class EventBuffered(Private, frozen=True, array_like=True):
    """An event came while a workflow task was out: it gets its id when the buffer is flushed."""

    event: bytes  # HistoryEvent without an id


class BufferFlushed(Private, frozen=True, array_like=True):
    """The buffered events follow, numbered; they were applied when they were buffered."""

    count: int


class BufferedDropped(Private, frozen=True, array_like=True):
    """A buffered event is taken back: its timer was cancelled before the workflow saw it fire."""

    index: int


class RequestTaken(Private, frozen=True, array_like=True):
    """A request id was used for something in this run; a repeat does nothing."""

    request_id: str


class WorkflowTaskScheduled(Private, frozen=True, array_like=True):
    """A transient workflow task waits for a worker."""

    attempt: int
    scheduled_at: int
    timeout: int


class HeartbeatsContinued(Private, frozen=True, array_like=True):
    """The task just scheduled goes on with a chain of heartbeats that began long ago."""

    first_scheduled_at: int


class WorkflowTaskStarted(Private, frozen=True, array_like=True):
    """A worker took a transient workflow task; a normal one has its public Started event."""

    poll_id: str
    identity: str
    started_at: int
    history_bytes: int
    continue_reasons: tuple[int, ...]


class WorkflowTaskDropped(Private, frozen=True, array_like=True):
    """A transient workflow task ended without success; `attempt` is that of the next one."""

    attempt: int


class StickySet(Private, frozen=True, array_like=True):
    """The next workflow tasks go to a worker's own queue; empty: to the run's own."""

    queue: str
    start_timeout: int


class WorkflowTaskMoved(Private, frozen=True, array_like=True):
    """The task waits on the run's own queue, under a new stamp: its sticky worker is gone."""

    scheduled_at: int


class CompletionRefused(Private, frozen=True, array_like=True):
    """The worker wanted to close the run while events it had not seen were waiting."""


class WorkflowTaskHandedBack(Private, frozen=True, array_like=True):
    """A transient workflow task could not be handed over: it waits again, under a new stamp."""

    scheduled_at: int


class BackoffEnded(Private, frozen=True, array_like=True):
    """The first workflow task need not wait any more."""


class DueQuarantined(Private, frozen=True, array_like=True):
    """What was due raised a bug; timers of this run no longer fire (L13)."""

    reason: str


class RunKept(Private, frozen=True, array_like=True):
    """The run closed: how long it is kept, and where it is to be archived before it goes.

    The namespace said so at that moment; an empty URI: not archived.
    """

    retention: int
    history_uri: str = ""
    visibility_uri: str = ""


class RunArchived(Private, frozen=True, array_like=True):
    """Everything of the closed run that was to be archived is (V5)."""


class RunSetAside(Private, frozen=True, array_like=True):
    """The archive of the closed run refused it for good; no reason: it is to be tried again."""

    reason: str


class RunMeasured(Private, frozen=True, array_like=True):
    """How large the run has become; said once, when it closes, for who follows `events`."""

    history_bytes: int
    transition_count: int


class DeletionAsked(Private, frozen=True, array_like=True):
    """The run, which had to be closed first, is to be deleted soon, archived or not."""

    at: int


class RunDeleted(Private, frozen=True, array_like=True):
    """The run is gone: its last fact. Nobody finds it any more; its rows are erased later."""


class ActivityStarted(Private, frozen=True, array_like=True):
    """A worker took an attempt of an activity."""

    scheduled_event_id: int
    poll_id: str
    identity: str
    started_at: int


class ActivityHandedBack(Private, frozen=True, array_like=True):
    """An attempt could not be handed over: it waits again, under a new stamp."""

    scheduled_event_id: int
    scheduled_at: int


class ActivityHeartbeat(Private, frozen=True, array_like=True):
    """A worker reported progress."""

    scheduled_event_id: int
    heartbeat_at: int
    details: bytes  # serialized Payloads


class ActivityRetried(Private, frozen=True, array_like=True):
    """An attempt failed; the next one waits until `scheduled_at`."""

    scheduled_event_id: int
    attempt: int
    scheduled_at: int
    failure: bytes  # serialized Failure
    completed_at: int


class ActivityOffered(Private, frozen=True, array_like=True):
    """The backoff of an attempt is over: it is offered to workers."""

    scheduled_event_id: int
