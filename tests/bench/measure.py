"""Measure a server under a load generator: `python -m tests.bench.measure --help`.

All server processes share one core, the load has another. It prints the load's own last line and a
row for RESULTS.md: context switches per operation and records per append, read from the system and
from the server's metrics. README.md says how to read them.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.millrace_server import PROJECT, MillraceServer

SERVER_CORE, LOAD_CORE = 0, 1
_SWITCHES = re.compile(r"ctxt_switches:\s+(\d+)")
_RECORDS = "millrace_streams_log_accepted_total"
_APPENDS = "millrace_streams_log_appends_total"


def family(process_id: int) -> set[int]:
    """Return a process and all its descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(stat[1])
    found = {process_id}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def switches(process_ids: Iterable[int]) -> int:
    """Return the context switches of all threads of some processes so far."""
    total = 0
    for process_id in process_ids:
        for status in Path(f"/proc/{process_id}/task").glob("*/status"):
            with contextlib.suppress(OSError):
                total += sum(int(number) for number in _SWITCHES.findall(status.read_text()))
    return total


def metric(url: str, name: str) -> float:
    """Return a metric summed over its labels; 0 where there is none."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}[ {{]", line))


def pin(process_ids: Iterable[int], core: int) -> None:
    """Let processes run on one core only, with all their threads."""
    for process_id in process_ids:
        for thread in Path(f"/proc/{process_id}/task").iterdir():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(thread.name), {core})


class Sample(NamedTuple):
    """What had been counted at an instant."""

    at: float
    switches: int
    records: float
    appends: float


def sampled(process_ids: Iterable[int], url: str) -> Sample:
    """Count now."""
    counts = switches(process_ids), metric(url, _RECORDS), metric(url, _APPENDS)
    return Sample(time.monotonic(), *counts)


def measured(server: MillraceServer, load: str, url: str, *, window_s: float) -> dict[str, Any]:
    """Run the load once; return its figures, and ours of a window in the middle of it."""
    processes = family(server.pid)
    pin(processes, SERVER_CORE)
    line = shlex.split(load.format(address=server.address, pid=server.pid))
    running = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    pin({running.pid}, LOAD_CORE)  # before it starts processes of its own
    time.sleep(window_s)
    before = sampled(processes, url)
    time.sleep(window_s)
    after = sampled(processes, url)
    said, _ = running.communicate()
    assert running.returncode == 0, f"expected the load to end well, found {running.returncode}"
    figures: dict[str, Any] = json.loads(said.splitlines()[-1])
    switched = (after.switches - before.switches) / (after.at - before.at)
    appends = after.appends - before.appends
    figures["switches_per_op"] = round(switched / max(1.0, figures["ops_per_s"]), 1)
    figures["records_per_append"] = round((after.records - before.records) / max(1, appends), 1)
    return figures


def row(figures: dict[str, Any]) -> str:
    """Return the row for RESULTS.md."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    latency = figures.get("e2e_ms") or figures["call_ms"]
    cells = [
        dt.datetime.now(tz=dt.UTC).date().isoformat(),
        f"{platform.machine()}, {os.cpu_count()} cores",
        commit,
        figures["mode"],
        figures["ops_per_s"],
        figures.get("server_cpu_ms_per_op", ""),
        f"{latency['p50']} / {latency['p99']}",
        figures["records_per_append"],
        figures["switches_per_op"],
        figures.get("server_rss_mb", ""),
        figures["errors"],
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main() -> None:
    """Start a server, run the load, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", required=True, help="command line with {address} and {pid}")
    parser.add_argument(
        "--window",
        type=float,
        default=5.0,
        help="seconds: counting begins so long after the load, and lasts so long",
    )
    parser.add_argument("--metrics-port", type=int, default=19_090)
    options = parser.parse_args()
    url = f"http://127.0.0.1:{options.metrics_port}/metrics"
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as scratch:
        flags = ("--metrics-port", str(options.metrics_port))
        with MillraceServer(Path(scratch), folder=Path(scratch, "data"), options=flags) as server:
            figures = measured(server, options.load, url, window_s=options.window)
    sys.stdout.write(f"{json.dumps(figures)}\n{row(figures)}\n")


if __name__ == "__main__":
    main()
