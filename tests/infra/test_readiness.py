"""L7: what a node makes sure of before it joins."""

import pytest

from infra.failures import StartFailure
from infra.readiness import check_clock, patiently
from schemas.errors import Unavailable
from schemas.instants import SECOND

AT = 1_000 * SECOND


class Clock:
    """A clock that runs on by a second while Kafka is asked."""

    def __init__(self, ahead_s: float) -> None:
        self._now = AT + int(ahead_s * SECOND)

    def now(self) -> int:
        """Return the instant."""
        self._now += SECOND // 2
        return self._now

    def monotonic(self) -> float:
        """Return the same instant."""
        return self._now / SECOND


async def _checked(ahead_s: float, *, by_log: int = AT) -> None:
    async def log_time() -> int:
        return by_log

    await check_clock(log_time, Clock(ahead_s), tolerance_s=10)


@pytest.mark.parametrize("ahead_s", [-10.9, -5, 0, 5, 9.4])
async def test_l7_a_clock_that_is_right_enough_passes(ahead_s: float) -> None:
    """Whatever the question itself took."""
    await _checked(ahead_s)


@pytest.mark.parametrize(("ahead_s", "said"), [(60, "60 s ahead of"), (-61, "60 s behind")])
async def test_l7_a_clock_that_is_off_is_one_sentence(ahead_s: float, said: str) -> None:
    """By how much, and which way."""
    with pytest.raises(StartFailure, match=rf"^The clock of this machine is {said} Kafka's; .*\.$"):
        await _checked(ahead_s)


async def test_l7_a_log_without_a_clock_is_no_reason_to_end() -> None:
    """A topic that was made by others may have its producers' timestamps."""
    await _checked(3_600, by_log=0)


async def test_a_topic_may_not_be_readable_at_once() -> None:
    """Its leader may not know yet that it leads."""
    tries = 0

    async def read() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("not the leader")

    await patiently(read)
    assert tries == 3
