"""Takes what is due to this node once it is warm here (V4).

The group's leader makes a joining node the standby of what it shall own; when all of that has been
folded up to the log's end, the node asks for a new assignment. Nothing is folded here.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

_LOOK_S: Final = 0.1
_AGAIN_S: Final = 5.0


class Group(Protocol):
    """The history group."""

    @property
    def due(self) -> frozenset[int]:
        """Partitions that shall be ours once they are warm here."""
        ...

    async def rejoin(self) -> None:
        """Ask for a new assignment."""
        ...


async def rejoin_when_warm(group: Group, warm: Callable[[], Iterable[int]]) -> None:
    """Look for ever; where an assignment changes nothing, ask again after a while."""
    while True:
        await asyncio.sleep(_LOOK_S)
        due = group.due
        if due and due <= set(warm()):
            await group.rejoin()
            await _changed(group, due)


async def _changed(group: Group, due: frozenset[int]) -> None:
    for _ in range(round(_AGAIN_S / _LOOK_S)):
        if group.due != due:
            return
        await asyncio.sleep(_LOOK_S)
