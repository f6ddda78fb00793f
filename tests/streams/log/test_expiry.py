"""Runs whose retention is over at once: deleted step by step, while everybody else goes on."""

import asyncio

from msgspec.structs import replace

from schemas.instants import SECOND
from schemas.temporal import service
from tests.simulation import audit
from tests.simulation.families import Families, start_request
from tests.simulation.world import EVENTS, World, run_world
from tests.support.log_toy import NAMESPACE

RUNS = 300
SPACE = replace(NAMESPACE, retention=60 * SECOND)


def deletions(world: World) -> list[int]:
    """Return how many runs each transition of the one partition deleted, if any."""
    found = []
    for _, is_claim, fields in audit.accepted(world.kafka.log(EVENTS, 0)):
        if not is_claim:
            names = [f.get("name") for c in fields["changes"] for _, f in c["facts"]]
            if count := names.count("RunDeleted"):
                found.append(count)
    return found


async def many_at_once(world: World) -> None:
    """Close many runs, let them all fall due at once, and ask meanwhile."""
    world.start(nodes=1)
    (node,) = world.nodes
    node.namespaces.known = {"ns": SPACE}
    for number in range(RUNS):
        name = f"w{number}"
        await world.ask(name, "StartWorkflowExecution", start_request(name, "listener"))
        request = service.TerminateWorkflowExecutionRequest(namespace="ns")
        request.workflow_execution.workflow_id = name
        await world.ask(name, "TerminateWorkflowExecution", request.SerializeToString())
    assert deletions(world) == []
    await asyncio.sleep(61)
    asked = 0
    while sum(deletions(world)) < RUNS:
        name = f"meanwhile{asked}"
        await world.ask(name, "StartWorkflowExecution", start_request(name, "listener"))
        asked += 1
    assert max(deletions(world)) <= world.settings.expiry_count
    assert asked < RUNS
    await world.settle()
    world.audit()


def test_many_expire_at_once() -> None:
    """At most so many in one transition; commands are decided between the steps."""
    run_world(1, many_at_once, partitions=1, parts=Families())
