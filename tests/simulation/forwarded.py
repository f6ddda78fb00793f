"""Forwards under faults: counters send to each other, and nothing is lost, doubled or reordered."""

import asyncio
from collections import Counter as Tally

from schemas.rows import unpacker
from streams.log.position import KEY, Position
from tests.simulation.chaos import Chaos
from tests.simulation.world import Node, World
from tests.support.log_toy import Counter, counter

_unpack = unpacker(Position)

METHODS = "Send Send Send Add Refuse SendPoison SendRefused"


class ForwardChaos(Chaos):
    """Faults on the producer of forwards, too."""

    def _furnish(self, node: Node) -> None:
        super()._furnish(node)
        node.forwards.lost_acks = node.forwards.refused = 0.1
        node.forwards.slow = 0.02


def counters(world: World) -> dict[str, Counter]:
    """Return all counters as the newest stores have them."""
    newest: dict[int, tuple[int, Node]] = {}
    for node in world.nodes:
        for number, disk in node.disks.items():
            if KEY in disk.rows:
                offset = _unpack(disk.rows[KEY]).accepted_offset
                if offset >= newest.get(number, (-1, node))[0]:
                    newest[number] = (offset, node)
    found = {}
    for number, (_, node) in newest.items():
        disk = node.disks[number]
        for key in disk.rows:
            if key.startswith(b"c"):
                name = key[1:].decode()
                found[name] = counter(disk.rows, name)  # type: ignore[arg-type]  # get is enough
    return found


def check_forwards(world: World) -> int:
    """Compare what was sent with what was got, in order; return how many there were."""
    known = counters(world)
    sent: Tally[tuple[str, str]] = Tally()
    failed: Tally[str] = Tally()
    for name, state in known.items():
        for target, count in state.sent.items():
            if "/" in target:
                failed[name] += count
            else:
                sent[name, target] = count
    got = Tally(
        {(sender, name): n for name, state in known.items() for sender, n in state.got.items()}
    )
    assert sent == got, f"sent and not got: {sent - got}, got and not sent: {got - sent}"
    for name, state in known.items():
        assert state.failed == failed[name], f"{name} heard of {state.failed}, not {failed[name]}"
    return sum(sent.values()) + sum(failed.values())


async def quiet(world: World) -> None:
    """Wait until nothing is underway: every command read and everything performed."""
    async with asyncio.timeout(300):
        while True:
            await world.quiet(timeout_s=300)
            if all(_is_read(world, number) for number in range(world.partitions)):
                return
            await asyncio.sleep(0.05)


def _is_read(world: World, number: int) -> bool:
    """Whether an owner has covered all of `commands-internal`."""
    end = world.kafka.log("commands-internal", number).end
    owners = [node for node in world.nodes if node.history.serves(number)]
    return any(
        node.history.is_idle(number) and node.history.position("commands-internal", number) >= end
        for node in owners
    )


async def forwards_under_chaos(world: World) -> None:
    """Send under faults, then compare."""
    world.start(nodes=world.rng.choice((1, 2)))
    faults = ForwardChaos(world)
    faults.furnish()
    running = asyncio.create_task(faults.run(12.0))
    await world.load(clients=8, asks=12, methods=METHODS)
    await running
    await world.settle()
    await quiet(world)
    world.audit()
    check_forwards(world)
