"""Who is who: the partition of a key is Kafka's own."""

from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import murmur2, partition_of, queue_partition, workflow_key, workflow_partition


@given(st.binary(max_size=200))
def test_murmur2_equals_kafkas(key: bytes) -> None:
    """The hash of any key is the one of Kafka's clients."""
    assert reference(key) & 0xFFFFFFFF == murmur2(key)


def test_known_hashes() -> None:
    """Vectors of Kafka's own unit test (UtilsTest.testMurmur2), as unsigned numbers."""
    vectors = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert {key: value & 0xFFFFFFFF for key, value in vectors.items()} == {
        key: murmur2(key) for key in vectors
    }


@given(st.binary(max_size=50), st.integers(1, 1000))
def test_a_partition_is_one_of_them(key: bytes, partitions: int) -> None:
    """Every key has a partition, whatever their number."""
    assert 0 <= partition_of(key, partitions) < partitions


def test_workflows_and_queues_hash_their_keys() -> None:
    """A workflow's key names namespace and id; a queue's its namespace id and name."""
    assert workflow_key("ns", "w/ä") == "ns/w/ä".encode()
    assert workflow_partition("ns", "w", 7) == partition_of(b"ns/w", 7)
    assert queue_partition("id", "q", 7) == partition_of(b"id/q", 7)
