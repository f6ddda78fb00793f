"""Metrics of this package: plain numbers on the hot path, made into Prometheus' when asked.

Names are `millrace_streams_<noun>_<unit or total>`; labels are bounded (never a workflow id).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

Read = Callable[[], Mapping[tuple[str, ...], float]]


class Count:
    """A number that only rises: `count.value += 1`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Histogram:
    """How often values fell under each bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulated counts by upper bound."""
        rows: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            below += count
            rows.append(("+Inf" if bound == float("inf") else str(bound), below))
        return rows


class Metrics(Collector):
    """All numbers of a process, by name."""

    def __init__(self) -> None:
        self._about: dict[str, str] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._counts: dict[str, dict[tuple[str, ...], Count]] = {}
        self._histograms: dict[str, dict[tuple[str, ...], Histogram]] = {}
        self._gauges: dict[str, Read] = {}
        self._totals: dict[str, Callable[[], float]] = {}

    def count(self, name: str, about: str, *, labels: Mapping[str, str] | None = None) -> Count:
        """Return the counter of a name (`..._total`) and labels, made on first use."""
        values = self._declare(name, about, labels)
        return self._counts.setdefault(name, {}).setdefault(values, Count())

    def histogram(
        self,
        name: str,
        about: str,
        *,
        bounds: Sequence[float],
        labels: Mapping[str, str] | None = None,
    ) -> Histogram:
        """Return the histogram of a name and labels, made on first use."""
        values = self._declare(name, about, labels)
        return self._histograms.setdefault(name, {}).setdefault(values, Histogram(bounds))

    def gauge(self, name: str, about: str, read: Read, *, labels: tuple[str, ...] = ()) -> None:
        """Show what `read` returns, by label values, whenever metrics are asked for."""
        self._about[name] = about
        self._labels[name] = labels
        self._gauges[name] = read

    def total(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Show what is counted elsewhere: `read` returns a number that only rises."""
        self._about[name] = about
        self._totals[name] = read

    def collect(self) -> Iterator[Metric]:
        """Yield everything as Prometheus' families."""
        for name, counts in self._counts.items():
            counter = CounterMetricFamily(name, self._about[name], labels=self._labels[name])
            for values, count in counts.items():
                counter.add_metric(values, count.value)
            yield counter
        for name, total in self._totals.items():
            yield CounterMetricFamily(name, self._about[name], value=total())
        for name, histograms in self._histograms.items():
            family = HistogramMetricFamily(name, self._about[name], labels=self._labels[name])
            for values, histogram in histograms.items():
                family.add_metric(values, histogram.buckets(), histogram.total)
            yield family
        for name, read in self._gauges.items():
            gauge = GaugeMetricFamily(name, self._about[name], labels=self._labels[name])
            for values, value in read().items():
                gauge.add_metric(values, value)
            yield gauge

    def _declare(self, name: str, about: str, labels: Mapping[str, str] | None) -> tuple[str, ...]:
        names = tuple(labels or ())
        expected = self._labels.setdefault(name, names)
        assert expected == names, f"expected {name} to have labels {expected}, found {names}"
        self._about[name] = about
        return tuple((labels or {}).values())
