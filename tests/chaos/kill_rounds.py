"""Rounds of kill -9 under load, then the audit. `python -m tests.chaos.kill_rounds --help`."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.chaos import auditor, journal
from tests.chaos.load import Load
from tests.support.millrace_server import SPREAD, MillraceServer

ANSWERS_A_ROUND = 120
ROUND_TIMEOUT_S = 60.0
SAMPLE_COUNT = 20


class Verdict(NamedTuple):
    """What the audit found."""

    problems: list[str]
    summary: str
    story: Sequence[str] = ()


Rounds = Callable[..., Coroutine[None, None, Verdict]]


async def kill_rounds(scratch: Path, *, rounds: int, seed: int, end_at: float) -> Verdict:
    """Kill a loaded server so many times, or until the monotonic instant `end_at`; audit its log.

    Each kill comes after a random number of further answers: before any, or in the thick of it.
    """
    chance = random.Random(seed)
    notes = scratch / "journal.jsonl"
    written = journal.Journal(notes)
    server = MillraceServer(scratch, folder=scratch / "data", options=SPREAD)
    with server:
        load = Load(server.address, written, seed=seed)
        load.run()
        done = 0
        while done < rounds and time.monotonic() < end_at:
            await answered(written, chance.randrange(ANSWERS_A_ROUND))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            done += 1
        await answered(written, ANSWERS_A_ROUND)
        await load.settle()
        await load.stop()
        told = list(journal.read(notes))
        topic = await asyncio.to_thread(auditor.read_topic, server.kafka_address, "events")
        audit = auditor.audited(topic, told)
        problems = audit.problems + await differences(load, audit.runs)
        await load.close()
    written.close()
    said = [] if not server.stderr else [f"stderr: {server.stderr[-2000:]}"]
    return Verdict(problems + said, f"{done} rounds: {audit.summary}")


async def answered(written: journal.Journal, count: int) -> None:
    """Wait for so many further answers; the clients never stop asking."""
    target = written.count + count
    deadline = time.monotonic() + ROUND_TIMEOUT_S
    while written.count < target:
        if time.monotonic() > deadline:
            raise AssertionError(f"expected {count} more answers within {ROUND_TIMEOUT_S:g} s")
        await asyncio.sleep(0.002)


async def differences(load: Load, runs: Mapping[str, auditor.Run]) -> list[str]:
    """Compare what the server answers about ended runs with the log."""
    different = []
    for workflow_id, run_id in list(load.workflows.ended.items())[-SAMPLE_COUNT:]:
        answered = [event.event_id for event in await load.history(workflow_id, run_id)]
        logged = [event.event_id for event in runs[run_id].events]
        if answered != logged:
            different.append(f"run {run_id}: expected history {logged}, was answered {answered}")
    return different


def run_from_command_line(rounds: Rounds, description: str | None) -> int:
    """Run rounds as the command line says; print the figures and every problem."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-chaos-") as scratch:
        end_at = time.monotonic() + options.seconds
        verdict = asyncio.run(
            rounds(Path(scratch), rounds=options.rounds, seed=options.seed, end_at=end_at)
        )
    sys.stdout.write("\n".join([verdict.summary, *verdict.problems]) + "\n")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(run_from_command_line(kill_rounds, __doc__))
