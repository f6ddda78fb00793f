"""Cron schedules of workflows: robfig's standard form, as Temporal reads it.

Five fields, `@every <span>`, `@daily` and its like, and a leading `CRON_TZ=` or `TZ=`; without one
the clock is UTC. A backoff is in whole seconds, rounded up.
"""

import re
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from schemas.instants import HOUR, MILLISECOND, MINUTE, SECOND

_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS: Final = {"ns": 1, "us": 1_000, "ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_FIELD_COUNT: Final = 5


class BadSchedule(ValueError):
    """A text that is no cron schedule."""


class Schedule(msgspec.Struct, frozen=True):
    """A cron schedule, read: either every so often, or by the fields of a calendar."""

    every: int = 0  # ns
    fields: str = ""
    zone: str = ""


@lru_cache(maxsize=1_024)
def parse(text: str) -> Schedule:
    """Read a schedule; raises BadSchedule."""
    text = text.strip()
    zone = ""
    if text.startswith(("CRON_TZ=", "TZ=")):
        prefix, _, text = text.partition(" ")
        zone = prefix.partition("=")[2]
        text = text.strip()
    _zone_of(zone)
    if text.startswith("@every "):
        return Schedule(every=max(_span_of(text.removeprefix("@every ")), SECOND), zone=zone)
    fields = _DESCRIPTORS.get(text, text)
    if len(fields.split()) != _FIELD_COUNT:
        raise BadSchedule(f"expected {_FIELD_COUNT} fields or a descriptor, found {text!r}")
    try:
        CronSim(fields, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise BadSchedule(f"expected a cron schedule, found {text!r}") from error
    return Schedule(fields=fields, zone=zone)


def backoff(text: str, *, started_at: int, closed_at: int) -> int:
    """Return how long the next round waits (ns), counted from when this one closed.

    Rounds that should have begun while this one ran are left out. Raises BadSchedule.
    """
    schedule = parse(text)
    if schedule.every:
        spent = max(closed_at - started_at, 0) // SECOND * SECOND
        return schedule.every - spent % schedule.every
    begin = datetime.fromtimestamp(started_at // SECOND, _zone_of(schedule.zone))
    for at in CronSim(schedule.fields, begin):
        due_at = round(at.timestamp()) * SECOND
        if due_at >= closed_at:
            return -(-(due_at - closed_at) // SECOND) * SECOND
    raise BadSchedule(f"expected {text!r} to come round, found it never does")


def _span_of(text: str) -> int:
    found = _SPAN.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text.strip():
        raise BadSchedule(f"expected a span such as 1h30m, found {text!r}")
    return round(sum(float(number) * _UNITS[unit] for number, unit in found))


def _zone_of(name: str) -> tzinfo:
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSchedule(f"expected a time zone, found {name!r}") from error
