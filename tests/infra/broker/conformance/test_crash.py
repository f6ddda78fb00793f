"""Kill -9 under load: what was acknowledged is there, once, in order."""

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from tests.infra.broker.conformance.clients import create_topic, make_producer, read_all
from tests.infra.broker.conformance.deadlines import eventually
from tests.support.kafka_embedded import EmbeddedKafka

StartEmbedded = Callable[..., EmbeddedKafka]
PARTITIONS = 3
KILLS = 4
BETWEEN_KILLS = 4_000  # acknowledgements


@dataclass
class Journal:
    """What the producer was told, by partition: (number of the record, offset)."""

    acknowledged: dict[int, list[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    failed: int = 0

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Take a delivery report."""
        if error is None:
            entry = (int(message.value()), message.offset())
            self.acknowledged[message.partition()].append(entry)
        else:
            self.failed += 1

    @property
    def count(self) -> int:
        """Return how many records were acknowledged."""
        return sum(len(one) for one in self.acknowledged.values())


class Load:
    """A thread that produces numbered records round robin until told to end."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self.journal = Journal()
        self._producer, self._topic = producer, topic
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self) -> None:
        """Stop producing and wait for what is in flight."""
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._ends.is_set():
            try:
                self._producer.produce(
                    self._topic,
                    str(number),
                    partition=number % PARTITIONS,
                    on_delivery=self.journal,
                )
                number += 1
            except BufferError:
                self._producer.poll(0.01)
            self._producer.poll(0)
        self._producer.flush(60)


def crash_repeatedly(kafka: EmbeddedKafka, load: Load) -> None:
    """Kill and restart the broker a few times while records are acknowledged."""
    for _ in range(KILLS):
        goal = load.journal.count + BETWEEN_KILLS
        eventually("acknowledgements", lambda goal=goal: load.journal.count >= goal)
        crash(kafka)
    goal = load.journal.count + BETWEEN_KILLS
    eventually("acknowledgements", lambda: load.journal.count >= goal)
    load.finish()
    crash(kafka)


def crash(kafka: EmbeddedKafka) -> None:
    """Kill the broker and start it again."""
    kafka.kill()
    kafka.start()


def stored_in(address: str, partition: int) -> list[tuple[int, int]]:
    """Return (number of the record, offset) of everything in a partition."""
    found = read_all(address, "crash", [partition], check_crcs=True)
    assert [message.offset() for message in found] == list(range(len(found)))
    return [(int(message.value()), message.offset()) for message in found]


@pytest.mark.parametrize("creation", ["created", "automatic"])
def test_an_idempotent_producer_loses_repeats_and_reorders_nothing(
    start_embedded: StartEmbedded, creation: str
) -> None:
    """Each acknowledged record stands once at the offset it was acknowledged with, in order."""
    kafka = start_embedded(num_partitions=PARTITIONS, segment_bytes=256 << 10)
    if creation == "created":
        admin = AdminClient({"bootstrap.servers": kafka.address})
        create_topic(admin, kafka.address, "crash", PARTITIONS)
    load = Load(
        make_producer(
            kafka.address, enable_idempotence=True, linger_ms=1, queue_buffering_max_messages=2_000
        ),
        "crash",
    )
    try:
        crash_repeatedly(kafka, load)
    finally:
        load.finish()
    assert load.journal.failed == 0
    for partition in range(PARTITIONS):
        found = stored_in(kafka.address, partition)
        assert found == load.journal.acknowledged[partition]
        numbers = [number for number, _ in found]
        assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_a_plain_producer_loses_nothing_that_was_acknowledged(
    start_embedded: StartEmbedded, durability: str
) -> None:
    """A record may stand twice (its acknowledgement was lost), but where it was said to be."""
    kafka = start_embedded(num_partitions=PARTITIONS, durability=durability)
    load = Load(
        make_producer(kafka.address, acks="all", linger_ms=1, queue_buffering_max_messages=2_000),
        "crash",
    )
    try:
        crash_repeatedly(kafka, load)
    finally:
        load.finish()
    for partition in range(PARTITIONS):
        missing = set(load.journal.acknowledged[partition]) - set(
            stored_in(kafka.address, partition)
        )
        assert missing == set()


def test_transactions_are_all_or_nothing_over_kills(start_embedded: StartEmbedded) -> None:
    """Each transaction writes its number to every partition; committed ones are whole."""
    kafka = start_embedded(num_partitions=PARTITIONS)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    create_topic(admin, kafka.address, "crash", PARTITIONS)
    producer = make_producer(
        kafka.address, transactional_id="crash", transaction_timeout_ms=50_000, linger_ms=0
    )
    producer.init_transactions(30)
    confirmed: list[int] = []
    for number in range(40):
        with ThreadPoolExecutor(1) as threads:
            transacting = threads.submit(_transact, producer, number)
            if number % 8 == 4:
                crash(kafka)
            if transacting.result():
                confirmed.append(number)
    for partition in range(PARTITIONS):
        found = read_all(kafka.address, "crash", [partition], isolation_level="read_committed")
        numbers = [int(message.value()) for message in found]
        assert numbers == confirmed


def _transact(producer: Producer, number: int) -> bool:
    """Write one transaction; whether its commit was confirmed."""
    producer.begin_transaction()
    for partition in range(PARTITIONS):
        producer.produce("crash", str(number), partition=partition)
    try:
        producer.commit_transaction(40)
    except KafkaException as error:
        if not error.args[0].txn_requires_abort():
            raise
        producer.abort_transaction(40)
        return False
    return True
