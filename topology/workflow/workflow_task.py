"""Workflow task: none --schedule--> scheduled --start--> started --complete--> none.

scheduled or started --fail, time out--> none, and the next attempt is scheduled at once. From
attempt 2 on a task is transient: its Scheduled and Started are private until it completes, so
failing again adds nothing to the history. A transient task turns normal when new events come.
Who offers it to workers does not live here, nor what its completion commands (worker_commands).
"""

from schemas import event_types as on
from schemas.errors import InvalidArgument, NotFound, Stale
from schemas.instants import SECOND, duration_of, span_of, timestamp_of
from schemas.temporal import enums, history, service, taskqueue
from topology import tokens
from topology.decision import Rows
from topology.effects import OfferTask
from topology.own_work import HandBack, StartTask, StickyDead
from topology.tokens import Token
from topology.turn import Turn
from topology.workflow import buffering, histories, limits, priorities
from topology.workflow.facts import (
    CompletionRefused,
    StickySet,
    WorkflowTaskDropped,
    WorkflowTaskHandedBack,
    WorkflowTaskMoved,
    WorkflowTaskScheduled,
    WorkflowTaskStarted,
)
from topology.workflow.state import WorkflowTask

_FORCE_CLOSE = enums.WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND
_START_TO_CLOSE = enums.TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
_SCHEDULE_TO_START = enums.TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
_NORMAL = enums.TaskQueueKind.TASK_QUEUE_KIND_NORMAL
_STICKY = enums.TaskQueueKind.TASK_QUEUE_KIND_STICKY

INLINE_POLL_ID = "request-from-RespondWorkflowTaskCompleted"

PATIENT_ATTEMPTS = 3
"""Up to this attempt a task times out after the run's own task timeout."""


def schedule_if_idle(turn: Turn) -> None:
    """Schedule a workflow task unless one is open or the first one still has to wait."""
    row = turn.execution
    if row.task is None and not row.backoff_until:
        schedule(turn)


def schedule(turn: Turn) -> None:
    """Schedule the next attempt and offer it; a first attempt is a public event."""
    row = turn.execution
    attempt = row.task_attempt
    timeout = timeout_of(row.task_timeout, attempt)
    if attempt == 1:
        _record_scheduled(turn, attempt=1, timeout=timeout, at=turn.now)
    else:
        turn.record(WorkflowTaskScheduled(attempt, turn.now, timeout))
    _offer(turn)


def timeout_of(task_timeout: int, attempt: int) -> int:
    """Return the start-to-close timeout of an attempt: longer and longer from the fourth on."""
    if attempt <= PATIENT_ATTEMPTS:
        return task_timeout
    backoff = 5 * SECOND * 2 ** min(attempt - PATIENT_ATTEMPTS - 1, 30)
    return int(task_timeout + min(backoff, limits.TASK_RETRY_MAX_INTERVAL))


def schedule_inline(turn: Turn, identity: str, *, poll_id: str = INLINE_POLL_ID) -> None:
    """Schedule the next task and start it at once for the one who asks."""
    _record_scheduled(
        turn,
        attempt=1,
        timeout=timeout_of(turn.execution.task_timeout, 1),
        at=turn.now,
    )
    _record_started(turn, poll_id, identity)


def start(turn: Turn, ask: StartTask) -> None:
    """Give the task to a poll; the same poll gets the same answer again (M1)."""
    row = turn.execution
    task = _expected(turn, ask)
    if task.is_started:
        if task.poll_id != ask.poll_id:
            raise Stale(f"expected task {ask.scheduled_event_id} to wait, found it started")
    elif task.is_transient and task.scheduled_event_id == row.next_event_id:
        reasons = limits.reasons_to_continue_as_new(row, turn.limits)
        turn.record(
            WorkflowTaskStarted(ask.poll_id, ask.identity, turn.now, row.history_bytes, reasons)
        )
    else:
        if task.is_transient:  # new events came: a normal one, attempt 1
            timeout = timeout_of(row.task_timeout, 1)
            _record_scheduled(turn, attempt=1, timeout=timeout, at=turn.now)
        _record_started(turn, ask.poll_id, ask.identity)
    run = turn.state

    row = run.execution
    seen = row.previous_started_event_id if row.task and row.task.queue else 0

    def answer(rows: Rows) -> bytes:
        return histories.workflow_task_answer(run, rows, first_event_id=seen + 1)

    turn.reply("started", answer)


def leave_sticky(turn: Turn, ask: StickyDead) -> None:
    """Offer a task on the run's own queue, because nobody polls its sticky one (M3)."""
    task = _expected(turn, ask)
    if task.is_started or not task.queue:
        raise Stale(f"expected task {ask.scheduled_event_id} to wait on a sticky queue")
    forget_sticky(turn)
    turn.record(WorkflowTaskMoved(turn.now))
    _offer(turn)
    turn.reply("moved")


