"""Times as text: RFC 3339 with nanoseconds, and the forms a duration may have in a query."""

import re
from datetime import date
from fractions import Fraction
from typing import Final

from schemas.instants import DAY, HOUR, MINUTE, SECOND

INSTANT_MAX: Final = 2**63 - 1
"""The last instant a store holds: 2262-04-11T23:47:16.854775807Z. The first one is 0."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
    "d": DAY,
}
_SPAN: Final = re.compile(r"([-+]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h|d))+")
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h|d)", re.ASCII)
_CLOCK: Final = re.compile(r"(\d+):(\d+):(\d+)", re.ASCII)


def parse_instant(text: str) -> int:
    """Return ns since 1970 of an RFC 3339 time; raises ValueError."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(f"expected an RFC 3339 time, found {text!r}")
    year, month, day, hour, minute, second = (int(found[index]) for index in range(1, 7))
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"expected a time of the day, found {text!r}")
    days = date(year, month, day).toordinal() - _EPOCH
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    fraction = int((found[7] or "").ljust(9, "0")[:9])
    return (seconds - _offset(found)) * SECOND + fraction


def _offset(found: re.Match[str]) -> int:
    if found[8] is None:
        return 0
    hours, minutes = int(found[9]), int(found[10])
    if hours > 23 or minutes > 59:
        raise ValueError(f"expected an offset, found {found[0]!r}")
    return (hours * 60 + minutes) * (-60 if found[8] == "-" else 60)


def format_instant(instant: int) -> str:
    """Return the RFC 3339 form in UTC with all nine digits; sorts as the instants do."""
    seconds, nanos = divmod(instant, SECOND)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    day = date.fromordinal(_EPOCH + days).isoformat()
    return f"{day}T{hour:02d}:{minute:02d}:{second:02d}.{nanos:09d}Z"


def shorten_instant(instant: int) -> str:
    """Return the RFC 3339 form in UTC as Go writes it: no zeros at the end of the fraction."""
    return format_instant(instant)[:-1].rstrip("0").rstrip(".") + "Z"


def parse_span(text: str) -> int:
    """Return the ns of an integer, a Go duration (also with days) or hh:mm:ss; ValueError."""
    if re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        span = int(text)
    elif _SPAN.fullmatch(text):
        parts = _PART.findall(text)
        total = sum(Fraction(_decimal(number)) * _UNITS[unit] for number, unit in parts)
        span = int(-total if text.startswith("-") else total)
    else:
        span = _clock(text)
    if not -(2**63) <= span < 2**63:
        raise ValueError(f"expected a duration of at most 292 years, found {text!r}")
    return span


def _decimal(number: str) -> str:
    return number + "0" if number.endswith(".") else number


def _clock(text: str) -> int:
    found = _CLOCK.fullmatch(text)
    if found is None or int(found[2]) > 59 or int(found[3]) > 59:
        raise ValueError(f"expected a duration, found {text!r}")
    return int(found[1]) * HOUR + int(found[2]) * MINUTE + int(found[3]) * SECOND
