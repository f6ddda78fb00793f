"""Replay equals live, checked in a running server (L7): accepted records are folded once more.

A second core folds each accepted record from its bytes, as a reader does, and must come to the rows
that deciding came to. Where it does not, the partition stops before anything of the batch is stored
or answered. A setting turns it on, since folding twice costs; nothing is repaired here.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import structlog

from streams.log.faults import LogFault
from streams.log.layers import Rows
from streams.log.ports import Store
from streams.log.records import Transition, decode
from topology import decision
from topology.machine import Machine

_log = structlog.get_logger(__name__)

_ENGINE = b"\x00"
_SHOWN = 2_000
"""So much of a row or a transition is shown."""

Written = Sequence[tuple[bytes | None, bytes | None]]


class _Difference(NamedTuple):
    """A row that replaying did not make as deciding did."""

    key: bytes
    live: bytes | None
    replayed: bytes | None


class Replaying:
    """The second core of one partition."""

    def __init__(self, store: Store, make_machine: Callable[[decision.Rows], Machine]) -> None:
        self._rows = _Overlay(store)
        self._machine = make_machine(self._rows)

    def forget(self) -> None:
        """Read all rows anew: they changed behind our back."""
        self._machine.forget()

    def check(self, partition: int, records: Written, live: Rows) -> None:
        """Fold accepted records over the stored rows; raises LogFault where `live` differs."""
        transitions = [
            read for _, value in records if isinstance(read := decode(value), Transition)
        ]
        self._rows.made = {}
        for each in transitions:
            self._rows.made.update(self._machine.fold(each.changes, decided_at=each.decided_at))
        found = self._difference(live)
        self._rows.made = {}
        self._machine.settle()
        if found is not None:
            raise _fault(partition, found, transitions)

    def _difference(self, live: Rows) -> _Difference | None:
        made, stored = self._rows.made, self._rows.store
        for key in live.keys() | made.keys():
            if key.startswith(_ENGINE):
                continue
            was_live = live[key] if key in live else stored.get(key)
            replayed = made[key] if key in made else stored.get(key)
            if was_live != replayed:
                return _Difference(key, was_live, replayed)
        return None


class _Overlay:
    """The stored rows, and over them what was made so far; implements `topology.decision.Rows`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.made: Rows = {}

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        return self.made[key] if key in self.made else self.store.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the stored rows whose keys have a prefix, ascending, from `start` on."""
        return self.store.scan(prefix, start)


def _fault(partition: int, found: _Difference, transitions: list[Transition]) -> LogFault:
    """Log a difference with the transition that made the row, or else all that might have."""
    run_ids = [change.run_id for each in transitions for change in each.changes]
    named = [run_id for run_id in run_ids if run_id and run_id.encode() in found.key]
    makers = [
        each
        for each in transitions
        if not named or any(change.run_id in named for change in each.changes)
    ]
    _log.critical(
        "replay_differs",
        partition=partition,
        row=repr(found.key),
        live=repr(found.live)[:_SHOWN],
        replayed=repr(found.replayed)[:_SHOWN],
        transitions=[repr(each)[:_SHOWN] for each in makers],
    )
    seqs = [each.seq for each in makers]
    return LogFault(
        f"events-{partition}: replaying transitions {seqs} gives another row {found.key!r} "
        "than deciding them did: nothing of them was stored or answered"
    )
