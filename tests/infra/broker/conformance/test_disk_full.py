"""A disk that fills: the producer hears of it, nothing acknowledged is lost, then it goes on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.wire import (
    Errors,
    Wire,
    append,
    batch,
    fetch,
    metadata_request,
    produce,
    values,
)
from tests.support.kafka_embedded import EmbeddedKafka

DISK = "24m"
RECORD = "x" * 100_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a file system of a few megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_an_error_and_freed_room_is_used(small_disk: Path) -> None:
    """KAFKA_STORAGE_ERROR, no deletion by itself, reads go on, and so do writes with room."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"b" * (8 << 20))
    with EmbeddedKafka(small_disk / "data") as kafka:
        with Wire(kafka.address) as wire:
            wire.ask(metadata_request(["full"], creates=True))
            acknowledged = 0
            while (answer := produce(wire, "full", numbered(acknowledged))).error_code == 0:
                assert answer.base_offset == acknowledged
                acknowledged += 1
            assert answer.error_code == Errors.KAFKA_STORAGE_ERROR
            assert acknowledged > 20
            assert produce(wire, "full", numbered(0)).error_code == Errors.KAFKA_STORAGE_ERROR
            assert stored(wire) == list(range(acknowledged))
        ballast.unlink()
        with Wire(kafka.address) as wire:

            def goes_on() -> bool:
                return produce(wire, "full", numbered(acknowledged)).error_code == Errors.NONE

            eventually("an append", goes_on)
            assert append(wire, "full", numbered(acknowledged + 1)) == acknowledged + 1
        kafka.kill()
        kafka.start()
        with Wire(kafka.address) as wire:
            assert stored(wire) == list(range(acknowledged + 2))


def test_a_broker_killed_on_a_full_disk_comes_up(small_disk: Path) -> None:
    """Recovery needs no room: it serves what was acknowledged, and writes once there is some."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"b" * (8 << 20))
    with EmbeddedKafka(small_disk / "data") as kafka:
        acknowledged = 0
        with Wire(kafka.address) as wire:
            wire.ask(metadata_request(["full"], creates=True))
            while produce(wire, "full", numbered(acknowledged)).error_code == Errors.NONE:
                acknowledged += 1
        kafka.kill()
        kafka.start()
        with Wire(kafka.address) as wire:
            assert stored(wire) == list(range(acknowledged))
            ballast.unlink()
            eventually(
                "an append",
                lambda: produce(wire, "full", numbered(acknowledged)).error_code == Errors.NONE,
            )
            assert stored(wire) == list(range(acknowledged + 1))


def numbered(number: int) -> bytes:
    """Return a batch of one large record that carries its number."""
    return batch(values(f"{number}:{RECORD}"))


def stored(wire: Wire) -> list[int]:
    """Return the numbers of the records in the log."""
    found: list[int] = []
    while batches := fetch(wire, "full", len(found)).batches:
        for one in batches:
            found += [int(record.value.split(b":", 1)[0]) for record in one]
    return found
