"""Three nodes on one Kafka under load and faults, then the audit. `--help` says how to run it.

gRPC clients of every node, and Kafka clients, share workflows; what they are told is compared with
the log, and what each node answers afterwards too.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos import auditor, journal
from tests.chaos.faults import Faults
from tests.chaos.kafka_load import AT_ONCE, KafkaLoad, Replies
from tests.chaos.kill_rounds import Verdict, differences
from tests.chaos.load import Load, Workflows
from tests.support.kafka_real import real_kafka
from tests.support.millrace_server import MillraceServer

NODES = 3
CLIENTS = 4


class Cluster:
    """Nodes of a test on one Kafka, and all their clients."""

    def __init__(self, scratch: Path, kafka: str, *, seed: int, clients: int, at_once: int) -> None:
        self.notes = scratch / "journal.jsonl"
        self.written = journal.Journal(self.notes)
        self.workflows = Workflows(open_count=10 * clients)
        self.nodes = [_node(scratch / f"node-{number}", kafka) for number in range(NODES)]
        self.loads: list[Load] = []
        self.kafka_loads: list[KafkaLoad] = []
        self.faults = Faults(self.nodes, seed=seed)
        self._replies: Replies | None = None
        self._kafka = kafka
        self._seed = seed
        self._clients = clients
        self._at_once = at_once

    async def start(self) -> None:
        """Start all nodes at once, then the clients."""
        await asyncio.gather(*(asyncio.to_thread(node.start) for node in self.nodes))
        self.loads = [
            Load(
                node.address,
                self.written,
                seed=self._seed * NODES + number,
                workflows=self.workflows,
            )
            for number, node in enumerate(self.nodes)
        ]
        self._replies = Replies(self._kafka)
        self.kafka_loads = [
            KafkaLoad(
                self._kafka,
                self._replies,
                self.written,
                seed=self._seed * 2 + is_transactional,
                workflows=self.workflows,
                is_transactional=is_transactional,
                at_once=self._at_once,
            )
            for is_transactional in (False, True)
        ]
        for load in self.loads:
            load.run(starters=self._clients, signallers=self._clients, workers=self._clients)
        for kafka_load in self.kafka_loads:
            kafka_load.run()

    async def settle(self) -> None:
        """Ask nothing new; wait for every answer."""
        await asyncio.gather(*(load.settle() for load in self.kafka_loads))
        await asyncio.gather(*(load.settle() for load in self.loads))
        await asyncio.gather(*(load.stop() for load in self.loads))

    async def close(self) -> None:
        """End clients and nodes."""
        for load in self.loads:
            await load.close()
        if self._replies is not None:
            await self._replies.close()
        for node in self.nodes:
            if node.exit_code is None and node.is_running:
                await asyncio.to_thread(node.kill)
        self.written.close()


async def node_rounds(
    scratch: Path,
    kafka: str,
    *,
    seed: int,
    is_over: Callable[[int, float], bool],
    clients: int = CLIENTS,
    at_once: int = AT_ONCE,
) -> Verdict:
    """Run three nodes under faults until it is over, by (answers, seconds); audit their log.

    Each node has so many `clients` that start, that signal, and that work; a Kafka client asks up
    to so many commands `at_once`.
    """
    cluster = Cluster(scratch, kafka, seed=seed, clients=clients, at_once=at_once)
    began_at = time.monotonic()
    try:
        await cluster.start()
        await cluster.faults.run(
            lambda: is_over(cluster.written.count, time.monotonic() - began_at)
        )
        await cluster.settle()
        passed_s = time.monotonic() - began_at
        told = list(journal.read(cluster.notes))
        topic = await asyncio.to_thread(auditor.read_topic, kafka, "events")
        audit = await asyncio.to_thread(auditor.audited, topic, told)
        problems = list(audit.problems)
        for load in cluster.loads:
            problems += await differences(load, audit.runs)
    finally:
        await cluster.close()
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(cluster.faults.counts.items()))
    waited = f"longest wait of a call {cluster.workflows.longest_wait_s:.1f} s"
    stopped = f"of a stop {cluster.faults.longest_stop_s:.1f} s"
    return Verdict(
        problems,
        f"seed {seed}, {len(told)} commands in {passed_s:.0f} s; {faults}; {waited}, {stopped}; "
        f"{audit.summary}",
        cluster.faults.story,
    )


def _node(scratch: Path, kafka: str) -> MillraceServer:
    scratch.mkdir()
    return MillraceServer(scratch, folder=scratch / "data", kafka=kafka, is_node=True)


def main() -> int:
    """Run from the command line; print the figures and every problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--commands", type=int, default=0, help="instead of seconds")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="of each kind and node")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="commands over Kafka")
    parser.add_argument("--keep", type=Path, help="folder for data and logs; none: a temporary one")
    options = parser.parse_args()

    def is_over(count: int, seconds: float) -> bool:
        return count >= options.commands if options.commands else seconds >= options.seconds

    with tempfile.TemporaryDirectory(prefix="millrace-chaos-") as temporary:
        scratch = options.keep or Path(temporary)
        scratch.mkdir(exist_ok=True)
        with real_kafka(scratch / "kafka") as kafka:
            verdict = asyncio.run(
                node_rounds(
                    scratch,
                    kafka,
                    seed=options.seed,
                    is_over=is_over,
                    clients=options.clients,
                    at_once=options.at_once,
                )
            )
    sys.stdout.write("\n".join([*verdict.story, verdict.summary, *verdict.problems]) + "\n")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
