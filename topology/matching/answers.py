"""What matching adds to the poll answers that history built."""

from typing import Final

from schemas.temporal import service
from topology.effects import TaskKind

_HINT_FIELD: Final = service.PollWorkflowTaskQueueResponse.DESCRIPTOR.fields_by_name[
    "backlog_count_hint"
].number
_TAG: Final = bytes([_HINT_FIELD << 3])


def with_backlog_count(answer: bytes, count: int) -> bytes:
    """Append `backlog_count_hint` to a PollWorkflowTaskQueueResponse; zero adds nothing.

    Serialized messages can be concatenated, so nothing is parsed.
    """
    return answer + _TAG + _varint(count) if count > 0 else answer


def with_poller_change(answer: bytes, kind: TaskKind, change: int) -> bytes:
    """Append `poller_scaling_decision` to a poll's answer; zero adds nothing."""
    if not change:
        return answer
    response = (
        service.PollWorkflowTaskQueueResponse()
        if kind == "workflow"
        else service.PollActivityTaskQueueResponse()
    )
    response.poller_scaling_decision.poll_request_delta_suggestion = change
    return answer + response.SerializeToString()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
