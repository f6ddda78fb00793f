"""Stores: rows in order, batches whole, discarded and reopened."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.tables import RocksStore, RocksStores, TableSettings, prefix_end


@pytest.fixture
def stores(tmp_path: Path) -> RocksStores:
    """Return the stores of a folder."""
    return RocksStores(tmp_path / "history")


@pytest.fixture
def store(stores: RocksStores) -> Iterator[RocksStore]:
    """Yield an open store."""
    one = stores.open(3)
    yield one
    one.close()


def test_rows_are_written_and_deleted_together(store: RocksStore) -> None:
    """One batch: values set, None deletes."""
    store.write({b"a": b"1", b"b": b"2"})
    store.write({b"a": None, b"b": b"3", b"c": b""})
    assert [store.get(key) for key in (b"a", b"b", b"c", b"d")] == [None, b"3", b"", None]


def test_a_scan_is_ascending_and_keeps_to_its_prefix(store: RocksStore) -> None:
    """Neighbours of a prefix are not seen, nor rows below the start."""
    store.write(dict.fromkeys((b"a", b"b", b"b1", b"b2", b"b\xff\xff", b"c"), b"v"))
    assert [key for key, _ in store.scan(b"b")] == [b"b", b"b1", b"b2", b"b\xff\xff"]
    assert [key for key, _ in store.scan(b"b", b"b2")] == [b"b2", b"b\xff\xff"]
    assert [key for key, _ in store.scan(b"b", b"a")] == [b"b", b"b1", b"b2", b"b\xff\xff"]
    assert list(store.scan(b"d")) == []
    assert len(list(store.scan(b""))) == 6


def test_a_prefix_of_highest_bytes_has_no_end(store: RocksStore) -> None:
    """There is no key above all keys that begin with 0xff."""
    store.write({b"\xff": b"1", b"\xff\xff": b"2", b"\xfe": b"3"})
    assert list(store.scan(b"\xff")) == [(b"\xff", b"1"), (b"\xff\xff", b"2")]


def test_a_scan_sees_one_moment(store: RocksStore) -> None:
    """What is written while a scan is open is not in it."""
    store.write({b"a1": b"", b"a2": b""})
    scan = store.scan(b"a")
    next(scan)
    store.write({b"a2": None, b"a3": b""})
    assert [key for key, _ in scan] == [b"a2"]


def test_a_prefix_is_deleted_whole(store: RocksStore) -> None:
    """All keys that begin with it, and no other."""
    store.write(dict.fromkeys((b"a", b"b", b"b\xff", b"b\xff1", b"c"), b"v"))
    store.delete_prefix(b"b")
    assert [key for key, _ in store.scan(b"")] == [b"a", b"c"]


def test_l6_a_discarded_store_is_empty(store: RocksStore, stores: RocksStores) -> None:
    """L6: a store of another log is folded anew."""
    store.write({b"a": b"1"})
    store.discard()
    assert list(store.scan(b"")) == []
    store.write({b"b": b"2"})
    store.close()
    again = stores.open(3)
    assert list(again.scan(b"")) == [(b"b", b"2")]
    again.close()


def test_closing_twice_is_closing_once(store: RocksStore, stores: RocksStores) -> None:
    """Rows survive; the lock is free."""
    store.write({b"a": b"1"})
    store.close()
    store.close()
    again = stores.open(3)
    assert again.get(b"a") == b"1"
    again.close()


@pytest.mark.usefixtures("store")
def test_v6_a_store_is_open_in_one_place_only(stores: RocksStores) -> None:
    """V6: whoever holds the locks knows that its former life is dead."""
    with pytest.raises(Exception, match="lock"):
        stores.open(3)


def test_v4_found_names_the_partitions_on_disk(stores: RocksStores) -> None:
    """V4: what is on disk is warm, or nearly."""
    assert stores.found() == set()
    for partition in (0, 12):
        stores.open(partition).close()
    assert stores.found() == {0, 12}


def test_many_rows_in_little_memory(tmp_path: Path) -> None:
    """Write buffers are flushed to files long before all rows are in memory."""
    settings = TableSettings(
        block_cache_bytes=1 << 20, write_buffers_bytes=1 << 20, write_buffer_bytes=1 << 18
    )
    store = RocksStores(tmp_path, settings).open(0)
    for start in range(0, 4_000, 100):
        store.write({b"k%06d" % at: bytes(1_000) for at in range(start, start + 100)})
    assert sum(1 for _ in store.scan(b"k")) == 4_000
    assert store.get(b"k003999") == bytes(1_000)
    store.close()


@given(st.binary(max_size=4), st.lists(st.binary(max_size=5)))
def test_prefix_end_is_the_least_key_above(prefix: bytes, keys: list[bytes]) -> None:
    """A key has a prefix exactly if it is at or above it and below its end."""
    end = prefix_end(prefix)
    for key in keys:
        is_within = key >= prefix and (end is None or key < end)
        assert key.startswith(prefix) == is_within


def _damage(folder: Path) -> None:
    """Overwrite the files of a store."""
    for path in folder.glob("*.sst"):
        path.write_bytes(b"noise" * 1_000)
    for path in folder.glob("MANIFEST-*"):
        path.write_bytes(b"noise" * 100)


def test_damaged_store_is_opened_empty(stores: RocksStores) -> None:
    """The log has all of it; a node never stays away for a store."""
    store = stores.open(7)
    store.write({b"key": b"value"})
    store.close()
    _damage(stores.folder / "7.rocksdb")
    again = stores.open(7)
    assert again.get(b"key") is None
    again.write({b"key": b"new"})
    assert again.get(b"key") == b"new"
    again.close()


def test_store_found_damaged_in_use_is_emptied_at_the_next_opening(stores: RocksStores) -> None:
    """What opens well may be damaged further in."""
    store = stores.open(7)
    store.write({b"key": b"value"})
    fault = store._unusable(Exception("Corruption: block checksum mismatch"))
    assert "made anew from the log at the next start" in str(fault)
    store.close()
    again = stores.open(7)
    assert again.get(b"key") is None
    again.close()
    assert stores.found() == {7}


def test_other_errors_say_that_nothing_is_lost(stores: RocksStores) -> None:
    """A full disk is one sentence, and the store stays."""
    store = stores.open(7)
    store.write({b"key": b"value"})
    fault = store._unusable(Exception("IO error: No space left on device"))
    assert str(fault).endswith("the node goes on from here once that is mended")
    store.close()
    again = stores.open(7)
    assert again.get(b"key") == b"value"
    again.close()
