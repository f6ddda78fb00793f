"""A quiet connection to every other owner: it ends when that process does, calls or no calls (V6).

Without it a dead owner is found by who calls it, and nodes that only take calls are in no group to
take it out of. Nothing is said on these connections; what to do about a lost one is `gone.py`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

from streams.calls.owners import Owner

_AGAIN_S: Final = 1.0
_CONNECT_TIMEOUT_S: Final = 2.0

Listener = Callable[[Owner], None]


class Owners(Protocol):
    """All entries of `owners`."""

    def entries(self) -> Iterable[Owner]:
        """Return who owns what."""
        ...

    def listen(self, listener: Listener) -> None:
        """Call a listener whenever another claim counts for a partition."""
        ...


class Watching:
    """Watches the processes of all other owners."""

    def __init__(
        self,
        owners: Owners,
        home: str,
        suspect: Listener,
        *,
        ended: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`home` is our own address; `suspect` hears of an owner whose connection ended."""
        self._owners = owners
        self._home = home
        self._suspect = suspect
        self._ended = ended or connection_ended
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._is_stopped = False

    def start(self) -> None:
        """Watch who owns something now and from now on."""
        self._owners.listen(lambda _: self._look())
        self._look()

    def stop(self) -> None:
        """Watch nobody any more."""
        self._is_stopped = True
        for watch in self._watches.values():
            watch.cancel()

    def _look(self) -> None:
        """Watch each address that owns something, once, and no other."""
        if self._is_stopped:
            return
        owners = {each.address: each for each in self._owners.entries()}
        owners.pop(self._home, None)
        for address in self._watches.keys() - owners.keys():
            self._watches.pop(address).cancel()
        for address in owners.keys() - self._watches.keys():
            self._watches[address] = asyncio.get_running_loop().create_task(
                self._watch(owners[address])
            )

    async def _watch(self, owner: Owner) -> None:
        while True:
            await self._ended(owner.address)
            self._suspect(owner)
            await asyncio.sleep(_AGAIN_S)


async def connection_ended(address: str) -> None:
    """Connect, and return when the connection has ended or could not be made."""
    host, _, port = address.rpartition(":")
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            while await reader.read(1024):
                pass
        finally:
            writer.close()
