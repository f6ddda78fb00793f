"""Compaction and retention: what may be forgotten, and what never is."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from tests.infra.broker.conformance.clients import (
    make_producer,
    offsets,
    produce,
    read_all,
    send,
    watermarks,
)
from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.test_topics import set_configs
from tests.infra.broker.conformance.wire import T0, Wire, append, batch, list_offset, values

MakeTopic = Callable[..., str]
SEGMENT = 1 << 20  # the smallest that Kafka allows
FILLER = "x" * 20_000
COMPACT = {
    "cleanup_policy": "compact",
    "segment_bytes": SEGMENT,
    "min_cleanable_dirty_ratio": 0.01,
    "min_compaction_lag_ms": 0,
}
CLEANED = 60.0


def write_keys(address: str, topic: str, keys: int, rounds: int) -> dict[str, int]:
    """Write every key in every round, then a filler that closes the segment; newest offsets."""
    producer = make_producer(address, linger_ms=5, batch_num_messages=20)
    newest: dict[str, int] = {}
    for turn in range(rounds):
        for key in range(keys):
            name = f"k{key}"
            producer.produce(
                topic,
                f"{turn}:" + FILLER[:5_000],
                name,
                on_delivery=lambda _, m, name=name: newest.update({name: m.offset()}),
            )
        producer.poll(0)
    assert producer.flush(30) == 0
    fill(address, topic)
    return newest


def fill(address: str, topic: str) -> None:
    """Write one and a half segments of a key of its own, so that older segments are closed."""
    produce(address, topic, [FILLER] * 80, key="filler")


def keys_of(address: str, topic: str) -> dict[str, list[int]]:
    """Return the offsets at which each key but the filler's is found."""
    found: dict[str, list[int]] = {}
    for message in read_all(address, topic):
        found.setdefault(message.key().decode(), []).append(message.offset())
    found.pop("filler", None)
    return found


def test_the_newest_record_of_each_key_is_kept(address: str, make_topic: MakeTopic) -> None:
    """Older ones go, offsets stay those they had, the log still begins at 0."""
    topic = make_topic(**COMPACT)
    newest = write_keys(address, topic, keys=20, rounds=20)
    end = watermarks(address, topic)[1]

    def compacted() -> bool:
        return keys_of(address, topic) == {key: [offset] for key, offset in newest.items()}

    eventually("one record for each key", compacted, within=CLEANED, pause=0.3)
    assert watermarks(address, topic) == (0, end)
    found = read_all(address, topic)
    assert offsets(found) == sorted(offsets(found))
    kept = [m.value()[:3] for m in found if m.key() != b"filler"]
    assert kept == [b"19:"] * 20


def test_reading_from_a_compacted_away_offset_finds_the_next(
    address: str, make_topic: MakeTopic
) -> None:
    """A hole is not out of range; recovery ends by position (V3)."""
    topic = make_topic(**COMPACT)
    newest = write_keys(address, topic, keys=5, rounds=80)
    first = min(newest.values())
    eventually(
        "the first records to go",
        lambda: offsets(read_all(address, topic))[0] >= first,
        within=CLEANED,
        pause=0.3,
    )
    for start in (0, 1, first - 1):
        assert offsets(read_all(address, topic, start=start))[0] == first


def test_a_tombstone_removes_its_key(address: str, make_topic: MakeTopic) -> None:
    """The value goes at once, the tombstone after delete.retention.ms."""
    topic = make_topic(**COMPACT, delete_retention_ms=0)
    produce(address, topic, ["value"] * 3, key="gone")
    produce(address, topic, ["value"], key="stays")
    produce(address, topic, [None], key="gone")
    fill(address, topic)

    def removed() -> bool:
        fill(address, topic)  # each cleaning needs something dirty
        return set(keys_of(address, topic)) == {"stays"}

    eventually("the tombstone to go", removed, within=CLEANED, pause=0.5)


def test_a_tombstone_stays_as_long_as_asked(address: str, make_topic: MakeTopic) -> None:
    """With the default of a day a slow reader still sees the deletion."""
    topic = make_topic(**COMPACT)
    produce(address, topic, ["value"] * 3, key="gone")
    produce(address, topic, [None], key="gone")
    fill(address, topic)
    eventually(
        "the values to go",
        lambda: keys_of(address, topic) == {"gone": [3]},
        within=CLEANED,
        pause=0.3,
    )


def test_a_record_without_a_key_is_refused(address: str, make_topic: MakeTopic) -> None:
    """INVALID_RECORD on a compacted topic; keyed ones are taken."""
    topic = make_topic(cleanup_policy="compact")
    producer = make_producer(address)
    reports = send(producer, topic, ["keyless"])
    assert [error.code() for error in reports.errors] == [KafkaError.INVALID_RECORD]
    assert send(producer, topic, ["keyed"], key="k").offsets == [0]


