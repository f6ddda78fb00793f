"""What becomes due in the activities of a run: ends of backoffs, and the four timeouts."""

from topology.turn import Turn
from topology.workflow import activity_end, activity_offer
from topology.workflow.activity_deadlines import BACKOFF, Deadline, next_deadline
from topology.workflow.facts import ActivityOffered
from topology.workflow.state import Activity


def fire_due(turn: Turn) -> bool:
    """Do all that is due, in order; tell whether the workflow must hear of it."""
    due = sorted(
        (deadline, scheduled_event_id)
        for scheduled_event_id, each in turn.state.activities.items()
        if (deadline := _due(turn, each)) is not None
    )
    has_news = False
    for _, scheduled_event_id in due:
        has_news |= _fire(turn, scheduled_event_id)
    return has_news


def _fire(turn: Turn, scheduled_event_id: int) -> bool:
    """Do what is due of one activity; tell whether it closed."""
    while (pending := turn.state.activities.get(scheduled_event_id)) is not None:
        deadline = _due(turn, pending)
        if deadline is None:
            return False
        if deadline.kind != BACKOFF:
            activity_end.time_out(turn, pending, deadline.kind)
            continue
        turn.record(ActivityOffered(scheduled_event_id))
        activity_offer.offer(turn, turn.state.activities[scheduled_event_id])
    return True


def _due(turn: Turn, pending: Activity) -> Deadline | None:
    deadline = next_deadline(pending)
    return deadline if deadline is not None and deadline.due_at <= turn.now else None
