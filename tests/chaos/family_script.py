"""What the workers of the family rounds do: commands from a history alone, the same each time.

family   starts two children; signals one and cancels the other when both run; ends after both
child    ends by the signal, or by the cancel request
chain    continues as new three times
retrying fails twice, its retry policy starts it again
cron     three rounds, a second each, then it ends itself
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes

QUEUE: Final = "families"
TASK_TIMEOUT_S: Final = 2
LINKS: Final = 3
"""Runs of a chain before its last, attempts of what is retried, rounds of a cron workflow."""

Events = list[HistoryEvent]


def commands(workflow_type: str, events: Events) -> list[Command]:
    """Return what a worker answers to a workflow task with this history."""
    return _SCRIPTS[workflow_type](events)


def started(events: Events) -> WorkflowExecutionStartedEventAttributes:
    """Return what the first event says."""
    return events[0].workflow_execution_started_event_attributes


def of_type(events: Iterable[HistoryEvent], name: str) -> Events:
    """Return the events of a type."""
    wanted = EventType.Value(f"EVENT_TYPE_{name}")
    return [event for event in events if event.event_type == wanted]


def number(payloads: Payloads) -> int:
    """Return what `numbered` made; nothing is 0."""
    return int(payloads.payloads[0].data) if payloads.payloads else 0


def numbered(value: int) -> Payloads:
    """Return a number as payloads."""
    data = str(value).encode()
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=data)])


def _family(events: Events) -> list[Command]:
    children = of_type(events, "START_CHILD_WORKFLOW_EXECUTION_INITIATED")
    if not children:
        own_id = started(events).workflow_id
        return [_start_child(f"{own_id}/{name}") for name in ("signalled", "cancelled")]
    ended = [
        *of_type(events, "CHILD_WORKFLOW_EXECUTION_COMPLETED"),
        *of_type(events, "CHILD_WORKFLOW_EXECUTION_CANCELED"),
    ]
    if len(ended) == len(children):
        return [_complete(0)]
    running = of_type(events, "CHILD_WORKFLOW_EXECUTION_STARTED")
    if len(running) < len(children) or of_type(
        events, "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED"
    ):
        return []
    first, second = (
        each.start_child_workflow_execution_initiated_event_attributes.workflow_id
        for each in children
    )
    return [_signal(first), _cancel(second)]


def _child(events: Events) -> list[Command]:
    if of_type(events, "WORKFLOW_EXECUTION_CANCEL_REQUESTED"):
        return [_cancelled()]
    return [_complete(0)] if of_type(events, "WORKFLOW_EXECUTION_SIGNALED") else []


def _chain(events: Events) -> list[Command]:
    link = number(started(events).input)
    if link == LINKS:
        return [_complete(link)]
    command = _command("CONTINUE_AS_NEW_WORKFLOW_EXECUTION")
    command.continue_as_new_workflow_execution_command_attributes.input.CopyFrom(numbered(link + 1))
    return [command]


def _retrying(events: Events) -> list[Command]:
    if started(events).attempt == LINKS:
        return [_complete(0)]
    command = _command("FAIL_WORKFLOW_EXECUTION")
    failure = command.fail_workflow_execution_command_attributes.failure
    failure.message = "once more"
    failure.application_failure_info.type = "Again"
    return [command]


def _cron(events: Events) -> list[Command]:
    rounds = number(started(events).last_completion_result)
    return [_cancelled()] if rounds == LINKS else [_complete(rounds + 1)]


def _command(kind: str) -> Command:
    return Command(command_type=CommandType.Value(f"COMMAND_TYPE_{kind}"))


def _start_child(workflow_id: str) -> Command:
    command = _command("START_CHILD_WORKFLOW_EXECUTION")
    wanted = command.start_child_workflow_execution_command_attributes
    wanted.workflow_id = workflow_id
    wanted.workflow_type.name = "child"
    wanted.task_queue.name = QUEUE
    wanted.workflow_task_timeout.seconds = TASK_TIMEOUT_S
    return command


def _signal(workflow_id: str) -> Command:
    command = _command("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION")
    wanted = command.signal_external_workflow_execution_command_attributes
    wanted.execution.workflow_id = workflow_id
    wanted.signal_name = "go"
    wanted.child_workflow_only = True
    return command


def _cancel(workflow_id: str) -> Command:
    command = _command("REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION")
    wanted = command.request_cancel_external_workflow_execution_command_attributes
    wanted.workflow_id = workflow_id
    wanted.child_workflow_only = True
    return command


def _complete(result: int) -> Command:
    command = _command("COMPLETE_WORKFLOW_EXECUTION")
    command.complete_workflow_execution_command_attributes.result.CopyFrom(numbered(result))
    return command


def _cancelled() -> Command:
    command = _command("CANCEL_WORKFLOW_EXECUTION")
    command.cancel_workflow_execution_command_attributes.SetInParent()
    return command


_SCRIPTS: Final[Mapping[str, Callable[[Events], list[Command]]]] = {
    "family": _family,
    "child": _child,
    "chain": _chain,
    "retrying": _retrying,
    "cron": _cron,
}
TYPES: Final = tuple(kind for kind in _SCRIPTS if kind != "child")
"""Those that clients start."""
