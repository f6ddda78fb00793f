"""What a list of archived runs asks for: a filter, and a page token.

The filter is the caller's: what knows the query language says which runs match, and gives hints
(conditions that every match fulfils), by which whole files are passed over unread.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from archival.row import ArchivedRun, Position
from schemas.errors import InvalidArgument

TEXTS: Final = (
    "workflow_type",
    "workflow_id",
    "run_id",
    "status",
    "task_queue",
    "parent_workflow_id",
    "root_workflow_id",
)
"""Columns that `Hints.equal` may name."""
TIMES: Final = ("closed_at", "started_at")
"""Columns that `Hints.at_least` and `Hints.at_most` may name, in ns."""


class Hints(msgspec.Struct, frozen=True):
    """Conditions that every matching run fulfils, by column of ArchivedRun."""

    equal: Mapping[str, frozenset[str]] = {}  # is one of these
    at_least: Mapping[str, int] = {}
    at_most: Mapping[str, int] = {}


class Filter(Protocol):
    """Which runs are wanted."""

    @property
    def hints(self) -> Hints:
        """Conditions that every match fulfils; more of them make a list faster, never other."""
        ...

    def matches(self, run: ArchivedRun) -> bool:
        """Whether a run is wanted."""
        ...


class Matching(msgspec.Struct, frozen=True):
    """A `Filter` that its hints say whole."""

    hints: Hints = Hints()

    def matches(self, run: ArchivedRun) -> bool:  # noqa: ARG002 - the hints have decided
        """Whether a run is wanted: those that fulfil the hints are."""
        return True


class Page(msgspec.Struct, frozen=True):
    """A page of a list, the last closed first; no token: it was the last page.

    A page may have fewer runs than were asked for, none even, and a token all the same.
    """

    runs: tuple[ArchivedRun, ...]
    token: bytes = b""


_decoder = msgspec.json.Decoder(Position)


def pack_token(position: Position) -> bytes:
    """Return the token of a page; the next one has what stands behind this position."""
    return msgspec.json.encode(position)


def unpack_token(token: bytes) -> Position | None:
    """Return the position a page goes on behind, None for the first; raises InvalidArgument."""
    if not token:
        return None
    try:
        position: Position = _decoder.decode(token)
    except msgspec.DecodeError:
        raise InvalidArgument("next page token is corrupted") from None
    return position
