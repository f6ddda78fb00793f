"""Rows in layers: what is decided lies over what is in flight, that over what is stored.

A decision reads through all of them; nothing is ever removed from a layer: a whole layer is
written to the store at once, or dropped (L5).
"""

from collections.abc import Iterator

from streams.log.ports import Store

Rows = dict[bytes, bytes | None]


class Layers:
    """The rows a decision sees; implements `topology.decision.Rows`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.decided: Rows = {}
        self.in_flight: Rows = {}

    def get(self, key: bytes) -> bytes | None:
        """Return a row: the newest decided one, else the one in flight, else the stored one."""
        decided = self.decided
        if key in decided:
            return decided[key]
        in_flight = self.in_flight
        if key in in_flight:
            return in_flight[key]
        return self.store.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the stored rows whose keys have a prefix, ascending, from `start` on."""
        return self.store.scan(prefix, start)

    def launch(self) -> Rows:
        """What was decided is in flight now; return it."""
        assert not self.in_flight, "expected one append of a partition in flight at a time"
        self.in_flight, self.decided = self.decided, {}
        return self.in_flight

    def land(self) -> None:
        """What was in flight is stored."""
        self.in_flight = {}

    def drop(self) -> None:
        """Forget everything that is not stored."""
        self.decided = {}
        self.in_flight = {}
