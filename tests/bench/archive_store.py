"""Measure archives: `python -m tests.bench.archive_store [--runs 1000000] [--url URL]`.

A closed run of 50 events to S3 (CPU of this process: the server is another), and ListArchived with
a type and a time range over a million runs: time and requests for the first page, with nothing
remembered and with everything remembered. Prints the speed table's rows of the package.
"""

import argparse
import random
import resource
import statistics
import sys
import time
import uuid
from collections.abc import Iterator

from archival.archive import Archive
from archival.archiver import Archiver
from archival.lake import Lake
from archival.opening import open_archive
from archival.query import Hints, Matching
from archival.row import ArchivedRun
from archival.run import ClosedRun, RunKey
from archival.s3 import S3Store
from archival.settings import ArchivalSettings, S3Settings
from schemas.temporal import enums, history
from tests.archival.runs import closed_run
from tests.support.s3_real import make_bucket, s3_server

NAMESPACE = "00000000-0000-4000-8000-000000000000"
SECOND = 1_000_000_000
YEAR = 365 * 86_400 * SECOND
BATCH = 131_072


def fifty_events(number: int) -> ClosedRun:
    """Return a run of ten activities: start, ten times four events, and the close."""
    run = closed_run(RunKey(NAMESPACE, f"order-{number}", str(uuid.uuid4())), events=50)
    for batch in run.batches[1:-1]:
        for event in batch.events:
            event.event_type = enums.EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
            activity(event)
    return run


def activity(event: history.HistoryEvent) -> None:
    """Make an event one of an activity, with what the SDKs send."""
    attributes = event.activity_task_scheduled_event_attributes
    attributes.activity_id = "1"
    attributes.activity_type.name = "charge"
    attributes.task_queue.name = "orders"
    payload = attributes.input.payloads.add(data=b'{"order":7,"amount":12.5,"currency":"EUR"}')
    payload.metadata["encoding"] = b"json/plain"
    attributes.start_to_close_timeout.seconds = 10
    attributes.retry_policy.initial_interval.seconds = 1
    attributes.retry_policy.backoff_coefficient = 2.0


def archived(archive: Archive, runs_count: int) -> tuple[float, float]:
    """Archive runs, a hundred at a time; return CPU and wall clock of each, ms."""
    archiver = Archiver(archive, archive)
    archiver.archive_all([fifty_events(-one) for one in range(1, 20)])
    cpu, wall = [], []
    for start in range(0, runs_count, 100):
        runs = [fifty_events(number) for number in range(start, start + 100)]
        before = time.process_time(), time.monotonic()
        outcomes = archiver.archive_all(runs)
        cpu.append((time.process_time() - before[0]) * 10)
        wall.append((time.monotonic() - before[1]) * 10)
        assert all(one.is_archived for one in outcomes)
    archiver.close()
    return min(cpu), statistics.median(wall)


def rows(count: int) -> Iterator[list[ArchivedRun]]:
    """Return rows over a year, in the order in which they closed, a file's worth at a time."""
    chance = random.Random(1)
    for start in range(0, count, BATCH):
        yield [row(number, count, chance) for number in range(start, min(count, start + BATCH))]


def row(number: int, count: int, chance: random.Random) -> ArchivedRun:
    """Return one row."""
    closed_at = 1_760_000_000 * SECOND + number * (YEAR // count)
    return ArchivedRun(
        namespace="shop",
        workflow_id=f"order-{number}",
        run_id=str(uuid.UUID(int=chance.getrandbits(128))),
        workflow_type=f"type-{chance.randrange(40)}",
        status="Completed" if chance.random() < 0.9 else "Failed",
        started_at=closed_at - 60 * SECOND,
        closed_at=closed_at,
        execution_duration=60 * SECOND,
        history_length=50,
        task_queue="orders",
        search_attributes={"CustomerId": f"c-{number % 1_000}"},
        history_sha256=chance.randbytes(32),
        execution=chance.randbytes(150),
    )


def first_page(store: S3Store, lake: Lake, days: int) -> tuple[float, int, int]:
    """Ask for a type in so many days; return ms, requests, and the runs found."""
    until = 1_760_000_000 * SECOND + YEAR // 2
    hints = Hints(
        equal={"workflow_type": frozenset({"type-7"})},
        at_least={"closed_at": until - days * 86_400 * SECOND},
        at_most={"closed_at": until},
    )
    before = time.monotonic(), store.requests_count
    page = lake.list(Matching(hints), 1_000)
    return (time.monotonic() - before[0]) * 1_000, store.requests_count - before[1], len(page.runs)


def say(what: str, *cells: object) -> None:
    """Print a row."""
    sys.stdout.write("| " + " | ".join([what, *map(str, cells)]) + " |\n")
    sys.stdout.flush()


def measure(url: str, runs_count: int) -> None:
    """Measure against a service."""
    bucket = f"bench-{uuid.uuid4().hex}"
    make_bucket(url, bucket)
    settings = ArchivalSettings(s3=S3Settings(endpoint=url, path_style=True))
    archive = open_archive(f"s3://{bucket}", settings)
    cpu, wall = archived(archive, 400)
    say(
        "archive a closed run of 50 events to S3", f"{cpu:.2f} ms CPU", f"{wall:.2f} ms", "2 ms CPU"
    )
    store = archive.store
    assert isinstance(store, S3Store)
    lake = Lake(store, "lake")
    before = time.process_time()
    for some in rows(runs_count):
        lake.add(some)
    spent = (time.process_time() - before) / runs_count * 1e6
    files = lake.manifest().segments
    size = sum(one.size_bytes for one in files) / runs_count
    say("lake", f"{len(files)} files", f"{size:.0f} bytes/run", f"{spent:.0f} us CPU/run to write")
    for days in (1, 30, 365):
        for name, asked in (("cold", Lake(store, "lake")), ("warm", lake)):
            ms, requests, found = first_page(store, asked, days)
            what = f"ListArchived, type, {days} days of {runs_count} runs, {name}"
            say(what, f"{ms:.0f} ms", f"{requests} requests", f"{found} runs", "1 s, < 20")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say("peak memory", f"{peak:.0f} MB")
    archive.close()


def main() -> None:
    """Start a server unless one is given, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--url", default="")
    options = parser.parse_args()
    if options.url:
        measure(options.url, options.runs)
        return
    with s3_server() as url:
        measure(url, options.runs)


if __name__ == "__main__":
    main()
