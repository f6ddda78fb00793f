"""Measure search: `python -m tests.bench.search --help`, or `make bench-search`.

Prints a row for each figure of search, with what it must be. Elasticsearch is started from Maven's
test distribution unless `--url` names one. Filling takes minutes: with `--keep` and `--index` the
filled stores are used again. `--only` leaves out what is not wanted now.
"""
# ruff: noqa: T201 - it prints a table

import argparse
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.elastic import ElasticStore
from search.settings import ElasticSettings
from search.sqlite import SqliteStore
from search.store import Store
from tests.bench import search_agent, search_server, search_store
from tests.support.elastic_real import real_elasticsearch, why_absent

SQLITE, ELASTIC = "SQLite", "Elasticsearch"
PARTS = ("agent", "server", "store")
MUST_CPU_MS = {SQLITE: 0.3, ELASTIC: 0.4}
MUST_IDLE_MS = {SQLITE: 50, ELASTIC: 400}
MUST_LOADED_MS = {SQLITE: 1_000, ELASTIC: 1_500}
MUST_REBUILT = {SQLITE: 4_000, ELASTIC: 2_000}


def show(name: str, what: str, measured: str, must: str) -> None:
    """Print a row."""
    print(f"| {name}: {what} | {measured} | {must} |", flush=True)


def measure_agent(name: str, store: Store) -> None:
    """Measure what indexing costs."""
    cpu = search_agent.indexing_cpu_ms(store)
    show(name, "indexing CPU a run (start + close)", f"{cpu:.3f} ms", f"{MUST_CPU_MS[name]} ms")
    store.close()


def measure_server(name: str, options: tuple[str, ...]) -> None:
    """Measure what callers of a server see."""
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as scratch:
        idle, loaded, rebuilt = search_server.measured(Path(scratch), options)
    show(name, "visible after a start, idle, p99", f"{idle:.0f} ms", f"{MUST_IDLE_MS[name]} ms")
    rate = search_server.LOAD_PER_S
    must = f"{MUST_LOADED_MS[name]} ms"
    show(name, f"visible after a start, {rate} starts/s, p99", f"{loaded:.0f} ms", must)
    show(name, "rebuild", f"{rebuilt:,.0f} runs/s", f"{MUST_REBUILT[name]:,} runs/s")


def measure_store(name: str, store: Store, runs: int) -> None:
    """Measure lists and counts, in a store that is filled first if it is empty."""
    if not store.health().runs_count:
        search_store.fill(store, runs)
    for what, taken, must in search_store.rows(store):
        show(name, f"{what}, of {store.health().runs_count:,}", f"{taken:.2f} ms", f"{must:.0f} ms")
    store.close()


@contextmanager
def cluster(url: str) -> Iterator[str]:
    """Yield the URL of an Elasticsearch; empty: there is none."""
    if url or why_absent():
        yield url
        return
    with real_elasticsearch() as found:
        yield found


def measure_elastic(url: str, index: str, parts: tuple[str, ...], runs: int) -> None:
    """Measure what is wanted of Elasticsearch."""
    fresh = f"bench-{uuid.uuid4().hex[:8]}"
    if "agent" in parts:
        measure_agent(ELASTIC, ElasticStore(ElasticSettings(urls=(url,), index=f"{fresh}-a")))
    if "server" in parts:
        options = ("search.store=elasticsearch", f"search.elastic.urls={url}")
        named = (*options, f"search.elastic.index={fresh}-s")
        measure_server(ELASTIC, tuple(part for each in named for part in ("--set", each)))
    if "store" in parts:
        settings = ElasticSettings(urls=(url,), index=index or f"{fresh}-q")
        measure_store(ELASTIC, ElasticStore(settings), runs)


def main(arguments: list[str]) -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="runs in each store")
    parser.add_argument("--url", default="", help="an Elasticsearch that runs")
    parser.add_argument("--index", default="", help="an index there to use, filled if need be")
    parser.add_argument("--keep", type=Path, help="folder of a SQLite store, filled if need be")
    parser.add_argument("--only", action="append", choices=PARTS, help="may be repeated")
    parser.add_argument("--without", action="append", default=[], choices=("sqlite", "elastic"))
    options = parser.parse_args(arguments)
    parts = tuple(options.only or PARTS)
    print("| what | measured | must |\n|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        if "sqlite" not in options.without:
            if "agent" in parts:
                measure_agent(SQLITE, SqliteStore(Path(folder, "agent")))
            if "server" in parts:
                measure_server(SQLITE, ())
            if "store" in parts:
                store = SqliteStore(options.keep or Path(folder, "store"))
                measure_store(SQLITE, store, options.runs)
    if "elastic" not in options.without:
        with cluster(options.url) as url:
            if url:
                measure_elastic(url, options.index, parts, options.runs)


if __name__ == "__main__":
    main(sys.argv[1:])
