"""What a store promises, asked of both: objects whole or not at all, listed in order."""

from collections.abc import Iterator

import pytest

from archival.archive import Archive
from archival.store import Missing, Store

KEYS = ("a", "a b/c", "a/b", "a/b/c", "a/é", "a0", "b/x", "b/x.json", "b/x/y", "b/z")


@pytest.fixture
def store(archive: Archive) -> Store:
    """A store with some objects; `a` and `a/b` cannot both be files, so names have an end."""
    for key in KEYS:
        assert archive.store.put_new(f"{key}.o", [key.encode()])
    return archive.store


def names(found: Iterator[object]) -> list[str]:
    """Return keys without their end."""
    return [str(one.key).removesuffix(".o") for one in found]  # type: ignore[attr-defined]  # entries


def test_objects_are_listed_in_order_of_their_names(store: Store) -> None:
    """As the bytes of names go, folders or not; from a name on, and only so many."""
    ordered = [key.removesuffix(".o") for key in sorted(f"{key}.o" for key in KEYS)]
    assert ordered == names(store.list(""))
    assert [one for one in ordered if one.startswith("a/")] == names(store.list("a/"))
    assert [one for one in ordered if one.startswith("b/x")] == names(store.list("b/x"))
    for at, key in enumerate(ordered):
        assert ordered[at + 1 :] == names(store.list("", after=f"{key}.o"))
    assert ordered[:3] == names(store.list("", limit=3))
    assert [] == names(store.list("none/"))
    assert [len(b"a/b/c")] == [one.size_bytes for one in store.list("a/b/c")]


def test_folders_are_what_stands_before_the_next_slash(store: Store) -> None:
    """Once each."""
    assert {"a", "a b", "b"} == set(store.folders("")) - {"millrace"}
    assert ["b"] == list(store.folders("a/"))
    assert [] == list(store.folders("none/"))


def test_an_object_is_read_whole_or_in_part(store: Store) -> None:
    """And its size is known."""
    store.put_new("part", [b"0123", b"4567", b"89"])
    assert b"0123456789" == store.get("part")
    assert b"345" == store.get("part", 3, 3)
    assert b"6789" == store.get("part", 6)
    assert b"0123456789" == b"".join(store.read("part"))
    assert 10 == store.size("part")
    store.put_new("empty", [])
    assert (b"", 0) == (store.get("empty"), store.size("empty"))


def test_what_is_missing_is_said_to_be(store: Store) -> None:
    """By every way of reading."""
    for read in (store.get, lambda key: list(store.read(key))):
        with pytest.raises(Missing):
            read("none/here")
    assert store.size("none/here") is None


def test_the_first_writer_of_a_name_wins_and_put_replaces(store: Store) -> None:
    """Exactly one wrote."""
    assert store.put_new("one", [b"first"])
    assert not store.put_new("one", [b"second"])
    assert b"first" == store.get("one")
    store.put("one", [b"third"])
    assert b"third" == store.get("one")


def test_deleting_is_repeatable(store: Store) -> None:
    """What is not there is no matter; the rest stays."""
    for _ in range(2):
        store.delete(["a.o", "none", "b/z.o"])
    assert len(KEYS) - 2 == len(names(store.list("")))
    store.delete([])
