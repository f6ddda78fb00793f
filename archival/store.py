"""What a store of objects promises; `files.py` and `s3.py` keep it.

A key is parts joined by `/`, each from `names.part` or of plain letters. Stores are synchronous
and may be used by several threads; whoever awaits runs them in threads. Every method may raise
Unavailable, and InvalidArgument when the bucket or folder is not there.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec


class Missing(Exception):
    """There is no object of this name."""


class Entry(msgspec.Struct, frozen=True):
    """One object, or with `is_folder` all that begins with its key."""

    key: str
    size_bytes: int = 0
    modified_at: int = 0  # ns, by the store's clock
    is_folder: bool = False


class Store(Protocol):
    """Objects by name: each is there whole or not at all."""

    def check(self) -> None:
        """Raise InvalidArgument unless objects can be kept here."""
        ...

    def put_new(self, key: str, body: Iterable[bytes]) -> bool:
        """Write an object durably unless one of this name is there; return whether it wrote.

        Of any number of writers of one name exactly one writes. When `body` raises, nothing is
        there. An answer that was lost may be told as "was there": compare.
        """
        ...

    def put(self, key: str, body: Iterable[bytes]) -> None:
        """Write an object durably, in place of the one that may be there."""
        ...

    def get(self, key: str, start: int = 0, count: int = -1) -> bytes:
        """Return an object or a part of it; raises Missing."""
        ...

    def read(self, key: str) -> Iterator[bytes]:
        """Return an object in pieces; raises Missing at the first."""
        ...

    def size(self, key: str) -> int | None:
        """Return the bytes of an object, None if there is none."""
        ...

    def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Iterator[Entry]:
        """Return the objects whose keys begin so and lie behind `after`, in order of their keys.

        `limit` (0: none) is how many are wanted, so that no more are asked for.
        """
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """Return what stands between `prefix` and the next `/` of the keys that go on so."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no matter."""
        ...

    def close(self) -> None:
        """Close it; idempotent."""
        ...
