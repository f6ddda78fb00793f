"""Bytes that are no Kafka: an error or a closed connection, and everybody else is served."""

import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.infra.broker.conformance.wire import (
    Closed,
    Errors,
    Wire,
    append,
    batch,
    fetch,
    metadata_request,
    produce,
    produce_request,
    values,
)
from tests.support.kafka_embedded import EmbeddedKafka

API_VERSIONS = 18
PATIENCE = 5.0


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """Yield one broker for all the fuzzing, with a topic in it."""
    folder: Path = tmp_path_factory.mktemp("frames") / "data"
    with EmbeddedKafka(folder) as kafka:
        with Wire(kafka.address) as wire:
            wire.ask(metadata_request(["fuzzed"], creates=True))
        yield kafka


def frame(body: bytes) -> bytes:
    """Return a frame of the wire."""
    return struct.pack(">i", len(body)) + body


def header(api_key: int, version: int, correlation_id: int = 7) -> bytes:
    """Return a request header (version 1, without tags)."""
    return struct.pack(">hhih", api_key, version, correlation_id, 2) + b"fz"


def poke(kafka: EmbeddedKafka, sent: bytes) -> bytes | None:
    """Send bytes on a fresh connection, end our side; return the first answer, None if closed."""
    with Wire(kafka.address) as wire:
        wire.socket.settimeout(PATIENCE)
        try:
            wire.send_raw(sent)
            wire.socket.shutdown(socket.SHUT_WR)
            return wire.receive_frame()
        except (Closed, BrokenPipeError, ConnectionResetError):
            return None


def still_serves(kafka: EmbeddedKafka) -> bool:
    """Whether another client is served."""
    with Wire(kafka.address) as wire:
        return bool(wire.ask(metadata_request([])).brokers)


@pytest.mark.parametrize("size", [-1, -(2**31), 0, 1, 3, 2**31 - 1, 200 << 20])
def test_impossible_sizes_end_the_connection(embedded: EmbeddedKafka, size: int) -> None:
    """Negative, too small for a header, or above the limit."""
    assert poke(embedded, struct.pack(">i", size) + b"\x00" * 16) is None
    assert still_serves(embedded)


def test_half_a_frame_is_no_request(embedded: EmbeddedKafka) -> None:
    """Cut off anywhere it is neither answered nor remembered."""
    whole = frame(header(3, 1) + struct.pack(">i", 0))
    for end in range(len(whole)):
        assert poke(embedded, whole[:end]) is None
    assert poke(embedded, whole) is not None


def test_a_frame_byte_by_byte_is_a_request(embedded: EmbeddedKafka) -> None:
    """However the network cuts it."""
    whole = frame(header(3, 1) + struct.pack(">i", 0))
    with Wire(embedded.address) as wire:
        for number in range(len(whole)):
            wire.send_raw(whole[number : number + 1])
        assert wire.receive_frame()[:4] == struct.pack(">i", 7)


def test_two_frames_in_one_piece_are_two_requests(embedded: EmbeddedKafka) -> None:
    """Answered in order."""
    body = struct.pack(">i", 0)
    both = frame(header(3, 1, 1) + body) + frame(header(3, 1, 2) + body)
    with Wire(embedded.address) as wire:
        wire.send_raw(both)
        found = [wire.receive_frame()[:4] for _ in range(2)]
    assert found == [struct.pack(">i", 1), struct.pack(">i", 2)]


def test_an_unknown_version_of_api_versions_is_answered(embedded: EmbeddedKafka) -> None:
    """Version 0 body and error 35, so that any client can find out what we speak."""
    answer = poke(embedded, frame(header(API_VERSIONS, 99)))
    assert answer is not None
    assert struct.unpack(">ih", answer[:6]) == (7, Errors.UNSUPPORTED_VERSION)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_api_versions_lists_what_is_served(embedded: EmbeddedKafka, version: int) -> None:
    """Produce from 0 (librdkafka looks for it), fetch at most 12, no SASL."""
    answer = poke(embedded, frame(header(API_VERSIONS, version)))
    assert answer is not None
    error_code, count = struct.unpack(">hi", answer[4:10])
    found = {
        key: (low, high)
        for key, low, high in struct.iter_unpack(">hhh", answer[10 : 10 + 6 * count])
    }
    assert error_code == Errors.NONE
    assert found[0][0] == 0
    assert found[1][1] <= 12
    assert 17 not in found