def stick(turn: Turn, attributes: taskqueue.StickyExecutionAttributes) -> None:
    """Send the next workflow tasks to a worker's own queue, or no longer."""
    queue = attributes.worker_task_queue.name
    start_timeout = span_of(attributes.schedule_to_start_timeout) if queue else 0
    row = turn.execution
    if (queue, start_timeout) != (row.sticky_queue, row.sticky_timeout):
        turn.record(StickySet(queue, start_timeout))


def forget_sticky(turn: Turn) -> None:
    """Send the next workflow tasks to the run's own queue."""
    if turn.execution.sticky_queue:
        turn.record(StickySet("", 0))


def hand_back(turn: Turn, ask: HandBack) -> None:
    """Undo a start whose poller is gone (M2): Started is public, so a normal task times out."""
    task = _expected(turn, ask)
    if not task.is_started or task.poll_id != ask.poll_id:
        raise Stale(f"expected task {ask.scheduled_event_id} with that poll, found another")
    if task.is_transient and turn.state.buffered:  # events came meanwhile: a normal one follows
        turn.record(WorkflowTaskDropped(task.attempt))
        _retry(turn)
    elif task.is_transient:
        turn.record(WorkflowTaskHandedBack(turn.now))
        _offer(turn)
    else:
        time_out(turn)
    turn.reply("handed_back")


def token_of(packed: bytes) -> Token:
    """Read the token of a workflow task."""
    try:
        return tokens.unpack(packed)
    except ValueError as error:
        raise InvalidArgument("Error deserializing task token.") from error


def named(turn: Turn, token: Token) -> WorkflowTask:
    """Return the started task that a token names; refuse a token that is no longer good."""
    run = turn.focus(token.run_id)
    task = run.execution.task if run else None
    if (
        run is None
        or task is None
        or run.execution.status != enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
        or run.execution.workflow_id != turn.ask.workflow_id
        or (task.scheduled_event_id, task.started_event_id, task.attempt)
        != (token.scheduled_event_id, token.started_event_id, token.attempt)
    ):
        raise NotFound("Workflow task not found.")
    return task


def record_completed(turn: Turn, request: service.RespondWorkflowTaskCompletedRequest) -> int:
    """Record the completion (a transient task becomes public first); return its event id."""
    task = _publish(turn)
    event = turn.event(on.WORKFLOW_TASK_COMPLETED)
    given = event.workflow_task_completed_event_attributes
    given.scheduled_event_id = task.scheduled_event_id
    given.started_event_id = task.started_event_id
    given.identity = request.identity
    given.binary_checksum = request.binary_checksum
    if request.HasField("sdk_metadata"):
        given.sdk_metadata.CopyFrom(request.sdk_metadata)
    if request.HasField("metering_metadata"):
        given.metering_metadata.CopyFrom(request.metering_metadata)
    if request.HasField("worker_version_stamp"):
        given.worker_version.CopyFrom(request.worker_version_stamp)
    return turn.record(event)


def fail(turn: Turn, attributes: history.WorkflowTaskFailedEventAttributes) -> None:
    """End the started task without success and schedule the next attempt.

    Of a transient task nothing is written, unless its completion was refused for unhandled
    events.
    """
    unhandled = (
        attributes.cause
        == enums.WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    )
    task = turn.execution.task
    assert task is not None, "expected a workflow task to fail"
    if task.is_transient and not unhandled:
        turn.record(WorkflowTaskDropped(task.attempt + 1))
    else:
        record_failed(turn, attributes)
    if unhandled:
        turn.record(CompletionRefused())
    _retry(turn)


def record_failed(turn: Turn, attributes: history.WorkflowTaskFailedEventAttributes) -> None:
    """Write WorkflowTaskFailed (a transient task becomes public first)."""
    task = _publish(turn)
    event = turn.event(on.WORKFLOW_TASK_FAILED)
    given = event.workflow_task_failed_event_attributes
    given.CopyFrom(attributes)
    given.scheduled_event_id = task.scheduled_event_id
    given.started_event_id = task.started_event_id
    turn.record(event)


def time_out(turn: Turn) -> None:
    """End the task: its worker took too long to answer, or a sticky one to come."""
    task = turn.execution.task
    assert task is not None, "expected a workflow task to time out"
    if task.is_transient:
        turn.record(WorkflowTaskDropped(task.attempt + 1))
    else:
        event = turn.event(on.WORKFLOW_TASK_TIMED_OUT)
        given = event.workflow_task_timed_out_event_attributes
        given.scheduled_event_id = task.scheduled_event_id
        given.started_event_id = task.started_event_id
        given.timeout_type = _START_TO_CLOSE if task.is_started else _SCHEDULE_TO_START
        turn.record(event)
    _retry(turn)


