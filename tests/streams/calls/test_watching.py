"""Owners' processes are watched, calls or no calls (V6)."""

import asyncio

from streams.calls.owners import Owner
from streams.calls.watching import Listener, Watching, connection_ended
from tests.streams.calls.test_gone import owner


class World:
    """Entries that change, and connections that end when told."""

    def __init__(self, *entries: Owner) -> None:
        self.all = list(entries)
        self.suspects: list[Owner] = []
        self.open: dict[str, asyncio.Future[None]] = {}
        self._listeners: list[Listener] = []
        self.watching = Watching(self, "home:1", self.suspects.append, ended=self._ended)

    def entries(self) -> list[Owner]:
        """Who owns what."""
        return self.all

    def listen(self, listener: Listener) -> None:
        """Hear of another claim."""
        self._listeners.append(listener)

    def become(self, *entries: Owner) -> None:
        """Have other owners."""
        self.all = list(entries)
        for listener in self._listeners:
            listener(entries[0])

    async def _ended(self, address: str) -> None:
        self.open[address] = asyncio.get_running_loop().create_future()
        try:
            await self.open[address]
        finally:
            del self.open[address]


OURS = owner("history", 0, address="home:1", member_id="ours")
FIRST = owner("history", 1, address="first:1", member_id="first")
AGAIN = owner("matching", 1, address="first:1", member_id="first")
SECOND = owner("history", 1, address="second:1", member_id="second")


async def settled() -> None:
    """Let tasks run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_v6_owner_whose_connection_ends_is_suspected() -> None:
    """One connection an address; none to ourselves."""
    world = World(OURS, FIRST, AGAIN)
    world.watching.start()
    await settled()
    assert list(world.open) == ["first:1"]
    world.open["first:1"].set_result(None)
    await settled()
    assert [each.address for each in world.suspects] == ["first:1"]
    world.watching.stop()


async def test_who_owns_nothing_any_more_is_left_alone() -> None:
    """And who owns something now is watched."""
    world = World(OURS, FIRST)
    world.watching.start()
    await settled()
    world.become(SECOND)
    await settled()
    assert list(world.open) == ["second:1"]
    assert world.suspects == []
    world.watching.stop()
    await settled()
    assert world.open == {}


async def test_a_connection_ends_with_its_process() -> None:
    """Closed by the other side, or nobody there."""
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(
        lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0
    )
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    watch = asyncio.ensure_future(connection_ended(address))
    (await accepted).close()
    await asyncio.wait_for(watch, 10)
    server.close()
    await server.wait_closed()
    await asyncio.wait_for(connection_ended(address), 10)
