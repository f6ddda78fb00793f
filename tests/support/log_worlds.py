"""Short words for stories of the simulated world."""

from typing import Any

from schemas.codec import COMMAND
from schemas.ids import workflow_partition
from streams.log.ports import Record
from tests.simulation import audit
from tests.simulation.world import EVENTS, INTERNAL, Node, World

P0 = "w0"


def names(partition: int, partitions: int, count: int) -> list[str]:
    """Return workflow ids of one partition."""
    found = (f"w{n}" for n in range(10_000))
    here = (name for name in found if workflow_partition("ns", name, partitions) == partition)
    return [next(here) for _ in range(count)]


async def served(world: World, *, nodes: int = 1) -> Node:
    """Start nodes and wait until all partitions are served; return the first node."""
    world.start(nodes=nodes)
    await world.quiet()
    return world.nodes[0]


def transitions(world: World, partition: int = 0) -> list[dict[str, Any]]:
    """Return the accepted transitions of a partition."""
    log = world.kafka.log(EVENTS, partition)
    return [fields for _, is_claim, fields in audit.accepted(log) if not is_claim]


def claims(world: World, partition: int = 0) -> list[dict[str, Any]]:
    """Return the accepted claims of a partition."""
    log = world.kafka.log(EVENTS, partition)
    return [fields for _, is_claim, fields in audit.accepted(log) if is_claim]


def source(fields: dict[str, Any], topic: str = INTERNAL) -> int | None:
    """Return up to where a record covers a command topic."""
    found = [each["position"] for each in fields["sources"] if each["topic"] == topic]
    return found[0] if found else None


def letters(world: World) -> list[dict[str, Any]]:
    """Return the dead letters that were performed."""
    return [effect.record for _, effect in world.performed if hasattr(effect, "record")]


def command_at(world: World, offset: int, partition: int = 0) -> tuple[Record, dict[str, Any]]:
    """Return a record of `commands-internal`, read."""
    record = world.kafka.log(INTERNAL, partition).at(offset)
    assert record is not None
    return record, COMMAND.decode(record.value or b"")  # type: ignore[return-value]