def overflow(turn: Turn) -> None:
    """Fail the started task: more events wait for it than a buffer may hold."""
    given = history.WorkflowTaskFailedEventAttributes(cause=_FORCE_CLOSE)
    record_failed(turn, given)
    buffering.flush(turn)
    attempt = turn.execution.task_attempt
    timeout = timeout_of(turn.execution.task_timeout, attempt)
    _record_scheduled(turn, attempt=attempt, timeout=timeout, at=turn.now)
    _offer(turn)


def force_close(turn: Turn, *, identity: str = "") -> None:
    """Fail a started task because the run is closed from outside; flush what was buffered."""
    task = turn.execution.task
    if task is None or not task.is_started:
        return
    given = history.WorkflowTaskFailedEventAttributes(cause=_FORCE_CLOSE, identity=identity)
    record_failed(turn, given)
    buffering.flush(turn)


def _expected(turn: Turn, ask: StartTask | HandBack | StickyDead) -> WorkflowTask:
    row = turn.execution
    task = row.task
    offered = (ask.scheduled_event_id, ask.attempt, ask.stamp)
    if row.status != enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING:
        raise Stale(f"expected run {row.run_id} to be open, found it closed")
    # a transient task that turned normal when it started has new ids under the old stamp
    poll_id = "" if isinstance(ask, StickyDead) else ask.poll_id
    if task is None or (task.stamp != ask.stamp and (not poll_id or task.poll_id != poll_id)):
        raise Stale(f"expected workflow task {offered}, found {task}")
    return task


def _record_scheduled(turn: Turn, *, attempt: int, timeout: int, at: int) -> int:
    event = turn.event(on.WORKFLOW_TASK_SCHEDULED)
    event.event_time.CopyFrom(timestamp_of(at))
    given = event.workflow_task_scheduled_event_attributes
    row = turn.execution
    if row.sticky_queue:
        given.task_queue.name = row.sticky_queue
        given.task_queue.kind = _STICKY
        given.task_queue.normal_name = row.queue
    else:
        given.task_queue.name = row.queue
        given.task_queue.kind = _NORMAL
    given.start_to_close_timeout.CopyFrom(duration_of(timeout))
    given.attempt = attempt
    return turn.record(event)


def _record_started(turn: Turn, poll_id: str, identity: str) -> int:
    row = turn.execution
    assert row.task is not None, "expected a scheduled workflow task"
    event = turn.event(on.WORKFLOW_TASK_STARTED)
    given = event.workflow_task_started_event_attributes
    given.scheduled_event_id = row.task.scheduled_event_id
    given.identity = identity
    given.request_id = poll_id
    given.history_size_bytes = row.history_bytes
    reasons = limits.reasons_to_continue_as_new(row, turn.limits)
    given.suggest_continue_as_new = bool(reasons)
    given.suggest_continue_as_new_reasons.extend(reasons)  # type: ignore[arg-type]  # ints
    return turn.record(event)


def _publish(turn: Turn) -> WorkflowTask:
    """Write a transient task's Scheduled and Started into the history; return the task."""
    task = turn.execution.task
    assert task is not None, "expected a workflow task"
    if task.is_transient:
        _record_scheduled(turn, attempt=task.attempt, timeout=task.timeout, at=task.scheduled_at)
        event = turn.event(on.WORKFLOW_TASK_STARTED)
        event.event_time.CopyFrom(timestamp_of(task.started_at))
        given = event.workflow_task_started_event_attributes
        given.scheduled_event_id = task.scheduled_event_id
        given.identity = task.identity
        given.request_id = task.poll_id
        given.history_size_bytes = task.history_bytes
        given.suggest_continue_as_new = bool(task.continue_reasons)
        given.suggest_continue_as_new_reasons.extend(task.continue_reasons)  # type: ignore[arg-type]  # enums travel as ints
        turn.record(event)
        task = turn.execution.task
        assert task is not None, "expected the task just published"
    return task


def _retry(turn: Turn) -> None:
    if buffering.flush(turn):  # new events: a normal task, attempt 1
        timeout = timeout_of(turn.execution.task_timeout, 1)
        _record_scheduled(turn, attempt=1, timeout=timeout, at=turn.now)
        _offer(turn)
    else:
        schedule(turn)


def _offer(turn: Turn) -> None:
    row = turn.execution
    task = row.task
    assert task is not None, "expected a task to offer"
    turn.request(
        OfferTask(
            namespace_id=row.namespace_id,
            namespace=row.namespace,
            queue=task.queue or row.queue,
            kind="workflow",
            workflow_id=row.workflow_id,
            run_id=row.run_id,
            scheduled_event_id=task.scheduled_event_id,
            attempt=task.attempt,
            stamp=task.stamp,
            scheduled_at=task.scheduled_at,
            expires_at=0,
            is_sticky=bool(task.queue),
            normal_queue=row.queue if task.queue else "",
            priority=priorities.level(row.priority),
        )
    )
