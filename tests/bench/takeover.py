"""How long partitions stand still when nodes die, come back, join and leave. `--help` says more.

Requests of every partition are asked all the while through a node that stays; a partition stands
still from one answer to the next. It needs a real Kafka (java, mvn, or MILLRACE_TEST_KAFKA).
"""

import argparse
import asyncio
import contextlib
import itertools
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
from temporalio.api.workflowservice.v1 import (
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from schemas.ids import workflow_partition
from tests.support.kafka_real import real_kafka
from tests.support.millrace_server import MillraceServer

PARTITIONS = 4
CALL_TIMEOUT_S = 30.0
PAUSE_S = 0.005
SETTLE_S = 4.0
_START = "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution"


class Answer(NamedTuple):
    """One answered request."""

    asked_at: float
    answered_at: float


class Probe:
    """Asks every partition, through one node, one request after the other."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._names = itertools.count()
        self._prefix = f"probe-{time.time_ns()}"
        self.answers: dict[int, list[Answer]] = {each: [] for each in range(PARTITIONS)}
        self.errors: list[str] = []

    @asynccontextmanager
    async def asking(self, *, per_partition: int = 1) -> AsyncIterator[None]:
        """Ask until left."""
        tasks = [
            asyncio.create_task(self._ask(partition))
            for partition in self.answers
            for _ in range(per_partition)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._channel.close()

    async def accepted_again(self, since: float) -> float:
        """Wait until every partition has answered what was asked after an instant; how long (s)."""
        while not all(  # noqa: ASYNC110  answers come when they come
            answers and answers[-1].asked_at >= since for answers in self.answers.values()
        ):
            await asyncio.sleep(0.001)
        return (
            max(
                next(one.answered_at for one in answers if one.asked_at >= since)
                for answers in self.answers.values()
            )
            - since
        )

    def standstill(self, since: float) -> float:
        """Return the longest time (s) from one answer of a partition to the next."""
        longest = 0.0
        for answers in self.answers.values():
            ends = [one.answered_at for one in answers if one.answered_at >= since]
            longest = max([longest, *(b - a for a, b in itertools.pairwise(ends))])
        return longest

    def longest_call(self, since: float) -> float:
        """Return the longest time (s) that one call took."""
        return max(
            one.answered_at - one.asked_at
            for answers in self.answers.values()
            for one in answers
            if one.answered_at >= since
        )

    async def _ask(self, partition: int) -> None:
        start = self._channel.unary_unary(
            _START,
            request_serializer=StartWorkflowExecutionRequest.SerializeToString,
            response_deserializer=StartWorkflowExecutionResponse.FromString,
        )
        while True:
            request = self._request(partition)
            asked_at = time.monotonic()
            try:
                await start(request, timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                self.errors.append(f"{error.code().name}: {error.details()}")
            else:
                self.answers[partition].append(Answer(asked_at, time.monotonic()))
            await asyncio.sleep(PAUSE_S)

    def _request(self, partition: int) -> StartWorkflowExecutionRequest:
        while True:
            name = f"{self._prefix}-{next(self._names)}"
            if workflow_partition("default", name, PARTITIONS) == partition:
                break
        request = StartWorkflowExecutionRequest(
            namespace="default", workflow_id=name, request_id=name
        )
        request.workflow_type.name = "probe"
        request.task_queue.name = "nobody"
        return request


class Bench:
    """Nodes of one Kafka, and what was found."""

    def __init__(self, scratch: Path, kafka: str) -> None:
        self._scratch = scratch
        self._kafka = kafka
        self._nodes: list[MillraceServer] = []

    async def start(self) -> MillraceServer:
        """Start a node in an empty folder."""
        scratch = self._scratch / f"node-{len(self._nodes)}"
        scratch.mkdir()
        node = MillraceServer(scratch, folder=scratch / "data", kafka=self._kafka, is_node=True)
        self._nodes.append(node)
        await asyncio.to_thread(node.start)
        return node

    def close(self) -> None:
        """Kill what runs."""
        for node in self._nodes:
            if node.is_running:
                node.kill()


async def _measure(bench: Bench, *, fill_s: float, rounds: int) -> None:
    stays = await bench.start()
    probe = Probe(stays.address)
    async with probe.asking(per_partition=16):
        await asyncio.sleep(fill_s)  # something to fold
    probe = Probe(stays.address)
    async with probe.asking():
        await asyncio.sleep(SETTLE_S)
        began_at = time.monotonic()
        other = await bench.start()
        await asyncio.sleep(2 * SETTLE_S)
        _say("a node without stores joins: longest standstill", probe.standstill(began_at))
        for _ in range(rounds):
            killed_at = time.monotonic()
            await asyncio.to_thread(other.kill)
            again_s = await probe.accepted_again(killed_at)
            _say("kill -9, taken over by the other: accepted again after", again_s)
            await asyncio.to_thread(other.start)
            await asyncio.sleep(2 * SETTLE_S)
            began_at = time.monotonic()
            await asyncio.to_thread(other.stop)
            _say("SIGTERM: the process is gone after", time.monotonic() - began_at)
            await asyncio.sleep(SETTLE_S)
            _say("SIGTERM: longest standstill", probe.standstill(began_at))
            _say("SIGTERM: longest call", probe.longest_call(began_at))
            await asyncio.to_thread(other.start)
            await asyncio.sleep(2 * SETTLE_S)
    sys.stdout.write(f"calls that failed: {probe.errors}\n")
    await asyncio.to_thread(other.kill)
    await asyncio.sleep(2 * SETTLE_S)
    await _restarted(stays, rounds)


async def _restarted(node: MillraceServer, rounds: int) -> None:
    """Kill the only node and start it again at once: its own standing still."""
    for _ in range(rounds):
        probe = Probe(node.address)
        async with probe.asking():
            await asyncio.sleep(SETTLE_S)
            killed_at = time.monotonic()
            await asyncio.to_thread(node.kill)
            await asyncio.to_thread(node.start)
            _say("kill -9 and started again: it says it serves after", time.monotonic() - killed_at)
        probe = Probe(node.address)
        async with probe.asking():
            await probe.accepted_again(time.monotonic())
            _say("  and every partition accepts", time.monotonic() - killed_at)


def _say(what: str, seconds: float) -> None:
    sys.stdout.write(f"{what} {seconds:.2f} s\n")
    sys.stdout.flush()


def main() -> None:
    """Measure, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fill", type=float, default=15.0, help="seconds of load before the join")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="millrace-takeover-") as scratch,
        real_kafka(Path(scratch) / "kafka") as kafka,
    ):
        bench = Bench(Path(scratch), kafka)
        with contextlib.closing(bench):
            asyncio.run(_measure(bench, fill_s=options.fill, rounds=options.rounds))


if __name__ == "__main__":
    main()
