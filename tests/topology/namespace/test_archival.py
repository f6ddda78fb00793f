"""The archival states of a namespace, row by row of Temporal's table."""

import pytest

from schemas.errors import InvalidArgument
from topology.namespace.archival import DISABLED, ENABLED, Archival, Offered, changed, registered

SERVER = Offered(is_configured=True, state=DISABLED, uri="file:///server")
NEVER = Archival()
ON = Archival(ENABLED, "file:///own")
OFF = Archival(DISABLED, "file:///own")


@pytest.mark.parametrize(
    ("known", "state", "uri", "expected"),
    [
        (NEVER, ENABLED, "file:///own", ON),
        (NEVER, ENABLED, "", Archival(ENABLED, "file:///server")),
        (NEVER, DISABLED, "file:///own", OFF),
        (NEVER, DISABLED, "", NEVER),
        (NEVER, 0, "file:///own", OFF),
        (NEVER, 0, "", NEVER),
        (ON, ENABLED, "file:///own", ON),
        (ON, ENABLED, "", ON),
        (ON, DISABLED, "file:///own", OFF),
        (ON, DISABLED, "", OFF),
        (ON, 0, "", ON),
        (OFF, ENABLED, "file:///own", ON),
        (OFF, ENABLED, "", ON),
        (OFF, DISABLED, "", OFF),
        (OFF, 0, "file:///own", OFF),
    ],
)
def test_an_update_leads_to_the_next_state(
    known: Archival, state: int, uri: str, expected: Archival
) -> None:
    """Each asked state and URI leads where Temporal's state machine leads."""
    assert changed(known, state, uri, SERVER) == expected


@pytest.mark.parametrize("known", [ON, OFF])
@pytest.mark.parametrize("state", [0, ENABLED, DISABLED])
def test_a_uri_never_changes(known: Archival, state: int) -> None:
    """Another URI is refused in every state."""
    with pytest.raises(InvalidArgument, match="Cannot update existing archival URI"):
        changed(known, state, "file:///other", SERVER)


def test_enabling_needs_a_uri() -> None:
    """Without a URI of its own or the server's, a namespace cannot archive."""
    with pytest.raises(InvalidArgument, match="default URI is not set"):
        changed(NEVER, ENABLED, "", Offered(is_configured=True))


def test_without_archival_on_the_server_nothing_is_asked() -> None:
    """What a request says of archival is passed over where the server has none."""
    assert changed(NEVER, ENABLED, "file:///own", Offered()) == NEVER
    assert registered(ENABLED, "file:///own", Offered()) == NEVER


def test_a_new_namespace_takes_the_servers_default() -> None:
    """A registration that says nothing gets the state and URI that the server gives."""
    server = Offered(is_configured=True, state=ENABLED, uri="file:///server")
    assert registered(0, "", server) == Archival(ENABLED, "file:///server")
    assert registered(DISABLED, "", server) == NEVER


def test_only_an_enabled_archive_is_a_target() -> None:
    """A URI that is kept while archival is off is no target."""
    assert (ON.target, OFF.target, NEVER.target) == ("file:///own", "", "")
