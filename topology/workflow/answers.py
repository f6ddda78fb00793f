"""Answers given again: from the outcome's name in the log to the response bytes (L12).

A repeat of a command is answered as the first time, but for an inline workflow task, which is
only handed out while it is still the open one.
"""

from schemas.errors import InvalidArgument, NotFound
from topology import requests, tokens
from topology.decision import Ask, ReplyBody
from topology.workflow import activity
from topology.workflow.execution import RUNNING
from topology.workflow.start import joined_reply, signaled_reply, start_reply


def again(ask: Ask, outcome: str, run_id: str) -> ReplyBody:  # noqa: PLR0911  one for each kind
    """Return the answer of an outcome."""
    name, workflow_id = ask.namespace.name, ask.workflow_id
    kind, _, text = outcome.partition(":")
    match kind:
        case "started":
            return start_reply(name, workflow_id, run_id, status=RUNNING)
        case "joined" | "attached":
            attached = ask.request.request_id if kind == "attached" else ""
            return joined_reply(name, workflow_id, run_id, request_id=attached)
        case "signaled" | "signaled_new":
            return signaled_reply(run_id, is_new=kind == "signaled_new")
        case "heartbeat_over":
            return NotFound("workflow task heartbeat timeout")
        case "refused":
            return InvalidArgument(text)
        case "cancel_requested":
            return activity.cancel_requested_reply(ask.request)
        case "cut":
            return activity.cut_reply(ask.request)
        case "too_large":
            return NotFound("Transaction size exceeds limit.")
        case _:
            return requests.empty_response(ask.method)


def run_of_token(packed: bytes) -> str:
    """Return the run id that a task token names, or nothing."""
    try:
        return tokens.unpack(packed).run_id
    except ValueError:
        return ""
