"""The outbox in the store (L15): one row for each transition with effects, until they are done.

A row goes when its effects were performed here, or when an accepted transition says that all up to
its seq were. Who performs them lives in `outbox.py`.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from schemas.rows import pack, unpacker
from streams.log.layers import Rows
from streams.log.ports import Store
from topology.effects import Effect, effect_of

PREFIX = b"\x00o"


class OutboxRow(msgspec.Struct, frozen=True, array_like=True):
    """The effects of one transition, as they stand in it."""

    effects: tuple[bytes, ...]


_unpack = unpacker(OutboxRow)


class OutboxRows:
    """Which accepted transitions have a row."""

    def __init__(self) -> None:
        self._seqs: set[int] = set()
        self._order: deque[int] = deque()

    def load(self, store: Store) -> None:
        """Read which rows a store has."""
        self._order = deque(int.from_bytes(key[2:]) for key, _ in store.scan(PREFIX))
        self._seqs = set(self._order)

    def put(self, seq: int, effects: Sequence[bytes], rows: Rows) -> None:
        """Write the row of a decided transition."""
        rows[_key(seq)] = pack(OutboxRow(tuple(effects)))

    def on_accepted(self, seq: int) -> None:
        """Its transition is accepted."""
        self._seqs.add(seq)
        self._order.append(seq)

    def on_performed(self, performed: int, rows: Rows) -> None:
        """An accepted transition says that all effects up to a seq are done."""
        order = self._order
        while order and order[0] <= performed:
            self.delete(order.popleft(), rows)

    def delete(self, seq: int, rows: Rows) -> None:
        """Delete the row of a transition whose effects are done."""
        if seq in self._seqs:
            self._seqs.discard(seq)
            rows[_key(seq)] = None

    def done_below(self) -> int | None:
        """Return the seq of the first row; None: there is no row."""
        order = self._order
        while order and order[0] not in self._seqs:
            order.popleft()
        return order[0] if order else None

    def outstanding(self, store: Store) -> Iterator[tuple[int, list[Effect]]]:
        """Yield what is yet to be performed, in order."""
        for seq in sorted(self._seqs):
            packed = store.get(_key(seq))
            assert packed is not None, f"expected the effects of seq {seq} to have a row"
            yield seq, [effect_of(body) for body in _unpack(packed).effects]


def _key(seq: int) -> bytes:
    return PREFIX + seq.to_bytes(8)
