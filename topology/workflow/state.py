"""The state of one run: frozen rows. What Temporal calls "mutable state".

A fold replaces what changed and shares the rest, so comparing two states by identity tells which
rows to write (`rows.py`). Times are ns since 1970, spans ns, 0 means none.
"""

from typing import Literal

import msgspec

from topology.workflow.retry import RetryPolicy


class WorkflowTask(msgspec.Struct, frozen=True, array_like=True):
    """The one open workflow task of a run.

    A transient one (attempt > 1) has no events in the history: its ids are those its Scheduled
    and Started events will get when it completes.
    """

    scheduled_event_id: int
    attempt: int
    scheduled_at: int
    first_scheduled_at: int  # of the whole heartbeat chain
    timeout: int  # start to close
    stamp: int
    is_transient: bool
    started_event_id: int = 0  # 0: not started
    started_at: int = 0
    poll_id: str = ""
    identity: str = ""
    history_bytes: int = 0  # at its start
    continue_reasons: tuple[int, ...] = ()  # why it should continue as new
    queue: str = ""  # a sticky one; empty: the run's own
    start_timeout: int = 0  # schedule to start, of a sticky one

    @property
    def is_started(self) -> bool:
        """Whether a worker has it."""
        return self.started_event_id != 0

    @property
    def times_out_at(self) -> int:
        """When it times out; 0: not yet."""
        if self.started_event_id:
            return self.started_at + self.timeout
        return self.scheduled_at + self.start_timeout if self.start_timeout else 0


class Attached(msgspec.Struct, frozen=True, array_like=True):
    """A request id that a later Start attached to the run, and the event that tells of it."""

    request_id: str
    event_id: int  # 0: still buffered


class Execution(msgspec.Struct, frozen=True, array_like=True):
    """The row of a run: who it is, how far it is, and its open workflow task."""

    # who it is
    namespace_id: str
    namespace: str
    workflow_id: str
    run_id: str
    request_id: str
    retention: int
    opened_at: int
    # set by WorkflowExecutionStarted
    first_run_id: str = ""
    workflow_type: str = ""
    queue: str = ""
    attempt: int = 1
    execution_timeout: int = 0
    run_timeout: int = 0
    task_timeout: int = 0
    started_at: int = 0
    execution_expires_at: int = 0
    run_expires_at: int = 0
    backoff_until: int = 0  # the first workflow task waits; 0: not (any more)
    parent_namespace: str = ""  # of a child
    parent_workflow_id: str = ""
    parent_run_id: str = ""
    parent_initiated_event_id: int = 0
    root_workflow_id: str = ""  # of a child, and of its children
    root_run_id: str = ""
    cron_schedule: str = ""
    # how far it is
    status: int = 1  # temporal.api.enums.v1.WorkflowExecutionStatus
    closed_at: int = 0
    next_event_id: int = 1
    last_batch_id: int = 0  # first event id of the newest batch
    history_bytes: int = 0
    signal_count: int = 0
    is_cancel_requested: bool = False
    cancel_request_id: str = ""
    quarantine: str = ""  # why its timers no longer fire (L13)
    attached: tuple[Attached, ...] = ()  # request ids besides the start's
    # workflow tasks
    task: WorkflowTask | None = None
    task_attempt: int = 1  # of the next one
    task_stamp: int = 0  # of the newest one
    previous_started_event_id: int = 0  # Started id of the newest completed one
    sticky_queue: str = ""  # of the worker that has the run in its cache
    sticky_timeout: int = 0  # how long that worker may take to come, ns
    is_closing: bool = False  # its completion was refused for unhandled events
    # buffering
    buffered_count: int = 0
    flushing_count: int = 0  # so many next events were applied when they were buffered
    # once it is closed
    keep_until: int = 0  # when it is to be deleted; 0: while it is open
    awaits_archive: bool = False  # it is not deleted before it is archived (V5)
    history_uri: str = ""  # where to; empty: not
    visibility_uri: str = ""
    archive_fault: str = ""  # why its archive will not have it: it is set aside
    # what is shown of it
    execution_at: int = 0  # when the first workflow task may start
    transition_count: int = 0  # transitions that touched it
    priority: bytes = b""  # serialized Priority, as it was started with


ActivityPhase = Literal["scheduled", "started", "backing_off"]


class Activity(msgspec.Struct, frozen=True, array_like=True):
    """A pending activity. Its input stays in its Scheduled event (batch `scheduled_batch_id`)."""

    scheduled_event_id: int
    scheduled_batch_id: int
    activity_id: str
    activity_type: str
    queue: str
    first_scheduled_at: int
    schedule_to_close_timeout: int
    schedule_to_start_timeout: int
    start_to_close_timeout: int
    heartbeat_timeout: int
    retry: RetryPolicy
    expires_at: int  # first scheduled + schedule to close
    priority: bytes  # serialized Priority
    # this attempt
    scheduled_at: int  # now, or the end of its backoff
    phase: ActivityPhase = "scheduled"
    attempt: int = 1
    stamp: int = 0  # goes up when the same attempt is offered again
    # the newest start, of this attempt or (while it is not started) an earlier one
    started_at: int = 0
    poll_id: str = ""
    identity: str = ""
    # what is known of it
    heartbeat_at: int = 0
    heartbeat_details: bytes = b""  # serialized Payloads
    last_failure: bytes = b""  # serialized Failure
    last_completed_at: int = 0
    cancel_requested_event_id: int = 0


class Timer(msgspec.Struct, frozen=True, array_like=True):
    """A pending timer."""

    timer_id: str
    started_event_id: int
    fires_at: int


class Child(msgspec.Struct, frozen=True, array_like=True):
    """A pending child workflow, as its parent knows it."""

    initiated_event_id: int
    initiated_batch_id: int
    workflow_id: str
    workflow_type: str
    policy: int  # temporal.api.enums.v1.ParentClosePolicy
    control: str = ""
    run_id: str = ""  # once started
    started_event_id: int = 0


class External(msgspec.Struct, frozen=True, array_like=True):
    """A signal or cancel request on its way to another workflow."""

    initiated_event_id: int
    initiated_batch_id: int
    kind: Literal["signal", "cancel"]
    workflow_id: str
    run_id: str
    control: str = ""


class Run(msgspec.Struct, frozen=True):
    """All that is known of one run."""

    execution: Execution
    activities: dict[int, Activity] = {}  # by scheduled event id
    timers: dict[str, Timer] = {}  # by timer id
    children: dict[int, Child] = {}  # by initiated event id
    externals: dict[int, External] = {}  # by initiated event id
    memo: bytes = b""  # serialized Memo
    search_attributes: bytes = b""  # serialized SearchAttributes
    buffered: tuple[bytes, ...] = ()  # serialized events without an id
    fresh_rows: tuple[tuple[bytes, bytes], ...] = ()  # further rows to write, keys whole
    is_deleted: bool = False  # as of this transition


class Current(msgspec.Struct, frozen=True, array_like=True):
    """The newest run of a workflow id."""

    run_id: str
    status: int
    request_id: str  # of its start
    started_at: int
    first_run_id: str
