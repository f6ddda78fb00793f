"""All entities of one partition behind one door: rows in, decisions out.

The engine owns a `Machine` for each partition it serves or follows. It is pure but for its cache
of decoded entities, which `forget` empties (L5).
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from topology.decision import Ask, Change, Decision, ReplyBody, Rows
from topology.effects import Forward, Quote


class Machine(Protocol):
    """What the engine asks of the core."""

    def decide(self, ask: Ask, *, now: int, seed: bytes) -> Decision:
        """Decide one ask at `now` (ns); ids come from `seed`. Raises Rejected: nothing happened."""
        ...

    def decide_too_large(self, ask: Ask, *, now: int, seed: bytes) -> Decision:
        """Decide again an ask whose transition was above 4 MiB: terminate its run (L14)."""
        ...

    def fold(self, changes: Iterable[Change], *, decided_at: int) -> dict[bytes, bytes | None]:
        """Apply accepted changes; return the rows to write. Total: a bug raises (L7)."""
        ...

    def answer_again(self, ask: Ask, outcome: str, run_id: str) -> ReplyBody:
        """Answer a repeat of a command whose outcome is known (L12)."""
        ...

    def read(self, method: str, request: object, namespace_id: str, rows: Rows) -> bytes:
        """Answer a read of accepted state: describe, history pages. Raises NotFound."""
        ...

    def parse_forward(self, method: str, request: bytes, event: bytes) -> object:
        """Return the request of a forward (L16), with the event that came with it."""
        ...

    def forward_failed(self, method: str, request: bytes, event: bytes) -> Forward | None:
        """Return what a sender must hear whose forward cannot be decided, if it waits (L13)."""
        ...

    def quoted(self, quotes: Sequence[Quote], rows: Rows) -> list[bytes]:
        """Return the history events that travel with forwards, from accepted rows."""
        ...

    def due(self, rows: Rows, *, after: bytes, until: int, limit: int) -> list[tuple[bytes, Ask]]:
        """Return (due key, FireDue ask) for runs with something due by `until`, oldest first."""
        ...

    def next_due_at(self, rows: Rows, *, after: bytes) -> int | None:
        """Return the instant of the first due row behind `after`, if any."""
        ...

    def rows_of_deleted(self, key: bytes) -> Sequence[bytes]:
        """Return the prefixes of rows that nobody reads any more, by the key that tells of them."""
        ...

    def forget(self) -> None:
        """Drop every cached entity: what was decided may not have been accepted."""
        ...

    def settle(self) -> None:
        """All that was decided so far is stored: cached entities may be evicted."""
        ...
