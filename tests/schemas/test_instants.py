"""Instants and spans: integer nanoseconds there and back."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.instants import Instant, Span, duration_of, instant_of, span_of, timestamp_of

LATEST = 253_402_300_799 * 1_000_000_000


@given(st.integers(0, LATEST))
def test_timestamps_keep_every_nanosecond(at: int) -> None:
    """An instant survives its protobuf form."""
    assert instant_of(timestamp_of(Instant(at))) == at


@given(st.integers(0, LATEST))
def test_durations_keep_every_nanosecond(span: int) -> None:
    """A span survives its protobuf form."""
    assert span_of(duration_of(Span(span))) == span
