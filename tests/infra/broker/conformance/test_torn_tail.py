"""A damaged end of the newest segment: the broker starts with a valid prefix and goes on."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.infra.broker.conformance.clients import create_topic, make_producer, read_all, send
from tests.infra.broker.conformance.wire import Wire, append, batch, values
from tests.support.kafka_embedded import EmbeddedKafka

StartEmbedded = Callable[..., EmbeddedKafka]
PARTITIONS = 4
EXPECTED = [f"v{number}" for number in range(60)]

Damage = Callable[[bytes, random.Random], bytes]


def cut(content: bytes, chance: random.Random) -> bytes:
    """Cut off up to the last three batches."""
    return content[: -chance.randrange(1, 300)]


def garbage(content: bytes, chance: random.Random) -> bytes:
    """Append bytes that are no batch."""
    return content + chance.randbytes(chance.randrange(1, 400))


def zeros(content: bytes, chance: random.Random) -> bytes:
    """Append zeros, as a file system does that lost the blocks of a file it had grown."""
    return content + bytes(chance.randrange(1, 5_000))


def flip(content: bytes, chance: random.Random) -> bytes:
    """Flip a bit in one of the last batches."""
    damaged = bytearray(content)
    damaged[-chance.randrange(1, 300)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def half_batch(content: bytes, chance: random.Random) -> bytes:
    """Append the beginning of a batch that would have fitted."""
    return content + batch(values("half" * 30))[: chance.randrange(1, 150)]


def repeated(content: bytes, chance: random.Random) -> bytes:
    """Append a whole batch of an offset that is already there."""
    one = batch(values("again"))
    return content + one * chance.randrange(1, 3)


def newest_segment(folder: Path, partition: int) -> Path:
    """Return the newest log file of a partition of the only topic."""
    return max(folder.rglob(f"{partition}/*.log"), key=lambda path: path.name)


def found_in(address: str, partition: int) -> list[str]:
    """Return the values that a consumer sees."""
    found = read_all(address, "torn", [partition], check_crcs=True)
    return [message.value().decode() for message in found]


def write(kafka: EmbeddedKafka) -> None:
    """Write the expected batches to each partition."""
    admin = AdminClient({"bootstrap.servers": kafka.address})
    create_topic(admin, kafka.address, "torn", PARTITIONS)
    with Wire(kafka.address) as wire:
        for text in EXPECTED:
            for partition in range(PARTITIONS):
                append(wire, "torn", batch(values(text)), partition=partition)


def continued(kafka: EmbeddedKafka) -> list[list[str]]:
    """Check that each partition is a prefix and takes the next offset; return what is there."""
    there = [found_in(kafka.address, partition) for partition in range(PARTITIONS)]
    for partition, found in enumerate(there):
        assert found == EXPECTED[: len(found)]
        reports = send(make_producer(kafka.address), "torn", ["next"], partition=partition)
        assert reports.offsets == [len(found)]
    return [[*found, "next"] for found in there]


@pytest.mark.parametrize(
    ("damage", "end"),
    [
        *((one, EmbeddedKafka.kill) for one in (cut, garbage, zeros, flip, half_batch, repeated)),
        *((one, EmbeddedKafka.stop) for one in (cut, garbage, zeros, half_batch)),
    ],
)
def test_a_damaged_tail_is_cut_to_a_valid_prefix(
    start_embedded: StartEmbedded, damage: Damage, end: Callable[[EmbeddedKafka], int]
) -> None:
    """A random damage for each partition: what is served is a prefix, and appends continue it."""
    kafka = start_embedded(segment_bytes=2_500)
    write(kafka)
    end(kafka)
    for partition in range(PARTITIONS):
        path = newest_segment(kafka.folder, partition)
        path.write_bytes(damage(path.read_bytes(), random.Random(partition)))
    kafka.start()
    there = continued(kafka)
    assert min(len(found) for found in there) >= len(EXPECTED) - 6
    kafka.kill()
    kafka.start()
    assert [found_in(kafka.address, partition) for partition in range(PARTITIONS)] == there


def test_a_newest_segment_that_was_lost_is_a_shorter_log(start_embedded: StartEmbedded) -> None:
    """Its file is empty or missing: the segments before it are served."""
    kafka = start_embedded(segment_bytes=1_500)
    write(kafka)
    kafka.kill()
    newest_segment(kafka.folder, 0).write_bytes(b"")
    newest_segment(kafka.folder, 1).unlink()
    kafka.start()
    there = continued(kafka)
    assert 0 < len(there[0]) < len(EXPECTED)
    assert 0 < len(there[1]) < len(EXPECTED)
    assert there[2] == [*EXPECTED, "next"]


def test_a_missing_or_broken_index_is_made_again(start_embedded: StartEmbedded) -> None:
    """Everything beside the log files and the metadata is derived."""
    kafka = start_embedded(segment_bytes=20_000)
    create_topic(AdminClient({"bootstrap.servers": kafka.address}), kafka.address, "indexed")
    with Wire(kafka.address) as wire:
        for number in range(400):
            append(wire, "indexed", batch(values(f"v{number}" + "x" * 200)))
    kafka.stop()
    derived = [
        path
        for path in kafka.folder.rglob("*")
        if path.is_file() and "topics" in path.parts and path.suffix != ".log"
    ]
    for number, path in enumerate(derived):
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(b"broken" * 10)
    assert derived
    kafka.start()
    assert len(read_all(kafka.address, "indexed")) == 400
    assert len(read_all(kafka.address, "indexed", start=250)) == 150
