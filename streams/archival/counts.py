"""What the archiver counts, and shows of the backlog."""

from functools import partial

from streams.metrics import Count, Metrics
from topology.own_work import Backlog

_PREFIX = "millrace_streams_archival"


class Counts:
    """Numbers of one node's archival agent."""

    def __init__(self) -> None:
        self.archived = Count()
        self.set_aside = Count()
        self.failures = Count()
        self._backlogs: dict[int, Backlog] = {}

    def note(self, partition: int, backlog: Backlog) -> None:
        """Remember how much waits in a partition."""
        self._backlogs[partition] = backlog

    def has_backlog(self, partition: int) -> bool:
        """Whether something waited in a partition when it was looked at last."""
        backlog = self._backlogs.get(partition)
        return backlog is not None and bool(backlog.waiting or backlog.set_aside)

    def forget(self, partition: int) -> None:
        """Forget a partition that is another node's now."""
        self._backlogs.pop(partition, None)

    def show(self, metrics: Metrics) -> None:
        """Register them."""
        totals = {
            "archived": (self.archived, "Closed runs archived and reported."),
            "set_aside": (self.set_aside, "Closed runs that their archive refused for good."),
            "failures": (self.failures, "Tries that failed because an archive was away."),
        }
        for name, (count, about) in totals.items():
            metrics.total(f"{_PREFIX}_{name}_total", about, partial(getattr, count, "value"))
        metrics.gauge(
            f"{_PREFIX}_backlog_runs",
            "Closed runs that wait for their archive, by partition; counted up to 10,000.",
            lambda: {(str(p),): float(sum(b.waiting.values())) for p, b in self._each()},
            labels=("partition",),
        )
        metrics.gauge(
            f"{_PREFIX}_backlog_oldest_seconds",
            "When the oldest run that waits had closed, seconds since 1970; 0: none waits.",
            lambda: {(str(p),): b.oldest_closed_at / 1e9 for p, b in self._each()},
            labels=("partition",),
        )
        metrics.gauge(
            f"{_PREFIX}_set_aside_runs",
            "Closed runs that are set aside, by partition; counted up to 100.",
            lambda: {(str(p),): float(len(b.set_aside)) for p, b in self._each()},
            labels=("partition",),
        )

    def _each(self) -> list[tuple[int, Backlog]]:
        return sorted(self._backlogs.items())
