"""What can be set about matching."""

import msgspec


class MatchingSettings(msgspec.Struct, frozen=True):
    """Settings of the matching role."""

    partitions: int = 4
    """Partitions of `tasks`; recorded in `owners`, it cannot be changed later."""
    polls_limit: int = 1_200
    """Polls of one kind that may wait at once in one namespace."""
    poll_hold_s: float = 60.0
    """A poll is answered empty after so long, s."""
    poll_tail_s: float = 1.0
    """A poll is offered nothing in the last part of its time, s."""
    retry_min_delay_s: float = 0.05
    """Delay before the first repeat of what failed, s; it doubles."""
    retry_max_delay_s: float = 5.0
    """Longest delay between repeats, s."""
    hold_delay_s: float = 1.0
    """A task of a queue that workers keep polling is written to `tasks` after so long, s."""
    held_limit: int = 500
    """So many tasks are held unwritten; then the oldest is written, count."""
    sticky_window_s: float = 10.0
    """A worker's own queue that nobody has polled for so long is dead, s (M3)."""
    query_window_s: float = 20.0
    """A query is refused where nobody has polled for so long, s."""
    rest_delay_s: float = 0.5
    """Delay before a task is offered again whose history partition could not be asked, s."""
    reclaim_delay_s: float = 1.0
    """Delay before a partition is claimed again that another node has claimed, s."""
    uncertain_timeout_s: float = 60.0
    """So long history is asked again about a start whose outcome is unknown, s."""
    upkeep_interval_s: float = 30.0
    """How often idle queues and expired tasks are looked for, s."""
    stop_timeout_s: float = 5.0
    """At a stop, history's verdicts are waited for so long, s."""
    answered_limit: int = 2_000
    """So many answered polls are remembered, for repeated asks."""

    def retry_delay_s(self, failures: int) -> float:
        """Return the delay after so many failures in a row, s."""
        doubled = self.retry_min_delay_s * 2 ** min(failures - 1, 20)
        return float(min(doubled, self.retry_max_delay_s))
