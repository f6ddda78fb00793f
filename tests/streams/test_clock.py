"""The clock of a partition (T1)."""

from streams.clock import PartitionClock, SystemClock

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


class _Clocks:
    def __init__(self) -> None:
        self.wall = START
        self.mono = 100.0

    def now(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def pass_s(self, seconds: float) -> None:
        self.wall += int(seconds * SECOND)
        self.mono += seconds


def _clock() -> tuple[_Clocks, PartitionClock]:
    clocks = _Clocks()
    clock = PartitionClock(clocks)
    clock.appended(START)
    return clocks, clock


def test_t1_the_raw_clock_is_the_earlier_of_wall_and_log() -> None:
    """A wall clock that is fast does not carry the partition away, nor does a fast log."""
    clocks, clock = _clock()
    clocks.pass_s(1)
    clocks.wall += 3600 * SECOND
    assert START + SECOND == clock.now()
    clocks.wall -= 3601 * SECOND
    clocks.pass_s(10)
    clock.appended(clocks.wall + 3600 * SECOND)
    assert clocks.wall == START + 10 * SECOND
    assert clock.now() == clocks.wall


def test_t1_the_largest_append_time_of_the_last_minute_counts() -> None:
    """A slow acknowledgement is no sign of a slow clock; after a minute it is forgotten."""
    clocks, clock = _clock()
    clocks.pass_s(1)
    clock.appended(clocks.wall - SECOND // 2)
    assert clock.now() == clocks.wall
    clocks.pass_s(61)
    clock.appended(clocks.wall - SECOND // 2)
    assert clock.difference() == SECOND // 2


def test_t1_now_is_never_below_the_last_recorded_instant_and_runs_at_half_speed() -> None:
    """A clock that was set back: no timer waits for the hour that was taken away."""
    clocks, clock = _clock()
    clock.record(START + 10 * SECOND)
    assert clock.now() == START + 10 * SECOND
    clocks.pass_s(4)
    assert clock.now() == START + 12 * SECOND
    clocks.pass_s(16)
    assert clock.now() == START + 20 * SECOND
    clocks.pass_s(5)
    assert clock.now() == START + 25 * SECOND


def test_t1_clocks_that_are_apart_claim_again_at_most_once_a_minute() -> None:
    """More than one second: a suspended machine, or a step."""
    clocks, clock = _clock()
    assert not clock.should_claim()
    clocks.wall += 2 * SECOND
    assert clock.should_claim()
    clocks.pass_s(30)
    assert not clock.should_claim()
    clocks.pass_s(31)
    assert clock.should_claim()


def test_t1_an_unknown_append_time_is_no_append_time() -> None:
    """A topic that is not on LogAppendTime tells nothing."""
    clocks, clock = _clock()
    clock.appended(0)
    assert clock.now() == clocks.wall


def test_the_system_clock_goes_on() -> None:
    """Both clocks of the machine."""
    clock = SystemClock()
    assert clock.now() > START
    assert clock.monotonic() <= clock.monotonic()
