"""What the embedded broker has said it knows after it was stopped, or killed, and started again."""

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiokafka.protocol.admin import DeleteRecordsRequest_v1
from aiokafka.protocol.transaction import InitProducerIdRequest_v0
from confluent_kafka.admin import AdminClient

from tests.infra.broker.conformance.clients import (
    create_topic,
    make_producer,
    only,
    read_all,
    send,
    texts,
    watermarks,
)
from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.members import RawMember, commit, committed
from tests.infra.broker.conformance.test_topics import configs, set_configs, topic_id
from tests.infra.broker.conformance.wire import (
    READ_COMMITTED,
    Errors,
    Wire,
    append,
    batch,
    fetch,
    init_producer,
    list_offset,
    metadata_request,
    produce,
    produce_request,
    values,
)
from tests.support.kafka_embedded import EmbeddedKafka

StartEmbedded = Callable[..., EmbeddedKafka]
End = Callable[[EmbeddedKafka], int]

ENDS = [EmbeddedKafka.stop, EmbeddedKafka.kill]
ways_to_end = pytest.mark.parametrize("end", ENDS, ids=["stopped", "killed"])
MIB = 1 << 20


def admin_of(kafka: EmbeddedKafka) -> AdminClient:
    """Return an admin client."""
    return AdminClient({"bootstrap.servers": kafka.address})


def restart(kafka: EmbeddedKafka, end: End) -> None:
    """End the broker and start it again on the same port."""
    end(kafka)
    kafka.start()


@ways_to_end
def test_records_topics_ids_and_configs_survive(start_embedded: StartEmbedded, end: End) -> None:
    """The same log under the same topic id with the same settings."""
    kafka = start_embedded()
    admin = admin_of(kafka)
    create_topic(admin, kafka.address, "kept", 3, retention_ms=-1)
    set_configs(admin, "kept", message_timestamp_type="LogAppendTime")
    before = topic_id(admin, "kept")
    for number in range(3):
        send(make_producer(kafka.address), "kept", [f"p{number}"] * 10, partition=number)
    restart(kafka, end)
    admin = admin_of(kafka)
    assert topic_id(admin, "kept") == before
    found = configs(admin, "kept")
    assert (found["retention.ms"], found["message.timestamp.type"]) == ("-1", "LogAppendTime")
    for number in range(3):
        assert texts(read_all(kafka.address, "kept", [number])) == [f"p{number}"] * 10
    assert send(make_producer(kafka.address), "kept", ["next"], partition=0).offsets == [10]


@ways_to_end
def test_a_trimmed_beginning_survives(start_embedded: StartEmbedded, end: End) -> None:
    """What was deleted does not come back (V2)."""
    kafka = start_embedded()
    create_topic(admin_of(kafka), kafka.address, "trimmed")
    with Wire(kafka.address) as wire:
        append(wire, "trimmed", batch(values(*"abcdefghij")))
        wire.ask(DeleteRecordsRequest_v1([("trimmed", [(0, 7)])], 10_000))
    restart(kafka, end)
    assert watermarks(kafka.address, "trimmed") == (7, 10)
    with Wire(kafka.address) as wire:
        assert fetch(wire, "trimmed", 6).error_code == Errors.OFFSET_OUT_OF_RANGE


@ways_to_end
def test_an_emptied_log_goes_on_at_its_offset(start_embedded: StartEmbedded, end: End) -> None:
    """A log trimmed to its end has no records to tell where it was."""
    kafka = start_embedded()
    create_topic(admin_of(kafka), kafka.address, "emptied")
    with Wire(kafka.address) as wire:
        append(wire, "emptied", batch(values(*"abcde")))
        wire.ask(DeleteRecordsRequest_v1([("emptied", [(0, -1)])], 10_000))
    restart(kafka, end)
    assert watermarks(kafka.address, "emptied") == (5, 5)
    with Wire(kafka.address) as wire:
        assert append(wire, "emptied", batch(values("next"))) == 5


@ways_to_end
def test_committed_offsets_survive(start_embedded: StartEmbedded, end: End) -> None:
    """Offset and metadata of a group, and its generation does not begin anew."""
    kafka = start_embedded()
    create_topic(admin_of(kafka), kafka.address, "t", 2)
    with Wire(kafka.address) as wire:
        commit(wire, "g", (-1, ""), ("t", 0, 5, "five"))
        commit(wire, "g", (-1, ""), ("t", 1, 6, ""))
    restart(kafka, end)
    with Wire(kafka.address) as wire:
        assert committed(wire, "g", "t", (0, 1)) == {0: (5, "five"), 1: (6, "")}


@ways_to_end
def test_old_members_cannot_commit_over_a_restart_unnoticed(
    start_embedded: StartEmbedded, end: End
) -> None:
    """Either the group still knows its member, or it refuses; it never takes a stranger's word."""
    kafka = start_embedded()
    create_topic(admin_of(kafka), kafka.address, "t")
    with Wire(kafka.address) as wire:
        member = RawMember(wire, "g")
        member.join_alone()
        assert member.commit("t", 3) == Errors.NONE
    restart(kafka, end)
    with Wire(kafka.address) as wire:
        member.wire = wire
        if member.heartbeat() != Errors.NONE:
            assert member.commit("t", 4) != Errors.NONE
            assert committed(wire, "g", "t")[0] == (3, "")