@pytest.mark.parametrize("api_key", [-1, 5, 99, 1000, 32767])
def test_unknown_api_keys_end_the_connection(embedded: EmbeddedKafka, api_key: int) -> None:
    """There is no answer that a client could read."""
    poke(embedded, frame(header(api_key, 0)))
    assert still_serves(embedded)


@pytest.mark.parametrize("api_key", range(70))
def test_every_api_survives_garbage(embedded: EmbeddedKafka, api_key: int) -> None:
    """Each version with an empty, a random and a zero body."""
    chance = random.Random(api_key)
    for version in range(17):
        for body in (b"", bytes(64), chance.randbytes(chance.randrange(1, 200))):
            poke(embedded, frame(header(api_key, version) + body))
    assert still_serves(embedded)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300))
def test_random_bytes_never_stop_the_broker(embedded: EmbeddedKafka, sent: bytes) -> None:
    """Anything at all on a connection."""
    poke(embedded, sent)
    assert still_serves(embedded)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    api_key=st.integers(0, 69),
    version=st.integers(0, 17),
    body=st.binary(max_size=200),
    claimed=st.one_of(st.none(), st.integers(-10, 400)),
)
def test_random_requests_never_stop_the_broker(
    embedded: EmbeddedKafka, api_key: int, version: int, body: bytes, claimed: int | None
) -> None:
    """A good header, any body, and perhaps a size that lies."""
    whole = header(api_key, version) + body
    size = len(whole) if claimed is None else claimed
    poke(embedded, struct.pack(">i", size) + whole)
    assert still_serves(embedded)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 200), replacement=st.binary(min_size=1, max_size=4))
def test_a_damaged_produce_request_is_refused_or_whole(
    embedded: EmbeddedKafka, at: int, replacement: bytes
) -> None:
    """Whatever bytes of it are overwritten, what is stored can be read by everybody."""
    request = produce_request("fuzzed", batch(values("whole" * 10)))
    good = request.build_request_header(1, "fz").encode() + request.encode()
    place = at % len(good)
    damaged = good[:place] + replacement + good[place + len(replacement) :]
    poke(embedded, frame(damaged))
    with Wire(embedded.address) as wire:
        found = fetch(wire, "fuzzed")
        assert found.error_code == Errors.NONE
        assert all(one.validate_crc() for one in found.batches)


def test_lengths_that_lie_allocate_nothing(embedded: EmbeddedKafka) -> None:
    """An array of two billion entries in a frame of forty bytes."""
    before = _resident_bytes(embedded.pid)
    for api_key in (0, 1, 2, 3, 8, 9, 11, 14, 19, 20, 24, 28, 32):
        for version in (1, 4, 9):
            lies = header(api_key, version) + b"\x7f\xff\xff\xff" * 8
            poke(embedded, frame(lies))
    assert still_serves(embedded)
    assert _resident_bytes(embedded.pid) - before < 100 << 20


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_batches_that_lie_are_refused(embedded: EmbeddedKafka) -> None:
    """Wrong magic, length, record count, or two batches where one is allowed: never stored."""
    good = batch(values("abc"))
    lies = {
        "magic": good[:16] + b"\x01" + good[17:],
        "length": good[:8] + struct.pack(">i", 10_000) + good[12:],
        "short": good[:40],
        "empty": b"",
        "count": good[:57] + struct.pack(">i", 7) + good[61:],
        "zeros": bytes(len(good)),
    }
    with Wire(embedded.address) as wire:
        end = fetch(wire, "fuzzed").high_watermark
        for name, one in lies.items():
            try:
                answer = produce(wire, "fuzzed", one)
            except Closed:
                pytest.fail(f"expected an error code for a lying {name}, but it hung up")
            assert answer.error_code != Errors.NONE, name
        assert append(wire, "fuzzed", good) == end


def test_many_idle_connections_are_held(embedded: EmbeddedKafka) -> None:
    """Three hundred clients that say nothing do not keep others out."""
    idle = [Wire(embedded.address) for _ in range(300)]
    try:
        assert still_serves(embedded)
    finally:
        for wire in idle:
            wire.socket.close()


def test_a_client_that_never_reads_is_nobody_elses_problem(embedded: EmbeddedKafka) -> None:
    """A thousand requests whose answers nobody takes: others are served."""
    request = metadata_request(None)
    with Wire(embedded.address) as deaf:
        deaf.socket.settimeout(PATIENCE)
        try:
            for _ in range(20_000):
                deaf.send(request)
        except TimeoutError:
            pass  # the broker stopped reading: that is its right
        assert still_serves(embedded)
