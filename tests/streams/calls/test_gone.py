"""Owners whose process is gone leave their groups (V6)."""

import asyncio

from streams.calls.gone import Gone
from streams.calls.owners import Owner


def owner(role: str, partition: int, *, address: str, member_id: str) -> Owner:
    """Return an entry of `owners`."""
    return Owner(
        role=role,
        partition=partition,
        generation=1,
        partitions=4,
        epoch=1,
        incarnation=b"",
        node=f"node at {address}",
        address=address,
        member_id=member_id,
        claimed_at=0,
    )


class World:
    """Entries of a dead node and of a living one."""

    def __init__(self, *, refuses: bool) -> None:
        self.all = [
            owner("history", 0, address="dead:1", member_id="dead-history"),
            owner("history", 1, address="dead:1", member_id="dead-history"),
            owner("matching", 0, address="dead:1", member_id="dead-matching"),
            owner("matching", 1, address="alive:1", member_id="alive-matching"),
        ]
        self.evicted: list[tuple[str, str]] = []
        self.forgotten: list[str] = []
        self.knocks: list[str] = []
        self._answer = refuses
        self.gone = Gone(self, self._evict, forget=self.forgotten.append, refuses=self._refuses)

    def entries(self) -> list[Owner]:
        """Who owns what."""
        return self.all

    async def _evict(self, role: str, member_id: str) -> None:
        self.evicted.append((role, member_id))

    async def _refuses(self, address: str) -> bool:
        self.knocks.append(address)
        await asyncio.sleep(0)
        return self._answer

    async def settled(self) -> None:
        """Let it look."""
        for _ in range(5):
            await asyncio.sleep(0)


async def test_v6_refused_owner_leaves_all_its_groups_once() -> None:
    """Every role of the process is dead with it; nobody else is."""
    world = World(refuses=True)
    for _ in range(3):
        world.gone.suspect(world.all[0])
    await world.settled()
    world.gone.suspect(world.all[1])
    await world.settled()
    assert world.evicted == [("history", "dead-history"), ("matching", "dead-matching")]
    assert world.forgotten == ["dead:1"]
    assert world.knocks == ["dead:1"]


async def test_v6_owner_that_only_does_not_answer_is_left_alone() -> None:
    """A stopped process, a lost network: its session decides."""
    world = World(refuses=False)
    world.gone.suspect(world.all[0])
    await world.settled()
    assert world.knocks == ["dead:1"]
    assert world.evicted == []
