"""Cron schedules: what is one, and when the next round begins."""

from datetime import UTC, datetime

import pytest

from schemas.instants import HOUR, MINUTE, SECOND
from tests.support.core_scene import Scene, golden
from tests.support.core_words import complete, fail, val
from topology.workflow.cron import BadSchedule, backoff, parse

NOON = int(datetime(2026, 11, 25, 12, 0, 30, tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("@every 1s", SECOND),
        ("@every 1h30m", HOUR + 30 * MINUTE),
        ("* * * * *", 30 * SECOND),
        ("5 12 * * *", 4 * MINUTE + 30 * SECOND),
        ("@hourly", 59 * MINUTE + 30 * SECOND),
        ("CRON_TZ=Asia/Tokyo 0 22 * * *", 59 * MINUTE + 30 * SECOND),
        ("TZ=UTC 0 13 * * 3", 59 * MINUTE + 30 * SECOND),
    ],
)
def test_the_first_round_waits(text: str, wait: int) -> None:
    """From a start at 12:00:30 UTC on a Wednesday."""
    assert backoff(text, started_at=NOON, closed_at=NOON) == wait


def test_rounds_that_were_missed_are_left_out() -> None:
    """A round that took two and a half hours is followed at the next full hour."""
    closed_at = NOON + 2 * HOUR + 30 * MINUTE
    assert backoff("0 * * * *", started_at=NOON, closed_at=closed_at) == 29 * MINUTE + 30 * SECOND
    assert backoff("@every 1h", started_at=NOON, closed_at=closed_at) == 30 * MINUTE


def test_a_backoff_is_in_whole_seconds() -> None:
    """Rounded up."""
    assert backoff("* * * * *", started_at=NOON, closed_at=NOON + 1) == 30 * SECOND


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "* * * *", "* * * * * *", "61 * * * *", "@every soon", "TZ=Nowhere 0 * * * *"],
)
def test_what_is_no_schedule(text: str) -> None:
    """Too few fields, too many, out of range, no span, no zone."""
    with pytest.raises(BadSchedule):
        parse(text)


def test_a_schedule_that_never_comes_round() -> None:
    """The thirtieth of February."""
    with pytest.raises(BadSchedule):
        backoff("0 0 30 2 *", started_at=NOON, closed_at=NOON)


def test_rounds_of_a_cron_workflow(scene: Scene) -> None:
    """Completed, failed, then the carried result and failure."""
    first = scene.start(cron_schedule="@every 1s", memo={"fields": {"note": val("m")}})
    scene.step(complete("one"))
    scene.history(run_id=first)
    task = scene.poll()
    scene.reply(task, fail("two"))
    scene.history(run_id=task.workflow_execution.run_id)
    scene.history()
    scene.describe()
    assert golden("cron") == scene.record()
