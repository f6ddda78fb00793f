"""Names of ids: raw where that is safe, never two ids under one name."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archival.names import LONGEST, is_raw, part
from tests.archival.runs import STRANGE

IDS = st.text(alphabet=st.characters(), max_size=1_000) | st.text("./%~2Fx", max_size=8)


@pytest.mark.parametrize("safe", ["order-7", "with blank ", "zażółć-日本語", "a+b=c&d?e#f", "..."])
def test_safe_ids_stay_as_temporal_writes_them(safe: str) -> None:
    """So that both read each other's archives."""
    assert safe == part(safe)
    assert is_raw(safe)


@pytest.mark.parametrize(
    ("strange", "expected"),
    [("a/b", "a%2Fb"), ("..", "%2E%2E"), (".", "%2E"), ("a%2Fb", "a%252Fb"), ("\n", "%0A")],
)
def test_unsafe_ids_are_percent_encoded(strange: str, expected: str) -> None:
    """What would collide or leave the folder is not written raw."""
    assert expected == part(strange)


@given(IDS)
@example("")
def test_a_name_is_one_safe_part(identifier: str) -> None:
    """Of any id: no separator, no way up, no control character, not too long."""
    name = part(identifier)
    assert name not in ("", ".", "..")
    assert "/" not in name
    assert name.isprintable() or not any(char < " " for char in name)
    assert len(name.encode()) <= LONGEST


@given(IDS, IDS)
def test_two_ids_never_have_one_name(one: str, other: str) -> None:
    """Whatever is encoded, or cut."""
    assert (one == other) == (part(one) == part(other))


def test_the_strange_ids_have_names_of_their_own() -> None:
    """Those that other tests use."""
    assert len(STRANGE) == len({part(one) for one in STRANGE})
