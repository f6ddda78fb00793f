"""Outcomes of commands by their ids (L12): a repeat is answered again and not executed.

One row for each transition that answers commands; in memory only which transition answered an id.
Kept for two minutes of recorded time and at least the newest 20,000; what is let go depends on
accepted records alone, so every fold of the log lets go of the same.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from schemas.instants import SECOND
from schemas.rows import pack, unpacker
from streams.log.layers import Layers, Rows
from streams.log.ports import Store
from streams.log.records import Answer
from streams.log.settings import EngineSettings

PREFIX = b"\x00a"


class AnswersRow(msgspec.Struct, frozen=True, array_like=True):
    """How the commands of one transition ended."""

    decided_at: int
    answers: tuple[tuple[bytes, str, str], ...]


_unpack = unpacker(AnswersRow)


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    decided_at: int
    seq: int
    command_ids: tuple[bytes, ...]


class Answers:
    """Which commands were answered lately, and how; one partition."""

    def __init__(self, settings: EngineSettings) -> None:
        self._keep_count = settings.answers_keep_count
        self._keep = int(settings.answers_keep_s * SECOND)
        self._seq_of: dict[bytes, int] = {}
        self._kept: deque[_Kept] = deque()
        self._count = 0

    def load(self, store: Store) -> None:
        """Read what a store remembers."""
        self._seq_of.clear()
        self._kept.clear()
        self._count = 0
        for key, packed in store.scan(PREFIX):
            row = _unpack(packed)
            self._keep_row(row.decided_at, int.from_bytes(key[2:]), row.answers)

    def outcome(self, command_id: bytes, rows: Layers) -> Answer | None:
        """Return how a command ended, decided ones included."""
        seq = self._seq_of.get(command_id)
        if seq is None:
            return None
        packed = rows.get(_key(seq))
        assert packed is not None, f"expected the answers of seq {seq} to have a row"
        found = (each for each in _unpack(packed).answers if each[0] == command_id)
        return Answer(*next(found))

    def on_decided(
        self, seq: int, decided_at: int, answers: Sequence[Answer], rows: Rows
    ) -> tuple[bytes, ...]:
        """Note the answers of a decided transition and write their row; return the ids."""
        rows[_key(seq)] = pack(AnswersRow(decided_at, tuple(answers)))
        for answer in answers:
            self._seq_of[answer[0]] = seq
        return tuple(answer[0] for answer in answers)

    def on_accepted(
        self, seq: int, decided_at: int, command_ids: tuple[bytes, ...], rows: Rows
    ) -> None:
        """Keep the answers of an accepted transition and let old ones go."""
        if command_ids:
            self._kept.append(_Kept(decided_at, seq, command_ids))
            self._count += len(command_ids)
        horizon = decided_at - self._keep
        kept = self._kept
        while (
            kept
            and kept[0].decided_at < horizon
            and self._count - len(kept[0].command_ids) >= self._keep_count
        ):
            self._let_go(kept.popleft(), rows)

    def drop(self, command_ids: Iterable[bytes]) -> None:
        """Forget commands whose transition was never accepted (L5)."""
        for command_id in command_ids:
            self._seq_of.pop(command_id, None)

    def _keep_row(
        self, decided_at: int, seq: int, answers: Iterable[tuple[bytes, str, str]]
    ) -> None:
        command_ids = tuple(answer[0] for answer in answers)
        for command_id in command_ids:
            self._seq_of[command_id] = seq
        self._kept.append(_Kept(decided_at, seq, command_ids))
        self._count += len(command_ids)

    def _let_go(self, old: _Kept, rows: Rows) -> None:
        self._count -= len(old.command_ids)
        rows[_key(old.seq)] = None
        for command_id in old.command_ids:
            if self._seq_of.get(command_id) == old.seq:
                del self._seq_of[command_id]


def _key(seq: int) -> bytes:
    return PREFIX + seq.to_bytes(8)
