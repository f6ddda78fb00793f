"""What a call carries of our own when it goes from node to node, and what of a client's (C2, C6).

The id names the command, or the poll, through all repeats (L12, C4). Whatever a client says in our
names on the public port is dropped; this file trusts the internal port.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from schemas.errors import InvalidArgument

Metadata = Sequence[tuple[str, str | bytes]]

ID_BYTES: Final = 16
_ID: Final = "millrace-id-bin"
_NAMESPACES: Final = "millrace-namespaces"
_PRINCIPAL: Final = "millrace-principal"
_OF_A_HOP: Final = ("millrace-", "grpc-", ":")  # ours, and what belongs to one connection
_OF_A_CONNECTION: Final = frozenset({"user-agent", "content-type", "te", "host", "connection"})


class Asked(msgspec.Struct, frozen=True):
    """One request of a client, the same on every node that sees it."""

    id: bytes
    """Command id, and poll id."""
    namespaces_position: int = 0
    """How far the first frontend had read `namespaces` (N1)."""
    principal: str = ""
    """Who asks; empty for now."""


def headers(asked: Asked, of_client: Iterable[tuple[str, str | bytes]] = ()) -> Metadata:
    """Return the metadata of a call to another node."""
    kept = [
        pair
        for pair in of_client
        if not pair[0].startswith(_OF_A_HOP) and pair[0] not in _OF_A_CONNECTION
    ]
    kept += [(_ID, asked.id), (_NAMESPACES, str(asked.namespaces_position))]
    if asked.principal:
        kept.append((_PRINCIPAL, asked.principal))
    return kept


def asked_of(metadata: Metadata) -> Asked:
    """Read what another node sent; raises InvalidArgument."""
    found = dict(metadata)
    command_id = found.get(_ID)
    position = found.get(_NAMESPACES, "0")
    if not isinstance(command_id, bytes) or not str(position).isdigit():
        raise InvalidArgument("expected a call of a node, found one without its id")
    return Asked(command_id, int(position), str(found.get(_PRINCIPAL, "")))
