"""Records as people see them."""

from typing import Any

from infra.readable import Lines, Wanted, letter_line, letter_page
from schemas.codec import CLAIM, COMMAND, DEAD_LETTER, TRANSITION
from schemas.temporal import history
from streams.kafka.spectator import Seen

AT_MS = 1_700_000_000_123
HEAD = "2023-11-14T22:13:20.123Z"


def _seen(topic: str, value: bytes | None, *, offset: int = 7) -> Seen:
    return Seen(topic, 2, offset, AT_MS, b"ns/w1", value)


def _command(kind: str, body: dict[str, Any], workflow_id: str = "w1") -> bytes:
    names = {"command_id": b"", "namespace": "ns", "workflow_id": workflow_id}
    return COMMAND.encode({**names, "body": (f"millrace.{kind}", body)})


def _claim(epoch: int, incarnation: bytes = b"incarnat") -> bytes:
    return CLAIM.encode(
        {
            "epoch": epoch,
            "incarnation": incarnation,
            "seq": 1,
            "generation": 1,
            "partitions": 4,
            "command_ends": [],
            "sources": [],
            "node": "node-1",
            "address": "",
            "claimed_at": 0,
            "fold_version": 1,
        }
    )


def _transition(epoch: int, incarnation: bytes = b"incarnat") -> bytes:
    event = history.HistoryEvent(event_id=5)
    event.timer_started_event_attributes.timer_id = "t"
    facts: list[tuple[str, dict[str, object]]] = [
        ("millrace.StateFact", {"name": "RunOpened", "body": b""}),
        (
            "millrace.HistoryFact",
            {
                "event_id": 5,
                "event_type": 17,
                "event_time": 0,
                "body": event.SerializeToString(),
            },
        ),
    ]
    change = {"entity": "workflow", "namespace_id": "n", "id": "w1", "run_id": "r", "facts": facts}
    return TRANSITION.encode(
        {
            "epoch": epoch,
            "incarnation": incarnation,
            "seq": 2,
            "sources": [],
            "performed": 0,
            "decided_at": 0,
            "fold_version": 1,
            "changes": [change],
            "effects": [],
            "answers": [],
        }
    )


def test_commands_say_what_they_ask() -> None:
    """Written by hand, passed on, forwarded."""
    lines = Lines(Wanted())
    signal = {"signal_name": "paid", "input": [{"metadata": {}, "data": b"12"}]}
    told = list(lines.of(_seen("commands", _command("SignalWorkflow", signal))))
    assert told == [
        (
            f'{HEAD} commands-2@7 ns/w1 SignalWorkflow {{"run_id": "", "signal_name": "paid", '
            '"input": [{"metadata": {}, "data": "12"}], "header": {}}'
        )
    ]
    grpc = {"method": "StartWorkflowExecution", "request": b"123"}
    told = list(lines.of(_seen("commands-internal", _command("GrpcRequest", grpc))))
    assert told == [f"{HEAD} commands-internal-2@7 ns/w1 StartWorkflowExecution (3 bytes)"]


def test_events_are_a_line_each() -> None:
    """History by its names, private facts in brackets."""
    assert list(Lines(Wanted()).of(_seen("events", _transition(1)))) == [
        f"{HEAD} events-2@7 w1 (RunOpened)",
        f'{HEAD} events-2@7 w1 5 TimerStarted {{"timerId": "t"}}',
    ]


def test_a_zombies_records_are_marked() -> None:
    """By the newest claim that was seen."""
    lines = Lines(Wanted())
    assert "claims the partition, epoch 2" in next(iter(lines.of(_seen("events", _claim(2)))))
    assert "(ignored" not in next(iter(lines.of(_seen("events", _transition(2)))))
    assert "(ignored" in next(iter(lines.of(_seen("events", _transition(1, b"zombie!!")))))
    assert "in vain" in next(iter(lines.of(_seen("events", _claim(1, b"zombie!!")))))


def test_a_filter_leaves_out_the_others() -> None:
    """By workflow id and namespace."""
    lines = Lines(Wanted(workflow_id="w1"))
    assert list(lines.of(_seen("commands", _command("CancelWorkflow", {}, "w2")))) == []
    assert len(list(lines.of(_seen("commands", _command("CancelWorkflow", {}))))) == 1
    assert len(list(lines.of(_seen("events", _transition(1))))) == 2
    assert list(lines.of(_seen("events", _claim(1)))) == []
    elsewhere = Lines(Wanted(namespace="other"))
    assert list(elsewhere.of(_seen("events", _transition(1)))) == []


def test_rubbish_is_shown_as_such() -> None:
    """Nothing stops whoever looks on."""
    lines = Lines(Wanted())
    assert "not a record of ours" in next(iter(lines.of(_seen("commands", b"rubbish"))))
    assert "not a record of ours" in next(iter(lines.of(_seen("commands", None))))


def test_a_dead_letter_is_a_line_and_a_page() -> None:
    """Where it stood, what it was, and why."""
    value = _command("CancelWorkflow", {"reason": "enough"})
    letter = DEAD_LETTER.encode(
        {
            "topic": "commands",
            "partition": 2,
            "offset": 9,
            "key": b"ns/w1",
            "value": value,
            "reason": "Traceback\nValueError: no",
            "at": AT_MS * 1_000_000,
        }
    )
    seen = _seen("dead-letters", letter, offset=3)
    assert letter_line(seen) == f"     3  {HEAD}  commands-2@9  ns/w1  ValueError: no"
    assert letter_page(seen) == "\n".join(
        [
            "number     3",
            f"at         {HEAD}",
            "stood at   commands-2, offset 9",
            "key        ns/w1",
            f"value      {len(value)} bytes",
            '           ns/w1 CancelWorkflow {"run_id": "", "reason": "enough"}',
            "reason",
            "  Traceback",
            "  ValueError: no",
        ]
    )
