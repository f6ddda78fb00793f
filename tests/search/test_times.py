"""Times as text, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.times import INSTANT_MAX, format_instant, parse_instant, parse_span, shorten_instant


@given(st.integers(-(10**18), INSTANT_MAX))
def test_every_instant_survives_its_text(instant: int) -> None:
    """All nine digits, long and short."""
    assert instant == parse_instant(format_instant(instant))
    assert instant == parse_instant(shorten_instant(instant))


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (INSTANT_MAX, "2262-04-11T23:47:16.854775807Z"),
    ],
)
def test_a_short_instant_is_as_go_writes_it(instant: int, text: str) -> None:
    """No zeros at the end of the fraction."""
    assert text == shorten_instant(instant)


@pytest.mark.parametrize("text", ["2023-13-01T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    """ValueError, whatever is wrong."""
    with pytest.raises(ValueError, match=r".+"):
        parse_instant(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0", 0),
        ("-7", -7),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("1.5d", 129_600 * 10**9),
        (".5s", 500_000_000),
        ("1.s", 10**9),
        ("+1\u00b5s", 1_000),
        ("100:00:01", 360_001 * 10**9),
    ],
)
def test_the_forms_of_a_duration(text: str, span: int) -> None:
    """Integers, Go durations with days, and hours:minutes:seconds."""
    assert span == parse_span(text)


@pytest.mark.parametrize("text", ["", "h", "1x", "1:2", "1:60:00", "9999999h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """ValueError."""
    with pytest.raises(ValueError, match="expected a duration"):
        parse_span(text)
