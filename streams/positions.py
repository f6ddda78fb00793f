"""Positions: how a client reads its own writes in lists and counts (decision 15).

A write's answer says in its trailing metadata up to which transition its partition must be
indexed; a list or count that carries it back waits for that. `newest` waits for all that was
accepted when the list came. Clients take a position as it is; here it is `<partition>:<seq>`.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.errors import InvalidArgument

NAME: Final = "millrace-position"
"""Of the metadata, both ways."""
NEWEST: Final = "newest"


class Wanted(NamedTuple):
    """What must be in the index: by partition the seq, or all that there is now."""

    seqs: dict[int, int]
    is_newest: bool

    def __bool__(self) -> bool:
        return bool(self.seqs) or self.is_newest


def position_of(partition: int, seq: int) -> str:
    """Return the position of a transition."""
    return f"{partition}:{seq}"


def wanted_of(metadata: Sequence[tuple[str, str | bytes]]) -> Wanted:
    """Return what the positions of a call name; raises InvalidArgument."""
    seqs: dict[int, int] = {}
    is_newest = False
    for name, value in metadata:
        if name != NAME:
            continue
        for each in str(value).split(","):
            if each.strip() == NEWEST:
                is_newest = True
                continue
            partition, seq = _read(each.strip())
            seqs[partition] = max(seq, seqs.get(partition, 0))
    return Wanted(seqs, is_newest)


def _read(position: str) -> tuple[int, int]:
    partition, _, seq = position.partition(":")
    if not (partition.isdigit() and seq.isdigit()):
        raise InvalidArgument(f"expected a position of {NAME}, found {position!r}")
    return int(partition), int(seq)
