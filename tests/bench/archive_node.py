"""Measure the archiver of a running node: `python -m tests.bench.archive_node [--runs 400]`.

Runs of about 50 events close while archiving is paused; a node that is started again then archives
them to a real S3 server. Prints what one of them costs the node, from the owner's rows to the
report back, in CPU (of the node, but for its start and what it uses idle) and on the clock.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path

from temporalio.client import Client

from tests.bench.measure import metric
from tests.end_to_end.archiving import archiving_namespace
from tests.support.millrace_server import MillraceServer
from tests.support.ports import free_ports
from tests.support.s3_real import make_bucket, s3_server

SIGNALS = 46
AT_ONCE = 64
IDLE_S = 5.0
TICKS = os.sysconf("SC_CLK_TCK")
ARCHIVED = "millrace_streams_archival_archived_total"


def cpu_s(process_id: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def close_runs(address: str, uri: str, count: int) -> None:
    """Close so many runs of 49 events: started, a task, signals, terminated."""
    client = await Client.connect(address)
    await archiving_namespace(client, "shop", uri)
    client = await Client.connect(address, namespace="shop")
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with turn:
            name = f"order-{number}"
            handle = await client.start_workflow("Order", {"n": number}, id=name, task_queue="q")
            for step in range(SIGNALS):
                await handle.signal("step", {"order": number, "step": step, "currency": "EUR"})
            await handle.terminate()

    await asyncio.gather(*(one(number) for number in range(count)))


def idle_cpu(server: MillraceServer) -> tuple[float, float]:
    """Return the CPU seconds of a node's start, and those of an idle second."""
    with server:
        time.sleep(IDLE_S)
        first = cpu_s(server.pid)
        time.sleep(IDLE_S)
        rate = (cpu_s(server.pid) - first) / IDLE_S
        server.stop()
    return first - rate * IDLE_S, rate


def archive_runs(server: MillraceServer, url: str, count: int) -> tuple[float, float]:
    """Let a node archive what waits; return all its CPU, and how long it took, s."""
    with server:
        before = time.monotonic()
        while metric(url, ARCHIVED) < count:
            time.sleep(0.05)
        return cpu_s(server.pid), time.monotonic() - before


def main() -> None:
    """Measure, and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as scratch, s3_server() as s3:
        bucket = f"bench-{uuid.uuid4().hex}"
        make_bucket(s3, bucket)
        port = free_ports(1)[0]
        options = (
            *("--set", f"archival.s3.endpoint={s3}"),
            *("--set", "archival.s3.path_style=true"),
            *("--metrics-port", str(port)),
        )
        folder = Path(scratch)
        paused = (*options, "--set", "archival.state=paused")
        with MillraceServer(folder, folder=folder / "data", options=paused) as server:
            asyncio.run(close_runs(server.address, f"s3://{bucket}", count))
            server.stop()
        restarted = MillraceServer(folder, folder=folder / "data", options=paused)
        start, rate = idle_cpu(restarted)
        server = MillraceServer(folder, folder=folder / "data", options=options)
        cpu, wall = archive_runs(server, f"http://127.0.0.1:{port}/metrics", count)
        cpu -= start + rate * wall
    sys.stdout.write(
        f"| the same in a running node, read and reported too | {cpu / count * 1e3:.2f} ms CPU | "
        f"{count / wall:.0f} runs/s | 2 ms CPU |\n"
    )


if __name__ == "__main__":
    main()
