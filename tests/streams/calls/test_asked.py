"""Our own metadata: the same on every node, and nobody else's."""

import pytest

from schemas.errors import InvalidArgument
from streams.calls.asked import Asked, asked_of, headers


def test_c2_request_keeps_its_id_on_its_way() -> None:
    """Command and poll id, the position of `namespaces`, and who asks."""
    asked = Asked(b"0123456789abcdef", 12, "somebody")
    assert asked_of(headers(asked)) == asked


def test_c6_what_a_client_says_in_our_names_is_dropped() -> None:
    """On the public port our own metadata counts for nothing."""
    forged = [
        ("millrace-principal", "root"),
        ("millrace-id-bin", b"f" * 16),
        ("grpc-timeout", "1S"),
        (":authority", "x"),
        ("user-agent", "tonic"),
        ("client-name", "temporal-go"),
        ("authorization", "Bearer x"),
    ]
    sent = headers(Asked(b"0123456789abcdef", 3), forged)
    assert asked_of(sent) == Asked(b"0123456789abcdef", 3)
    assert [key for key, _ in sent] == [
        "client-name",
        "authorization",
        "millrace-id-bin",
        "millrace-namespaces",
    ]


@pytest.mark.parametrize(
    "metadata",
    [(), (("millrace-id-bin", "text"),), (("millrace-id-bin", b"x"), ("millrace-namespaces", "-"))],
)
def test_c6_call_of_no_node_is_refused(metadata: tuple[tuple[str, str | bytes], ...]) -> None:
    """A client that found the internal port is told so."""
    with pytest.raises(InvalidArgument):
        asked_of(metadata)
