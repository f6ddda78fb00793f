"""What the engine and matching count, shown as metrics: each field of their `Counts` by name."""

from collections.abc import Callable, Iterable
from functools import partial

from streams.log.counts import Counts as LogCounts
from streams.log.node import HistoryNode
from streams.matching.counts import Counts as MatchingCounts
from streams.matching.node import MatchingNode
from streams.metrics import Metrics

LOG = "millrace_streams_log"
MATCHING = "millrace_streams_matching"


def show_counts(metrics: Metrics, history: HistoryNode, matching: MatchingNode) -> None:
    """Register a total for every count: of the log over all partitions, and of matching."""
    for field in LogCounts.__struct_fields__:
        about = f"The log engine's count of {field.replace('_', ' ')}."
        read = partial(_sum, lambda: history.counts().values(), field)
        metrics.total(f"{LOG}_{field}_total", about, read)
    for field in MatchingCounts.__struct_fields__:
        about = f"Matching's count of {field.replace('_', ' ')}."
        read = partial(_sum, lambda: (matching.counts,), field)
        metrics.total(f"{MATCHING}_{field}_total", about, read)


def _sum(counts: Callable[[], Iterable[object]], field: str) -> float:
    return float(sum(getattr(one, field) for one in counts()))