def test_an_aborted_value_never_replaces_a_committed_one(
    address: str, make_topic: MakeTopic, name: str
) -> None:
    """The cleaner drops aborted records and keeps what was committed before."""
    topic = make_topic(**COMPACT)
    produce(address, topic, ["old"] * 2, key="k")
    producer = make_producer(address, transactional_id=name)
    producer.init_transactions(30)
    producer.begin_transaction()
    send(producer, topic, ["aborted"], key="k")
    producer.abort_transaction(30)
    fill(address, topic)
    fill(address, topic)
    eventually(
        "the older and the aborted one to go",
        lambda: keys_of(address, topic) == {"k": [1]},
        within=CLEANED,
        pause=0.3,
    )


def test_an_open_transaction_is_not_compacted_over(
    address: str, make_topic: MakeTopic, name: str
) -> None:
    """Behind the last stable offset nothing is cleaned."""
    topic = make_topic(**COMPACT)
    producer = make_producer(address, transactional_id=name, transaction_timeout_ms=60_000)
    producer.init_transactions(30)
    producer.begin_transaction()
    send(producer, topic, ["open"], key="open")
    produce(address, topic, ["a", "b"], key="k")
    fill(address, topic)
    other = make_topic(**COMPACT)
    newest = write_keys(address, other, keys=2, rounds=20)
    eventually(
        "another topic to be cleaned",
        lambda: keys_of(address, other) == {key: [offset] for key, offset in newest.items()},
        within=CLEANED,
        pause=0.3,
    )
    assert keys_of(address, topic) == {"open": [0], "k": [1, 2]}
    producer.commit_transaction(30)


def test_retention_by_bytes_deletes_whole_closed_segments(
    address: str, make_topic: MakeTopic
) -> None:
    """The beginning moves up, the newest records stay, at least as many bytes as asked."""
    topic = make_topic(segment_bytes=SEGMENT, retention_bytes=SEGMENT)
    produce(address, topic, [FILLER] * 300)
    low = eventually("a deletion", lambda: watermarks(address, topic)[0], within=CLEANED)
    low, high = watermarks(address, topic)
    assert high == 300
    assert (high - low) * len(FILLER) >= SEGMENT // 2
    assert offsets(read_all(address, topic, start=low)) == list(range(low, 300))


def test_retention_by_time_deletes_what_is_old(
    address: str, wire: Wire, make_topic: MakeTopic
) -> None:
    """Segments whose newest record is too old go; a fresh one stays."""
    topic = make_topic(segment_bytes=SEGMENT, retention_ms=600_000)
    for _ in range(60):
        append(wire, topic, batch(values(FILLER), timestamp=T0))
    now = int(time.time() * 1000)
    for _ in range(60):
        append(wire, topic, batch(values(FILLER), timestamp=now))
    low = eventually("a deletion", lambda: watermarks(address, topic)[0], within=CLEANED)
    assert 0 < low <= 60
    assert list_offset(wire, topic, now)[1] == 60


def test_nothing_is_deleted_unless_the_topic_says_so(
    admin: AdminClient, address: str, wire: Wire, make_topic: MakeTopic
) -> None:
    """Retention -1 keeps old and many; when the topic changes its mind, they go."""
    kept = make_topic(segment_bytes=SEGMENT, retention_ms=-1, retention_bytes=-1)
    other = make_topic(segment_bytes=SEGMENT, retention_ms=600_000)
    for _ in range(120):
        for topic in (kept, other):
            append(wire, topic, batch(values(FILLER), timestamp=T0))
    eventually("the other topic's deletion", lambda: watermarks(address, other)[0], within=CLEANED)
    assert watermarks(address, kept) == (0, 120)
    set_configs(admin, kept, retention_ms="600000")
    eventually("a deletion", lambda: watermarks(address, kept)[0], within=CLEANED)


@pytest.mark.parametrize("policy", ["compact,delete"])
def test_a_topic_may_be_compacted_and_deleted(
    address: str, make_topic: MakeTopic, policy: str
) -> None:
    """Both policies hold at once: bytes are bounded although all keys differ."""
    topic = make_topic(**(COMPACT | {"cleanup_policy": policy}), retention_bytes=SEGMENT)
    producer = make_producer(address)
    for number in range(300):
        producer.produce(topic, FILLER, f"k{number}")
    assert producer.flush(30) == 0
    eventually("a deletion", lambda: watermarks(address, topic)[0], within=CLEANED)
    assert watermarks(address, topic)[1] == 300
