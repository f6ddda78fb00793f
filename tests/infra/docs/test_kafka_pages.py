"""The pages for Kafka clients: their code runs as it stands, zombies included."""

from collections.abc import Iterator
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.codec import CLAIM, TRANSITION
from tests.infra.docs.pages import run_page
from tests.support.kafka_embedded import EmbeddedKafka
from tests.support.millrace_server import MillraceServer

PRODUCER, CONSUMER = "kafka-producer.md", "kafka-consumer.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MillraceServer]:
    """Yield a server."""
    with MillraceServer(tmp_path_factory.mktemp("server")) as running:
        yield running


def test_the_producers_page(server: MillraceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workflow is started and signalled, and both are replied to."""
    names = run_page(PRODUCER, monkeypatch, kafka=server.kafka_address)
    told = names["told"]
    assert told[names["start_id"]]["outcome"] == "started"
    assert told[names["signal_id"]]["outcome"] == "done"
    assert {each["code"] for each in told.values()} == {0}
    again = names["start_id"]
    body = {"workflow_type": "Order", "task_queue": "orders"}
    names["ask"](names["order_id"], "StartWorkflow", body, request_id=again)
    names["ask"](names["order_id"], "StartWorkflow", body, request_id="another")
    names["producer"].flush()
    told = names["replies"]({again, "another"})
    assert told[again]["outcome"] == "started"
    assert told["another"]["code"] == 6  # ALREADY_EXISTS
    assert "already running" in told["another"]["message"]


def test_the_consumers_page(
    server: MillraceServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints what the producers of the other page caused."""
    names = run_page(PRODUCER, monkeypatch, kafka=server.kafka_address)
    capsys.readouterr()
    monkeypatch.setenv("SECONDS_TO_READ", "8")
    run_page(CONSUMER, monkeypatch, kafka=server.kafka_address)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    mine = [(int(line[3]), int(line[4])) for line in printed if line[1] == names["order_id"]]
    assert mine == [(1, 1), (2, 5), (3, 26)]


# -- zombies


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a Kafka without a server."""
    with EmbeddedKafka(tmp_path_factory.mktemp("broker")) as running:
        yield running.address


class Topic:
    """A partition of `events` written by owners and zombies."""

    def __init__(self, kafka: str) -> None:
        self._producer = confluent_kafka.Producer({"bootstrap.servers": kafka})
        admin = AdminClient({"bootstrap.servers": kafka})
        admin.create_topics([NewTopic("events", 1)])["events"].result()

    def claim(self, epoch: int, seq: int, incarnation: bytes) -> None:
        """Append a claim."""
        fields = {
            "epoch": epoch,
            "incarnation": incarnation,
            "seq": seq,
            "generation": 1,
            "partitions": 1,
            "command_ends": [],
            "sources": [],
            "node": "",
            "address": "",
            "claimed_at": 0,
            "fold_version": 1,
        }
        self._append(CLAIM.encode(fields))

    def transition(self, epoch: int, seq: int, incarnation: bytes, *, run_id: str) -> None:
        """Append a transition."""
        fact = {"event_id": seq, "event_type": 1, "event_time": 0, "body": b""}
        change = {
            "entity": "workflow",
            "namespace_id": "n",
            "id": "w",
            "run_id": run_id,
            "facts": [("millrace.HistoryFact", fact)],
        }
        fields = {
            "epoch": epoch,
            "incarnation": incarnation,
            "seq": seq,
            "sources": [],
            "performed": 0,
            "decided_at": 0,
            "fold_version": 1,
            "changes": [change],
            "effects": [],
            "answers": [],
        }
        self._append(TRANSITION.encode(fields))

    def _append(self, value: bytes) -> None:
        self._producer.produce("events", value, partition=0)
        self._producer.flush()


def _read(names: dict[str, Any], group: str, count: int) -> list[str]:
    """Return the run ids of the next transitions that count."""
    found: list[str] = []
    reader = names["Reader"](group)
    reader.read(
        lambda _, fields: found.append(fields["changes"][0]["run_id"]),
        until=lambda: len(found) >= count,
    )
    reader.close()
    return found


def test_v1_the_documented_consumer_ignores_zombies(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late records of former owners, lost claims, and a restart between two of them."""
    names = run_page(CONSUMER, monkeypatch, kafka=broker, without="reader.close()\n")
    topic, a, b, c = Topic(broker), b"aaaaaaaa", b"bbbbbbbb", b"cccccccc"
    topic.claim(1, 1, a)
    topic.transition(1, 2, a, run_id="one")
    topic.claim(2, 3, b)
    topic.transition(1, 3, a, run_id="zombie: the owner before, its seq is taken")
    topic.transition(1, 4, a, run_id="zombie: the owner before, with the next seq")
    topic.claim(2, 4, c)
    topic.transition(2, 4, c, run_id="zombie: a claim of the same epoch is none")
    topic.transition(2, 4, b, run_id="two")
    topic.transition(2, 4, b, run_id="zombie: the same seq again")
    assert _read(names, "g", 2) == ["one", "two"]
    topic.transition(1, 5, a, run_id="zombie: behind a restart of the reader")
    topic.transition(2, 6, b, run_id="zombie: a seq is missing")
    topic.transition(2, 5, b, run_id="three")
    topic.claim(5, 6, c)
    topic.transition(2, 7, b, run_id="zombie: it does not know yet")
    topic.transition(5, 7, c, run_id="four")
    assert _read(names, "g", 2) == ["three", "four"]
    assert _read(names, "another", 4) == ["one", "two", "three", "four"]
