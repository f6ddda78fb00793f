"""The state of a partition that is stored with its rows, in the same write.

It is a row of its own under `KEY`; keys that begin with a zero byte belong to the engine, all
others to the core. A row that was written by another version means: discard and fold anew.
"""

from typing import Final

import msgspec

from schemas.rows import pack, unpacker
from streams.log.ports import Store

KEY: Final = b"\x00p"


class Source(msgspec.Struct, frozen=True, array_like=True):
    """How far one command topic was read: the last offset covered (L8)."""

    topic_id: str
    position: int


class Position(msgspec.Struct, array_like=True):
    """Where the fold of one partition stands."""

    epoch: int = 0
    incarnation: bytes = bytes(8)
    seq: int = 0
    next_offset: int = 0
    """Advances over every record."""
    accepted_offset: int = -1
    """Offset of the last accepted record."""
    log_id: str = ""
    """Topic id of `events` (L6)."""
    sources: dict[str, Source] = {}
    """By command topic."""
    received: dict[str, int] = {}
    """Counter of the last forward taken, by sender (L16)."""
    sent: dict[str, int] = {}
    """Counter of the last forward sent, by receiver (L16)."""
    performed: int = 0
    """All effects of records up to this seq are done (L15)."""
    recorded_at: int = 0
    """The newest recorded instant, ns: time never goes back behind it (T1)."""
    generation: int = 0
    partitions: int = 0
    command_ends: dict[str, Source] = {}
    """Of the newest claim: the last offset in each command topic then (L12, T2)."""


_unpack = unpacker(Position)


def load(store: Store) -> Position:
    """Read the position of a store; a new one stands at the beginning."""
    row = store.get(KEY)
    return _unpack(row) if row is not None else Position()


def row_of(position: Position) -> bytes:
    """Return the position as a row."""
    return pack(position)
