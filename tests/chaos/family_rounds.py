"""Rounds of kill -9 under children, signals and cancels between workflows, chains, cron, retries.

python -m tests.chaos.family_rounds --rounds 30 --seed 1
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.chaos import auditor, journal
from tests.chaos.family_audit import disorders
from tests.chaos.family_load import FamilyLoad
from tests.chaos.family_script import TYPES
from tests.chaos.kill_rounds import Verdict, answered, run_from_command_line
from tests.support.millrace_server import SPREAD, MillraceServer

ANSWERS_A_ROUND = 100
CHECKED = ("--set", "engine.check_replay=true")
"""Every record is folded twice: a partition that would lie stops the server."""


async def family_rounds(scratch: Path, *, rounds: int, seed: int, end_at: float) -> Verdict:
    """Kill a loaded server so many times, or until the monotonic instant `end_at`; audit."""
    chance = random.Random(seed)
    notes = scratch / "journal.jsonl"
    written = journal.Journal(notes)
    server = MillraceServer(scratch, folder=scratch / "data", options=SPREAD + CHECKED)
    with server:
        load = FamilyLoad(server.address, written, seed=seed)
        load.run(signallers=0)
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
        await load.close()
    written.close()
    starts = [one for one in told if one.kind == "start"]
    audit = auditor.audited(topic, [one for one in told if one.kind != "start"])
    problems = audit.problems + disorders(audit.runs, starts) + _missing(audit.runs.values())
    said = [] if not server.stderr else [f"stderr: {server.stderr[-2000:]}"]
    return Verdict(problems + said, f"{done} rounds: {audit.summary}; {len(audit.runs)} runs")


def _missing(runs: Iterable[auditor.Run]) -> list[str]:
    """Return the types that no run was of: then nothing was tested."""
    found = {
        run.events[0].workflow_execution_started_event_attributes.workflow_type.name for run in runs
    }
    wanted = (*TYPES, "child")
    return [f"expected runs of {kind}, found none" for kind in wanted if kind not in found]


if __name__ == "__main__":
    sys.exit(run_from_command_line(family_rounds, __doc__))
