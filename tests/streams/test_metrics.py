"""Plain numbers become Prometheus' families when asked."""

from prometheus_client import CollectorRegistry, generate_latest

from streams.metrics import Metrics


def exposed(metrics: Metrics) -> list[str]:
    """Return the lines that Prometheus would read, comments aside."""
    registry = CollectorRegistry()
    registry.register(metrics)
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_count_is_one_number_by_name_and_labels() -> None:
    """Asking again for the same counter gives the same one."""
    metrics = Metrics()
    metrics.count("millrace_streams_x_total", "X.", labels={"kind": "a"}).value += 1
    metrics.count("millrace_streams_x_total", "X.", labels={"kind": "a"}).value += 1
    metrics.count("millrace_streams_x_total", "X.", labels={"kind": "b"}).value += 5
    assert exposed(metrics) == [
        'millrace_streams_x_total{kind="a"} 2.0',
        'millrace_streams_x_total{kind="b"} 5.0',
    ]


def test_histogram_cumulates() -> None:
    """Each bucket counts what is at or under its bound."""
    metrics = Metrics()
    seconds = metrics.histogram("millrace_streams_call_seconds", "S.", bounds=(0.1, 1.0))
    for value in (0.1, 0.5, 7.0):
        seconds.observe(value)
    assert exposed(metrics) == [
        'millrace_streams_call_seconds_bucket{le="0.1"} 1.0',
        'millrace_streams_call_seconds_bucket{le="1.0"} 2.0',
        'millrace_streams_call_seconds_bucket{le="+Inf"} 3.0',
        "millrace_streams_call_seconds_count 3.0",
        "millrace_streams_call_seconds_sum 7.6",
    ]


def test_gauge_is_read_when_asked() -> None:
    """A gauge costs nothing until somebody looks."""
    metrics = Metrics()
    waiting = {("poll",): 3.0}
    metrics.gauge("millrace_streams_waiters", "W.", lambda: waiting, labels=("kind",))
    waiting["poll",] = 4.0
    assert exposed(metrics) == ['millrace_streams_waiters{kind="poll"} 4.0']


def test_total_shows_what_is_counted_elsewhere() -> None:
    """Read anew each time."""
    metrics = Metrics()
    counted = [3]
    metrics.total("millrace_streams_y_total", "Y.", lambda: counted[0])
    assert exposed(metrics) == ["millrace_streams_y_total 3.0"]
    counted[0] = 4
    assert exposed(metrics) == ["millrace_streams_y_total 4.0"]
