"""Avro records: single-object encoding, found by fingerprint, broken bytes refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import COMMAND, REPLY, TASK, Fields, Undecodable, decode

A_REPLY: Fields = {
    "request_id": "r",
    "namespace": "ns",
    "workflow_id": "w",
    "run_id": "",
    "outcome": "started",
    "code": 0,
    "message": "",
    "topic": "commands",
    "partition": 1,
    "offset": 2,
}


def test_a_record_survives() -> None:
    """What was encoded is decoded, and its kind is found."""
    assert decode(REPLY.encode(A_REPLY)) == (REPLY, A_REPLY)


def test_left_out_fields_have_their_defaults() -> None:
    """A Kafka client may leave out what has a default."""
    body = ("millrace.SignalWorkflow", {"signal_name": "go"})
    written = COMMAND.encode(
        {"command_id": b"", "namespace": "ns", "workflow_id": "w", "body": body}
    )
    found = COMMAND.decode(written)
    assert ("", "", None) == (found["identity"], found["request_id"], found["reply_topic"])


def test_another_kind_is_refused() -> None:
    """A reader of one kind does not take another."""
    with pytest.raises(Undecodable, match="expected a task record, found a reply record"):
        TASK.decode(REPLY.encode(A_REPLY))


@given(st.binary(max_size=60))
def test_garbage_is_refused(value: bytes) -> None:
    """Bytes of no known schema raise Undecodable, nothing else."""
    with pytest.raises(Undecodable):
        decode(value)


@given(st.integers(10, 200), st.binary(max_size=8))
def test_broken_records_are_refused_or_read(cut: int, junk: bytes) -> None:
    """A torn record raises Undecodable or reads as some record; it never raises anything else."""
    written = COMMAND.encode(
        {
            "command_id": b"",
            "namespace": "ns",
            "workflow_id": "w",
            "body": ("millrace.GrpcRequest", {"method": "m", "request": b"x" * 100}),
        }
    )
    with suppress(Undecodable):
        decode(written[:cut] + junk)
