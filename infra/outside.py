"""What a command asks of a running cluster from outside: the owners, found on Kafka, one by one.

It is no node: it joins nothing and writes nothing; it calls the nodes' internal addresses.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from schemas.codec import NAMESPACE, OWNER
from schemas.errors import Unavailable
from streams.archival.backlog import Owners
from streams.calls.absent import NoHistory, NoMatching
from streams.calls.forward import Errand, Place
from streams.calls.peers import Peers
from streams.calls.roles import HISTORY, RoleCalls
from streams.kafka.spectator import watch
from topology.own_work import AsideRun, ReadBacklog
from topology.topics import NAMESPACES, OWNERS

_ASIDE_AT_ONCE: Final = 1_000

T = TypeVar("T")


class PartitionBacklog(msgspec.Struct, frozen=True):
    """What of a partition is not archived."""

    partition: int
    waiting: dict[str, int]  # namespace name: runs, at least
    oldest_closed_at: int
    set_aside: list[AsideRun]


def backlogs(kafka: str) -> list[PartitionBacklog]:
    """Return what of each partition is not archived; raises ServiceError."""
    names = _names(kafka)

    async def ask(owners: Owners, partition: int) -> PartitionBacklog:
        found = await owners.backlog(partition, ReadBacklog(set_aside_count=_ASIDE_AT_ONCE))
        aside, after = list(found.set_aside), found.after
        while after:
            more = await owners.backlog(
                partition, ReadBacklog(after, set_aside_count=_ASIDE_AT_ONCE, counted_max=0)
            )
            aside += more.set_aside
            after = more.after
        waiting = {names.get(each, each): count for each, count in found.waiting.items()}
        return PartitionBacklog(partition, waiting, found.oldest_closed_at, aside)

    return _of_each(kafka, ask)


def retry(kafka: str, found: list[PartitionBacklog]) -> int:
    """Have what was set aside tried again; return how many runs. Raises ServiceError."""
    by_partition = {each.partition: each.set_aside for each in found}

    async def ask(owners: Owners, partition: int) -> int:
        runs = by_partition.get(partition, [])
        for run in runs:
            await owners.try_again(partition, run)
        return len(runs)

    return sum(_of_each(kafka, ask))


def _of_each(kafka: str, ask: Callable[[Owners, int], Awaitable[T]]) -> list[T]:
    """Ask the owner of each partition in turn."""
    addresses = _addresses(kafka)

    async def ask_all() -> list[T]:
        way = _Direct(addresses)
        history = NoHistory(len(addresses))
        owners = Owners(RoleCalls(way, history, NoMatching(), matching_partitions=1))
        try:
            return [await ask(owners, partition) for partition in sorted(addresses)]
        finally:
            await way.stop()

    return asyncio.run(ask_all())


class _Direct:
    """The way to owners for somebody who is no node: straight to their addresses."""

    def __init__(self, addresses: dict[int, str]) -> None:
        self._addresses = addresses
        self._peers = Peers()

    async def once(self, place: Place | None, errand: Errand, timeout_s: float) -> bytes:
        """Try an errand once at its owner."""
        assert place is not None, "expected the partition of an owner"
        return await self._peers.ask(
            self._addresses[place.partition],
            errand.path,
            errand.body,
            metadata=errand.metadata(),
            timeout_s=timeout_s,
        ).answer()

    async def stop(self) -> None:
        """Close the connections."""
        await self._peers.stop()


def _addresses(kafka: str) -> dict[int, str]:
    """Return where the owner of each history partition answers."""
    newest: dict[int, tuple[int, str]] = {}
    for seen in watch(kafka, (OWNERS.name,), from_beginning=True, follow=False):
        if seen.value is None:
            continue
        fields = OWNER.decode(seen.value)
        partition, epoch = fields["partition"], fields["epoch"]
        assert isinstance(partition, int), "expected a partition"
        assert isinstance(epoch, int), "expected an epoch"
        if fields["role"] == HISTORY and epoch > newest.get(partition, (0, ""))[0]:
            newest[partition] = (epoch, str(fields["address"]))
    if not newest:
        raise Unavailable(f"expected owners on {kafka}, found none: is a server set up there?")
    return {partition: address for partition, (_, address) in newest.items()}


def _names(kafka: str) -> dict[str, str]:
    """Return the names of namespaces by id."""
    names = {}
    for seen in watch(kafka, (NAMESPACES.name,), from_beginning=True, follow=False):
        if seen.value is not None:
            fields = NAMESPACE.decode(seen.value)
            names[str(fields["id"])] = str(fields["name"])
    return names
