"""Owners whose process is gone: found by a refused connection, and taken out of their groups (V6).

A dead member holds up its partitions for its session timeout. Kafka takes a LeaveGroup for any
member from anybody; a wrong one costs a rebalance, never a fact. Whoever does not refuse (a stopped
process, a lost network) is left to its session timeout.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

import structlog

from streams.calls.owners import Owner

_log = structlog.get_logger(__name__)

_KNOCK_TIMEOUT_S: Final = 2.0
_REMEMBERED: Final = 1_000

Evict = Callable[[str, str], Awaitable[None]]
"""Leaves the group of a role for a member id; does nothing where this node is not in the group."""


class Owners(Protocol):
    """All entries of `owners`."""

    def entries(self) -> Iterable[Owner]:
        """Return who owns what."""
        ...


class Gone:
    """Looks after owners that could not be reached."""

    def __init__(
        self,
        owners: Owners,
        evict: Evict,
        *,
        forget: Callable[[str], None],
        refuses: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        """`forget` closes what is open to an address."""
        self._owners = owners
        self._evict = evict
        self._forget = forget
        self._refuses = refuses or is_refused
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._evicted: dict[str, None] = {}

    def suspect(self, owner: Owner) -> None:
        """Look whether an owner's process is gone; at most one look an address at a time."""
        if owner.address in self._looking or owner.member_id in self._evicted:
            return
        task = asyncio.get_running_loop().create_task(self._look(owner))
        self._looking[owner.address] = task
        task.add_done_callback(lambda _: self._looking.pop(owner.address, None))

    def stop(self) -> None:
        """Look after nobody any more."""
        for task in list(self._looking.values()):
            task.cancel()

    async def _look(self, owner: Owner) -> None:
        if not await self._refuses(owner.address):
            return
        _log.info("owner_gone", node=owner.node, address=owner.address)
        self._forget(owner.address)
        for entry in list(self._owners.entries()):
            is_its = (entry.node, entry.address) == (owner.node, owner.address)
            if is_its and entry.member_id and entry.member_id not in self._evicted:
                self._remember(entry.member_id)
                await self._evict(entry.role, entry.member_id)

    def _remember(self, member_id: str) -> None:
        self._evicted[member_id] = None
        if len(self._evicted) > _REMEMBERED:
            del self._evicted[next(iter(self._evicted))]


async def is_refused(address: str) -> bool:
    """Whether nobody listens at an address, although the machine is there."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_KNOCK_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    return False
