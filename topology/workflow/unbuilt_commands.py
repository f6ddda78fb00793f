"""Worker commands of what is not there: updates and Nexus. Each is refused as Temporal does it.

No update was delivered and no endpoint exists, so no such command can name one.
"""

from typing import Never

from schemas.temporal import command, enums
from topology.turn import Turn
from topology.workflow.bad_command import BadCommand

_Cause = enums.WorkflowTaskFailedCause


def protocol_message(turn: Turn, each: command.Command, _completed_id: int) -> Never:
    """ProtocolMessage: the worker answers an update."""
    cause = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE
    message_id = each.protocol_message_command_attributes.message_id
    for message in turn.ask.request.messages:
        if message.id == message_id:
            raise BadCommand(
                cause,
                f"update {message.protocol_instance_id} wasn't found on the server. "
                "This is most likely a transient error "
                "which will be resolved automatically by retries",
            )
    raise BadCommand(cause, f"ProtocolMessageCommand referenced absent message ID {message_id}")


def schedule_nexus_operation(_turn: Turn, each: command.Command, _completed_id: int) -> Never:
    """ScheduleNexusOperation."""
    endpoint = each.schedule_nexus_operation_command_attributes.endpoint
    raise BadCommand(
        _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_NEXUS_OPERATION_ATTRIBUTES,
        f'endpoint "{endpoint}" not found',
    )


def cancel_nexus_operation(_turn: Turn, each: command.Command, _completed_id: int) -> Never:
    """RequestCancelNexusOperation."""
    scheduled = each.request_cancel_nexus_operation_command_attributes.scheduled_event_id
    raise BadCommand(
        _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_NEXUS_OPERATION_ATTRIBUTES,
        "requested cancelation for a non-existing or already completed operation "
        f"with scheduled event ID of {scheduled}",
    )
