"""What a second node costs that owns half of what the first is asked. `--help` says more.

The same load on one node alone, and on one of two nodes of a cluster: CPU of all nodes for each
operation, and latency. It needs a real Kafka, whose own CPU is not counted.
"""

import argparse
import contextlib
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.heartbeats import cpu_s
from tests.support.kafka_real import real_kafka
from tests.support.millrace_server import MillraceServer


def started(scratch: Path, kafka: str) -> MillraceServer:
    """Start a node."""
    scratch.mkdir()
    node = MillraceServer(scratch, folder=scratch / "data", kafka=kafka, is_node=True)
    node.start()
    return node


def measured(nodes: list[MillraceServer], load: str) -> dict[str, Any]:
    """Run the load on the first node; return its figures, with the CPU of all nodes."""
    before = [cpu_s(node.pid) for node in nodes]
    line = shlex.split(load.format(address=nodes[0].address, pid=nodes[0].pid))
    said = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout
    spent = [cpu_s(node.pid) - was for node, was in zip(nodes, before, strict=True)]
    figures: dict[str, Any] = json.loads(said.splitlines()[-1])
    figures["server_cpu_ms_per_op"] *= sum(spent) / spent[0]
    return figures


def shown(name: str, figures: dict[str, Any]) -> str:
    """Return a line of figures."""
    latency = figures.get("e2e_ms") or figures["call_ms"]
    return (
        f"{name}: {figures['ops_per_s']} ops/s, {figures['server_cpu_ms_per_op']:.2f} CPU-ms/op, "
        f"p50 {latency['p50']} ms, p99 {latency['p99']} ms, {figures['errors']} errors"
    )


def main() -> None:
    """Measure both, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", required=True, help="command line with {address} and {pid}")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-forwarding-") as folder:
        scratch = Path(folder)
        with contextlib.ExitStack() as stack:
            nodes = []
            for name in ("alone", "two"):
                (scratch / name).mkdir()
                kafka = stack.enter_context(real_kafka(scratch / name / "kafka"))
                nodes.append(started(scratch / name / "first", kafka))
                stack.callback(nodes[-1].kill)
            nodes.append(started(scratch / "two" / "second", kafka))
            stack.callback(nodes[-1].kill)
            for _ in range(options.rounds):
                for name, some in (("one node", nodes[:1]), ("two nodes", nodes[1:])):
                    sys.stdout.write(shown(name, measured(some, options.load)) + "\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
