"""The auditor: folds `events` by rule L1 and compares it with what the clients were told.

It imports nothing of ours but the `.avsc` files. It reports; it repairs and decides nothing.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import fastavro
from confluent_kafka import Consumer, TopicPartition
from fastavro.schema import fingerprint, to_parsing_canonical_form
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from tests.chaos.journal import Told

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas" / "avro"
HEADER_BYTES = 10
POLL_S = 30.0
_TOKEN_EVENTS = {
    "start": EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    "signal": EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    "complete": EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
}

Fields = dict[str, Any]


class Record(NamedTuple):
    """A record of one partition."""

    offset: int
    value: bytes


class Folded(NamedTuple):
    """What the accept rule left of one partition."""

    transitions: list[Fields]
    claims: int
    ignored: int
    problems: list[str]


class Run(NamedTuple):
    """The history of one run, as the log has it."""

    workflow_id: str
    run_id: str
    events: list[HistoryEvent]


class Audit(NamedTuple):
    """What is wrong with a log, some figures, and the runs that it tells of."""

    problems: list[str]
    summary: str
    runs: dict[str, Run]


class Codec:
    """Single-object encoding of claims and transitions, from the schema files."""

    def __init__(self, folder: Path = SCHEMAS) -> None:
        self._kinds: dict[bytes, tuple[str, Any]] = {}
        for name in ("claim", "transition"):
            for path in [folder / f"{name}.avsc", *folder.glob(f"released/{name}.*.avsc")]:
                schema = fastavro.parse_schema(json.loads(path.read_text()))
                digest = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
                self._kinds[b"\xc3\x01" + bytes.fromhex(digest)[::-1]] = (name, schema)

    def decode(self, value: bytes) -> tuple[str, Fields]:
        """Return the kind and the fields of a record."""
        name, schema = self._kinds[value[:HEADER_BYTES]]
        body = BytesIO(value)
        body.seek(HEADER_BYTES)
        return name, fastavro.schemaless_reader(body, schema, None, return_record_name=True)  # type: ignore[return-value]  # a record reads as a dict


def read_topic(address: str, topic: str) -> dict[int, list[Record]]:
    """Read every record of a topic up to its present end."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "auditor",
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
            "auto.offset.reset": "error",
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=POLL_S).topics[topic].partitions
        return {number: _read_partition(consumer, topic, number) for number in partitions}
    finally:
        consumer.close()


def fold(records: Iterable[Record], codec: Codec) -> Folded:
    """Apply the accept rule (L1) to one partition, from its beginning."""
    epoch, incarnation, seq, offset = 0, b"", 0, -1
    folded = Folded([], 0, 0, [])
    claims = ignored = 0
    positions: dict[tuple[str, str], tuple[str, int]] = {}
    for record in records:
        if record.offset != offset + 1:
            folded.problems.append(f"expected offset {offset + 1}, found {record.offset}")
        offset = record.offset
        kind, fields = codec.decode(record.value)
        is_next = fields["seq"] == seq + 1
        if kind == "claim" and is_next and fields["epoch"] > epoch:
            epoch, incarnation, seq = fields["epoch"], fields["incarnation"], fields["seq"]
            claims += 1
            positions.update(_sources(fields))
        elif kind == "transition" and is_next and _is_under(fields, epoch, incarnation):
            seq = fields["seq"]
            folded.transitions.append(fields)
            folded.problems.extend(_backwards(positions, fields, offset))
            positions.update(_sources(fields))
        else:
            ignored += 1
    return folded._replace(claims=claims, ignored=ignored)


def histories(transitions: Iterable[Fields]) -> dict[str, Run]:
    """Return the public history of every run in accepted transitions."""
    runs: dict[str, Run] = {}
    for transition in transitions:
        for change in transition["changes"]:
            for name, fact in change["facts"]:
                if name == "millrace.HistoryFact":
                    run = runs.setdefault(change["run_id"], Run(change["id"], change["run_id"], []))
                    run.events.append(HistoryEvent.FromString(fact["body"]))
    return runs


def holes(runs: Iterable[Run]) -> list[str]:
    """Return the runs whose event ids are not dense from 1, or that start or end twice."""
    problems = []
    for run in runs:
        ids = [event.event_id for event in run.events]
        if ids != list(range(1, len(ids) + 1)):
            problems.append(f"run {run.run_id}: expected dense event ids, found {ids}")
        starts = [event for event in run.events if _is(event, "start")]
        if len(starts) != 1:
            problems.append(f"run {run.run_id}: expected one start, found {len(starts)}")
    return problems