@ways_to_end
def test_producer_sequences_survive(start_embedded: StartEmbedded, end: End) -> None:
    """A batch resent over a restart is still stored once, and a gap still refused (L4)."""
    kafka = start_embedded()
    create_topic(admin_of(kafka), kafka.address, "t")
    with Wire(kafka.address) as wire:
        sender = init_producer(wire)
        for number in range(5):
            append(wire, "t", batch(values(f"v{number}"), replace(sender, sequence=number)))
    restart(kafka, end)
    with Wire(kafka.address) as wire:
        for number in range(5):
            resent = batch(values(f"v{number}"), replace(sender, sequence=number))
            assert append(wire, "t", resent) == number
        gap = produce(wire, "t", batch(values("gap"), replace(sender, sequence=7)))
        assert gap.error_code == Errors.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert append(wire, "t", batch(values("v5"), replace(sender, sequence=5))) == 5
        assert init_producer(wire).producer_id > sender.producer_id


@ways_to_end
def test_an_open_transaction_survives_and_can_be_committed(
    start_embedded: StartEmbedded, end: End
) -> None:
    """Readers stay held back over the restart; the commit releases them."""
    kafka = start_embedded()
    create_topic(admin_of(kafka), kafka.address, "t")
    producer = make_producer(kafka.address, transactional_id="tx", message_timeout_ms=30_000)
    producer.init_transactions(30)
    producer.begin_transaction()
    assert send(producer, "t", ["a"]).offsets == [0]
    restart(kafka, end)
    with Wire(kafka.address) as wire:
        assert list_offset(wire, "t", -1, isolation=READ_COMMITTED)[1] == 0
        producer.commit_transaction(30)
        eventually(
            "the commit", lambda: list_offset(wire, "t", -1, isolation=READ_COMMITTED)[1] == 2
        )
    assert texts(read_all(kafka.address, "t", isolation_level="read_committed")) == ["a"]


@ways_to_end
def test_a_fenced_life_stays_fenced(start_embedded: StartEmbedded, end: End) -> None:
    """The epochs of transactional ids go on."""
    kafka = start_embedded()
    request = InitProducerIdRequest_v0("tx", 30_000)
    with Wire(kafka.address) as wire:
        before = wire.ask(request)
    restart(kafka, end)
    with Wire(kafka.address) as wire:
        after = wire.ask(request)
    assert after.producer_id == before.producer_id
    assert after.producer_epoch == before.producer_epoch + 1


def test_an_automatically_created_topic_survives_kill(start_embedded: StartEmbedded) -> None:
    """It is durable before it is named, with its records and its id (kfake's lesson)."""
    kafka = start_embedded()
    admin = admin_of(kafka)
    for turn in range(3):
        name = f"auto-{turn}"
        assert send(make_producer(kafka.address), name, ["a", "b"]).offsets == [0, 1]
        before = topic_id(admin, name)
        restart(kafka, EmbeddedKafka.kill)
        assert topic_id(admin, name) == before
        assert texts(read_all(kafka.address, name)) == ["a", "b"]


def test_topics_appear_by_themselves_only_where_allowed(start_embedded: StartEmbedded) -> None:
    """A metadata request may forbid it, and so may the broker."""
    kafka, strict = start_embedded("free"), start_embedded("strict", no_auto_create_topics=True)
    for broker, creates, expected in [(kafka, False, 3), (kafka, True, 0), (strict, True, 3)]:
        with Wire(broker.address) as wire:

            def code(wire: Wire = wire, creates: bool = creates) -> int:  # noqa: FBT001
                ((found, *_),) = wire.ask(metadata_request(["auto"], creates=creates)).topics
                return int(found)

            eventually(f"code {expected}", lambda c=code, e=expected: c() == e)


def test_a_deleted_topic_stays_deleted(start_embedded: StartEmbedded) -> None:
    """Killed right after the answer, it does not come back."""
    kafka = start_embedded()
    admin = admin_of(kafka)
    create_topic(admin, kafka.address, "gone")
    send(make_producer(kafka.address), "gone", ["x"] * 10)
    only(admin.delete_topics(["gone"]))
    restart(kafka, EmbeddedKafka.kill)
    assert "gone" not in admin_of(kafka).list_topics(timeout=30).topics


BATCHES = 500_000
WIDTH = 50  # batches of one request, each for a partition of its own


@pytest.mark.slow
def test_half_a_million_tiny_batches_come_up(
    start_embedded: StartEmbedded, capsys: pytest.CaptureFixture[str]
) -> None:
    """Restarted after kill -9 every offset is there; the time is printed, not judged."""
    kafka = start_embedded()
    create_topic(admin_of(kafka), kafka.address, "tiny", WIDTH)
    _write_tiny_batches(kafka.address)
    kafka.kill()
    began = time.monotonic()
    kafka.start()
    with Wire(kafka.address) as wire:
        ends = [list_offset(wire, "tiny", -1, partition=number)[1] for number in range(WIDTH)]
        took = time.monotonic() - began
        assert ends == [BATCHES // WIDTH] * WIDTH
        for offset in (0, 4_321, BATCHES // WIDTH - 1):
            assert fetch(wire, "tiny", offset, partition=7).batches[0].base_offset == offset
    with capsys.disabled():
        print(f"\n{BATCHES:,} one-record batches: restarted in {took:.2f} s")  # noqa: T201


def _write_tiny_batches(address: str) -> None:
    """Send the same request of one batch per partition again and again, 32 in flight."""
    one = batch(values("x"))
    request = type(produce_request("tiny", one))
    parts = [(number, one) for number in range(WIDTH)]
    body = request(None, -1, 30_000, [("tiny", parts)])
    with Wire(address) as wire:
        frame = body.build_request_header(1, "fast").encode() + body.encode()
        frame = struct.pack(">i", len(frame)) + frame
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
        requests = BATCHES // WIDTH
        for number in range(requests + 32):
            if number < requests:
                wire.send_raw(frame)
            if number >= 32:
                answer = body.RESPONSE_TYPE.decode(wire.receive_frame()[4:])
                ((_, found),) = answer.topics
                assert {error for _, error, *_ in found} == {Errors.NONE}
