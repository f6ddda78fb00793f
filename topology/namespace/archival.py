"""Where a namespace's closed runs are archived, history and visibility each for themselves.

    never {disabled, ""} --enable, or a URI--> {enabled, URI} or {disabled, URI}
    {enabled, URI} --disable--> {disabled, URI} --enable--> {enabled, URI}

A URI never changes, and nothing changes while the server has no archival of that kind. Whether a
store can be opened at a URI is asked before, in the shells.
"""

from typing import Final

import msgspec

from schemas.errors import InvalidArgument
from schemas.temporal import enums

DISABLED: Final = int(enums.ArchivalState.ARCHIVAL_STATE_DISABLED)
ENABLED: Final = int(enums.ArchivalState.ARCHIVAL_STATE_ENABLED)


class Archival(msgspec.Struct, frozen=True, array_like=True):
    """How a namespace archives one of the two; the default: it never did."""

    state: int = DISABLED  # temporal.api.enums.v1.ArchivalState
    uri: str = ""

    @property
    def target(self) -> str:
        """The URI that runs which close now go to; empty: they are not archived."""
        return self.uri if self.state == ENABLED else ""


class Offered(msgspec.Struct, frozen=True):
    """What the server offers of one of the two, to namespaces that do not say otherwise."""

    is_configured: bool = False
    state: int = DISABLED  # of a namespace that is registered without one
    uri: str = ""  # of a namespace that enables archival without one


class Archivals(msgspec.Struct, frozen=True):
    """What the server offers of both."""

    history: Offered = Offered()
    visibility: Offered = Offered()


def registered(state: int, uri: str, offered: Offered) -> Archival:
    """Return how a new namespace archives; raises InvalidArgument."""
    return changed(Archival(), state or offered.state, uri, offered)


def changed(known: Archival, state: int, uri: str, offered: Offered) -> Archival:
    """Return how a namespace archives after an update asked for a state and a URI.

    State 0 and an empty URI ask for nothing. Raises InvalidArgument.
    """
    if not offered.is_configured:
        return known
    if uri and known.uri and uri != known.uri:
        raise InvalidArgument("Cannot update existing archival URI")
    uri = known.uri or uri
    if state == ENABLED and not (uri := uri or offered.uri):
        raise InvalidArgument(
            "Encountered illegal event: default URI is not set (should be impossible)"
        )
    return Archival(state or known.state, uri)