def disagreements(told: Iterable[Told], runs: Mapping[str, Run]) -> list[str]:
    """Return what the clients were told and the log does not say, or says twice."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for run in runs.values():
        for event in run.events:
            for kind in _TOKEN_EVENTS:
                if _is(event, kind):
                    found[kind, _token(event)].append(run.run_id)
    return [
        problem
        for one in told
        if (problem := _disagreement(one, found[one.kind, one.token])) is not None
    ]


def doubled_answers(transitions: Iterable[Fields]) -> list[str]:
    """Return command ids that were answered as done in two ways."""
    outcomes: dict[bytes, set[tuple[str, str]]] = defaultdict(set)
    for transition in transitions:
        for answer in transition["answers"]:
            outcomes[answer["command_id"]].add((answer["outcome"], answer["run_id"]))
    return [
        f"command {command_id.hex()}: expected one answer, found {sorted(answers)}"
        for command_id, answers in outcomes.items()
        if len(answers) > 1
    ]


def audit(topic: Mapping[int, Sequence[Record]], told: Sequence[Told]) -> list[str]:
    """Return every problem of a log; none: what the clients were told is what happened."""
    return audited(topic, told).problems


def audited(topic: Mapping[int, Sequence[Record]], told: Sequence[Told]) -> Audit:
    """Fold a log and compare it with what the clients were told."""
    codec = Codec()
    folded = {number: fold(records, codec) for number, records in topic.items()}
    transitions = [one for number in sorted(folded) for one in folded[number].transitions]
    runs = histories(transitions)
    problems = [
        *(f"partition {n}: {text}" for n, one in folded.items() for text in one.problems),
        *holes(runs.values()),
        *disagreements(told, runs),
        *doubled_answers(transitions),
    ]
    return Audit(problems, _summary(list(folded.values()), told), runs)


def _summary(folded: Sequence[Folded], told: Sequence[Told]) -> str:
    """Return one line of figures."""
    outcomes = Counter(f"{one.kind} {one.outcome}" for one in told)
    return (
        f"{sum(len(one.transitions) for one in folded)} transitions, "
        f"{sum(one.claims for one in folded)} claims, "
        f"{sum(one.ignored for one in folded)} ignored; "
        + ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    )


def _disagreement(one: Told, runs: Sequence[str]) -> str | None:
    least = 1 if one.outcome == "done" else 0
    is_never = one.outcome == "aborted" or (one.outcome == "refused" and one.repeats == 0)
    most = 0 if is_never else 1
    if not least <= len(runs) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        return f"{one}: expected it {wanted} times in the log, found it {len(runs)} times"
    if one.outcome == "done" and one.run_id and runs[0] != one.run_id:
        return f"{one}: expected it in run {one.run_id}, found it in {runs[0]}"
    return None


def _is(event: HistoryEvent, kind: str) -> bool:
    return event.event_type == _TOKEN_EVENTS[kind]


def _token(event: HistoryEvent) -> str:
    """Return the identity: every call of the load has one of its own, which lands in its event."""
    attributes = getattr(event, str(event.WhichOneof("attributes")))
    return str(attributes.identity)


def _is_under(fields: Fields, epoch: int, incarnation: bytes) -> bool:
    return bool(fields["epoch"] == epoch and fields["incarnation"] == incarnation)


def _sources(fields: Fields) -> dict[tuple[str, str], tuple[str, int]]:
    return {
        (one["topic"], one["sender"]): (one["topic_id"], one["position"])
        for one in fields["sources"]
    }


def _backwards(
    positions: Mapping[tuple[str, str], tuple[str, int]], fields: Fields, offset: int
) -> list[str]:
    problems = []
    for source, (topic_id, position) in _sources(fields).items():
        known = positions.get(source)
        if known is not None and known[0] == topic_id and position < known[1]:
            expected = f"expected source {source} at or above {known[1]}"
            problems.append(f"offset {offset}: {expected}, found {position}")
    return problems


def _read_partition(consumer: Consumer, topic: str, partition: int) -> list[Record]:
    where = TopicPartition(topic, partition)
    low, high = consumer.get_watermark_offsets(where, timeout=POLL_S)
    consumer.assign([TopicPartition(topic, partition, low)])
    records: list[Record] = []
    while low + len(records) < high:
        message = consumer.poll(POLL_S)
        assert message is not None, f"expected {high} records of {topic}/{partition}, found fewer"
        assert message.error() is None, message.error()
        value, offset = message.value(), message.offset()
        assert value is not None
        assert offset is not None
        records.append(Record(offset, value))
    return records
