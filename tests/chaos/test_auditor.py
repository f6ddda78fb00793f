"""The auditor itself: it finds what it is there to find."""

import json
from io import BytesIO
from typing import Any

import fastavro
import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from tests.chaos.auditor import SCHEMAS, Codec, Record, audit, fold
from tests.chaos.journal import Told

OURS, THEIRS = bytes(8), b"zombie!!"
STARTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED


def encoded(name: str, fields: dict[str, Any]) -> bytes:
    """Return a record in single-object encoding."""
    schema = fastavro.parse_schema(json.loads((SCHEMAS / f"{name}.avsc").read_text()))
    digest = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, fields)
    return b"\xc3\x01" + bytes.fromhex(digest)[::-1] + out.getvalue()


def claim(seq: int, epoch: int, incarnation: bytes = OURS) -> bytes:
    """Return a claim."""
    fields = {
        "epoch": epoch,
        "incarnation": incarnation,
        "seq": seq,
        "generation": 1,
        "partitions": 1,
        "command_ends": [],
        "sources": [],
        "node": "n",
        "address": "",
        "claimed_at": 0,
        "fold_version": 1,
    }
    return encoded("claim", fields)


def started(seq: int, epoch: int, token: str, *, run_id: str, event_id: int = 1) -> bytes:
    """Return the transition of a started workflow."""
    event = HistoryEvent(event_id=event_id, event_type=STARTED)
    event.workflow_execution_started_event_attributes.identity = token
    fact = {"event_id": 1, "event_type": 1, "event_time": 0, "body": event.SerializeToString()}
    change = {
        "entity": "workflow",
        "namespace_id": "n",
        "id": "w",
        "run_id": run_id,
        "facts": [("millrace.HistoryFact", fact)],
    }
    return transition(seq, epoch, changes=[change])


def transition(seq: int, epoch: int, **fields: Any) -> bytes:
    """Return a transition."""
    empty: dict[str, Any] = {
        "epoch": epoch,
        "incarnation": OURS,
        "seq": seq,
        "sources": [],
        "performed": 0,
        "decided_at": 0,
        "fold_version": 1,
        "changes": [],
        "effects": [],
        "answers": [],
    }
    return encoded("transition", {**empty, **fields})


def source(position: int) -> dict[str, Any]:
    """Return how far `commands-internal` was read."""
    return {"topic": "commands-internal", "sender": "", "topic_id": "x", "position": position}


def records(*values: bytes) -> list[Record]:
    """Return a partition."""
    return [Record(offset, value) for offset, value in enumerate(values)]


def test_a_sound_log_has_no_problems() -> None:
    """One start, told once."""
    log = {0: records(claim(1, 1), started(2, 1, "t", run_id="r"))}
    assert audit(log, [Told("start", "t", "w", "r", "done", 0)]) == []


def test_l1_what_a_zombie_writes_is_ignored() -> None:
    """An older epoch, another incarnation, a seq that is not the next one."""
    log = records(
        claim(1, 1),
        claim(2, 2),
        transition(3, 1),
        claim(3, 2, THEIRS),
        encoded_zombie(3),
        transition(5, 2),
        transition(3, 2),
    )
    folded = fold(log, Codec())
    assert ([one["seq"] for one in folded.transitions], folded.claims, folded.ignored) == (
        [3],
        2,
        4,
    )


def encoded_zombie(seq: int) -> bytes:
    """Return a transition of the right epoch under another incarnation (L2)."""
    return transition(seq, 2, incarnation=THEIRS)


@pytest.mark.parametrize(
    ("log", "told", "problem"),
    [
        (
            [claim(1, 1)],
            Told("start", "t", "w", "r", "done", 0),
            "expected it 1 times in the log, found it 0 times",
        ),
        (
            [claim(1, 1), started(2, 1, "t", run_id="r"), started(3, 1, "t", run_id="q")],
            Told("start", "t", "w", "r", "done", 0),
            "expected it 1 times in the log, found it 2 times",
        ),
        (
            [claim(1, 1), started(2, 1, "t", run_id="r")],
            Told("start", "t", "w", "", "refused", 0),
            "expected it 0 times in the log, found it 1 times",
        ),
        (
            [claim(1, 1), started(2, 1, "t", run_id="r")],
            Told("start", "t", "w", "", "aborted", 0),
            "expected it 0 times in the log, found it 1 times",
        ),
        (
            [claim(1, 1), started(2, 1, "t", run_id="q")],
            Told("start", "t", "w", "r", "done", 0),
            "expected it in run r, found it in q",
        ),
        (
            [claim(1, 1), started(2, 1, "t", run_id="r", event_id=2)],
            Told("start", "t", "w", "r", "done", 0),
            "expected dense event ids, found [2]",
        ),
        (
            [
                claim(1, 1),
                transition(2, 1, sources=[source(5)]),
                transition(3, 1, sources=[source(4)]),
            ],
            Told("start", "t", "w", "", "unknown", 3),
            "at or above 5, found 4",
        ),
    ],
)
def test_each_kind_of_loss_is_found(log: list[bytes], told: Told, problem: str) -> None:
    """Lost, doubled, refused or aborted but done, misplaced, with holes, read backwards."""
    problems = audit({0: records(*log)}, [told])
    assert len(problems) == 1
    assert problem in problems[0]


def test_a_hole_in_the_log_is_found() -> None:
    """`events` is dense (L3)."""
    log = [Record(0, claim(1, 1)), Record(2, transition(2, 1))]
    assert fold(log, Codec()).problems == ["expected offset 1, found 2"]


def test_what_nobody_heard_may_or_may_not_be_there() -> None:
    """Once at most."""
    unheard = Told("start", "t", "w", "", "unknown", 1)
    assert audit({0: records(claim(1, 1))}, [unheard]) == []
    assert audit({0: records(claim(1, 1), started(2, 1, "t", run_id="r"))}, [unheard]) == []


def test_one_command_has_one_answer() -> None:
    """Answered twice, it is the same answer (L12)."""
    answers = [
        [{"command_id": b"c", "outcome": "started", "run_id": run_id}] for run_id in ("r", "q")
    ]
    log = records(
        claim(1, 1), transition(2, 1, answers=answers[0]), transition(3, 1, answers=answers[1])
    )
    assert "expected one answer" in audit({0: log}, [])[0]
