"""What one workflow asks of another: bytes there and back, whose run it is, what failure means."""

import pytest

from schemas.errors import Unimplemented
from schemas.temporal import history
from tests.support.core import MemoryRows
from topology import forwards
from topology.core import Core
from topology.effects import Forward, Quote
from topology.workflow.histories import history_bytes
from topology.workflow.keys import batch_key

EVENT = history.HistoryEvent(event_id=7).SerializeToString()
START = forwards.StartChild(
    parent_namespace_id="n",
    parent_namespace="ns",
    parent_workflow_id="parent",
    parent_run_id="parent-run",
    initiated_event_id=7,
    root_workflow_id="parent",
    root_run_id="parent-run",
    request_id="r",
)
SENDER = {
    "sender_namespace": "ns",
    "sender_workflow_id": "sender",
    "sender_run_id": "sender-run",
    "request_id": "r",
}


def _told(asked: forwards.Asked) -> tuple[Forward, forwards.Asked]:
    """Return what the sender hears of a failure, read as its partition reads it."""
    sent = forwards.forward(asked, namespace="ns", workflow_id="w")
    told = Core(MemoryRows()).forward_failed(sent.method, sent.request, EVENT)
    assert told is not None
    return told, forwards.parse(told.method, told.request, b"")


def test_a_forward_is_read_as_it_was_sent() -> None:
    """With the event that was quoted."""
    sent = forwards.forward(START, namespace="ns", workflow_id="w")
    read = Core(MemoryRows()).parse_forward(sent.method, sent.request, EVENT)
    assert isinstance(read, forwards.StartChild)
    assert (read.request_id, read.event) == ("r", EVENT)
    with pytest.raises(Unimplemented, match="method Eat is not a forward"):
        forwards.parse("Eat", b"", b"")


def test_l13_a_parent_hears_that_its_child_cannot_start() -> None:
    """With a cause that SDKs turn into a failure of the call."""
    told, read = _told(START)
    assert (told.namespace, told.workflow_id) == ("ns", "parent")
    assert read == forwards.ChildNotStarted(
        parent_run_id="parent-run", initiated_event_id=7, cause=1
    )


def test_l13_a_sender_hears_that_its_signal_or_cancel_came_to_nothing() -> None:
    """The event that was quoted tells which one."""
    told, read = _told(forwards.SignalExternal(**SENDER))
    assert (told.namespace, told.workflow_id) == ("ns", "sender")
    assert read == forwards.ExternalSignaled(run_id="sender-run", initiated_event_id=7, cause=1)
    _, read = _told(forwards.CancelExternal(**SENDER))
    assert read == forwards.ExternalCancelRequested(
        run_id="sender-run", initiated_event_id=7, cause=1
    )


def test_l13_answers_have_nobody_who_waits() -> None:
    """An answer that cannot be taken in ends in the dead letters alone."""
    for asked in (
        forwards.ChildStarted(parent_run_id="p", initiated_event_id=7, run_id="c"),
        forwards.ExternalSignaled(run_id="s", initiated_event_id=7, cause=0),
        forwards.ParentClosed(
            parent_workflow_id="p", parent_run_id="p", initiated_event_id=7, policy=1
        ),
    ):
        assert forwards.failure_of(asked) is None


def test_a_forward_names_the_run_it_is_to() -> None:
    """An answer goes to the run that asked; a question to the workflow id's current one."""
    started = forwards.ChildStarted(parent_run_id="p", initiated_event_id=7, run_id="c")
    signaled = forwards.ExternalSignaled(run_id="s", initiated_event_id=7, cause=0)
    assert forwards.run_of(started) == "p"
    assert forwards.run_of(signaled) == "s"
    assert forwards.run_of(START) == ""


def test_l14_events_are_quoted_from_their_batches() -> None:
    """As they were recorded, from several batches and runs, in the order asked for."""
    rows = MemoryRows()
    events = {n: history.HistoryEvent(event_id=n).SerializeToString() for n in range(1, 400)}
    rows.write(
        {
            batch_key("a", 1): history_bytes([events[1], events[2]]),
            batch_key("a", 3): history_bytes([events[n] for n in range(3, 400)]),
            batch_key("b", 1): history_bytes([events[1]]),
        }
    )
    quotes = [Quote("a", 3, 399), Quote("b", 1, 1), Quote("a", 1, 2), Quote("a", 3, 3)]
    expected = [events[399], events[1], events[2], events[3]]
    assert expected == Core(rows).quoted(quotes, rows)
