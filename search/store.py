"""What a search store promises; `sqlite.py` and `elastic.py` keep it, and answer alike.

Stores are synchronous: whoever awaits runs them in threads. Every method may raise Unavailable,
writes also Superseded.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self

import msgspec

from schemas.errors import Unavailable
from search.attributes import Value
from search.document import Document
from search.query.expressions import Query


class Superseded(Unavailable):
    """The generation written to is no longer the live one: read the cursors again."""


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where the reader of a partition goes on, and which record it took last (V1, L6)."""

    offset: int  # of the last record whose change is in the store
    epoch: int = 0
    incarnation: bytes = b""
    seq: int = 0
    topic_id: str = ""


class Position(msgspec.Struct, frozen=True):
    """How far a store is, and which generation of it that is true of."""

    generation: str
    cursors: Mapping[int, Cursor]  # by partition


class Deletion(msgspec.Struct, frozen=True):
    """A run is gone; its version, above all others, keeps late writes from bringing it back."""

    namespace_id: str
    run_id: str
    version: int


RunKey = tuple[str, str]
"""Namespace id and run id."""


class Batch(msgspec.Struct, frozen=True):
    """What is written together. The cursors hold once all the rest is in.

    A change whose version is not above the stored one is dropped: it was there already.
    """

    documents: Sequence[Document] = ()
    deletions: Sequence[Deletion] = ()
    cursors: Mapping[int, Cursor] = {}


class Page(msgspec.Struct, frozen=True):
    """One page of a list; no token: it was the last one."""

    documents: tuple[Document, ...]
    token: bytes = b""


class Health(msgspec.Struct, frozen=True):
    """Whether the store answers, what it is, and how much it holds."""

    is_serving: bool
    description: str
    runs_count: int = 0


CatchUp = Callable[[Mapping[int, Cursor]], None]
"""Brings a store that is being built at least to these cursors."""


def already(_: Mapping[int, Cursor]) -> None:
    """Nothing is missing."""


class Store(Protocol):
    """One search store: its live generation, or with `beside` one that is being built."""

    def position(self) -> Position:
        """Return the cursors of what is durably in the store."""
        ...

    def write(self, batch: Batch, generation: str) -> None:
        """Write a batch durably; Superseded if `generation` is not the one to write to."""
        ...

    def refresh(self) -> None:
        """Return when everything written before is visible to lists and counts."""
        ...

    def find(self, runs: Sequence[RunKey]) -> dict[RunKey, Document]:
        """Return the records of some runs as they were last written."""
        ...

    def list(self, namespace_id: str, query: Query, size: int, token: bytes = b"") -> Page:
        """Return a page: open runs first, then the newest closed, unless the query says else.

        A token goes on behind the last run of its page, whatever has come in meanwhile. Raises
        InvalidArgument for a token of another query's order.
        """
        ...

    def count(self, namespace_id: str, query: Query) -> int:
        """Return how many runs match."""
        ...

    def count_groups(self, namespace_id: str, query: Query) -> dict[Value, int]:
        """Return how many runs match by value of `query.group_by`; lacking it counts as ""."""
        ...

    def add_attributes(self, namespace_id: str, attributes: Mapping[str, int]) -> None:
        """Make custom attributes (name to type) searchable, at once and on every node."""
        ...

    def forget_deletions(self, before: int) -> int:
        """Forget what keeps runs deleted before an instant (ns) from coming back; how many."""
        ...

    def beside(self) -> Self:
        """Return an empty store that is built beside the live one, for `replace_by`."""
        ...

    def replace_by(self, rebuilt: Self, catch_up: CatchUp = already) -> None:
        """Make a store from `beside` the live one atomically and remove the old one.

        `catch_up` is given what the live one has: it brings the other one as far.
        """
        ...

    def discard(self) -> None:
        """Remove a store from `beside` that is not wanted."""
        ...

    def health(self) -> Health:
        """Say how it is; does not raise."""
        ...

    def close(self) -> None:
        """Close it; idempotent."""
        ...
