"""Instants and spans: integer nanoseconds, and their protobuf forms.

An `Instant` counts from the Unix epoch, a `Span` is a difference. Both are plain ints inside.
"""

from typing import NewType

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

Instant = NewType("Instant", int)
Span = NewType("Span", int)

NANOSECOND = Span(1)
MILLISECOND = Span(1_000_000)
SECOND = Span(1_000_000_000)
MINUTE = Span(60 * SECOND)
HOUR = Span(60 * MINUTE)
DAY = Span(24 * HOUR)


def instant_of(timestamp: Timestamp) -> Instant:
    """Return the instant of a protobuf timestamp."""
    return Instant(timestamp.seconds * SECOND + timestamp.nanos)


def timestamp_of(instant: int) -> Timestamp:
    """Return the protobuf timestamp of an instant."""
    seconds, nanos = divmod(instant, SECOND)
    return Timestamp(seconds=seconds, nanos=nanos)


def span_of(duration: Duration) -> Span:
    """Return the span of a protobuf duration; an unset one is zero."""
    return Span(duration.seconds * SECOND + duration.nanos)


def duration_of(span: int) -> Duration:
    """Return the protobuf duration of a span."""
    seconds, nanos = divmod(span, SECOND)
    return Duration(seconds=seconds, nanos=nanos)
